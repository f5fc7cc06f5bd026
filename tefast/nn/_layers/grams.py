"""Second moments of features, and the linear functions that tell some of them from the others."""

from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 1e-3
"""As a fraction of the mean second moment of what stays; see docs/reconstruction.md."""

_BLOCK = 256
"""Columns that are multiplied at a time: only blocks on and above the diagonal are needed."""

_STEPS = 64
"""Features that are eliminated before the inverse is brought up to date."""


class Gram:
    """Sums over rows of features, in float64.

    Parameters
    ----------
    width : int
        Features.
    device : torch.device, optional

    Attributes
    ----------
    count : Tensor ()
        Rows.
    first : Tensor (width,)
        Their sum.
    second : Tensor (width, width)
        The sum of their outer products; right on and above the diagonal, `whole` gives all of it.
    """

    def __init__(self, width: int, device: torch.device | str | None = None) -> None:
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.first = torch.zeros(width, dtype=torch.float64, device=device)
        self.second = torch.zeros(width, width, dtype=torch.float64, device=device)

    @property
    def width(self) -> int:
        """Return the number of features."""
        return len(self.first)

    def add(self, rows: Tensor) -> None:
        """Add rows (n, width).

        Raises
        ------
        ValueError
            If a value is not finite; nothing is added then.
        """
        if not bool(rows.isfinite().all()):
            raise ValueError("expected finite values, got NaN or infinity")
        x = rows.detach().to(self.first.device, torch.float64)
        self.count += len(x)
        self.first += x.sum(0)
        for start in range(0, self.width, _BLOCK):
            block = slice(start, start + _BLOCK)
            self.second[block, start:].addmm_(x[:, block].T, x[:, start:])

    def only(self, features: slice) -> "Gram":
        """Return the moments of some features, side by side, on the same memory."""
        part = Gram(0, self.first.device)
        part.count, part.first = self.count, self.first[features]
        part.second = self.second[features, features]
        return part

    def merge(self, other: "Gram") -> None:
        """Add the sums of another."""
        for ours, theirs in zip(self.tensors(), other.tensors(), strict=True):
            ours += theirs.to(ours.device)

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return all that it holds."""
        return self.count, self.first, self.second

    def whole(self, *, about_mean: bool = False) -> Tensor:
        """Return the second moments (width, width), as a sum over rows."""
        upper = self.second.triu()
        if about_mean:
            upper = upper - (self.first[:, None] * self.first / self.count.clamp(min=1)).triu()
        return upper + upper.triu(1).T


@dataclass(frozen=True)
class Prediction:
    """What features that stay say of those that go: ``x[gone] = x[kept] @ weight + bias``.

    Attributes
    ----------
    kept, gone : LongTensor
        Which features.
    weight : float64 Tensor (kept, gone)
    bias : float64 Tensor (gone,), or None
        None if it goes through the origin.
    """

    kept: Tensor
    gone: Tensor
    weight: Tensor
    bias: Tensor | None

    def residual(self, gram: Gram) -> Tensor:
        """Return the second moments (gone, gone) of what it gets wrong, as a sum over rows."""
        second, w = gram.whole(), self.weight
        mixed = w.T @ second[self.kept][:, self.gone]
        inner = w.T @ (second[self.kept][:, self.kept] @ w)
        found = second[self.gone][:, self.gone] - mixed - mixed.T + inner
        if self.bias is not None:
            off = (gram.first[self.gone] - gram.first[self.kept] @ w)[:, None] * self.bias
            found = found - off - off.T + gram.count * self.bias[:, None] * self.bias
        return found


def predict(
    gram: Gram, kept: Tensor, gone: Tensor, *, ridge: float = RIDGE, intercept: bool = False
) -> Prediction:
    """Return the linear function of the kept features that is nearest to those that go.

    It is that of ridge regression (A. E. Hoerl and R. W. Kennard, 1970).

    Parameters
    ----------
    gram : Gram
    kept, gone : LongTensor
        Features. Those of `gone` that were always 0 are told to be 0.
    ridge : float
        As a fraction of the mean second moment of the kept features.
    intercept : bool
        Whether a constant is added.
    """
    device = gram.first.device
    kept, gone = kept.to(device), gone.to(device)
    second = gram.whole(about_mean=intercept)
    inner, cross = second[kept][:, kept], second[kept][:, gone]
    scale = float(inner.diagonal().mean()) if len(kept) else 0.0
    weight = torch.zeros_like(cross)
    if scale > 0:
        weight = torch.cholesky_solve(cross, _factor(inner, ridge * scale))
    bias = None
    if intercept:
        bias = (gram.first[gone] - gram.first[kept] @ weight) / gram.count.clamp(min=1)
    return Prediction(kept, gone, weight, bias)


def _factor(matrix: Tensor, added: float) -> Tensor:
    """Return the Cholesky factor of a matrix with something added to its diagonal."""
    while True:
        shifted = matrix.clone()
        shifted.diagonal().add_(added)
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(shifted)
        if int(info) == 0:
            return factor
        added *= 10  # moments about a mean are rounded, and may be negative by that


def eliminated(second: Tensor, ridge: float = RIDGE) -> Tensor:
    """Return how much of each feature the others leave open when its turn to go comes.

    The feature that the others tell best goes first, then the one that the rest tell best, and so
    on: the steps are those of a Gauss-Jordan elimination of the inverse.

    Parameters
    ----------
    second : Tensor (features, features)
        Second moments.
    ridge : float
        As in `predict`.

    Returns
    -------
    float64 Tensor (features,)
        The residual second moment with which each goes; never less than that of the one before.
    """
    matrix = second.detach().double().clone()
    scale = float(matrix.diagonal().mean())
    found = torch.zeros(len(matrix), dtype=torch.float64, device=matrix.device)
    if scale <= 0:
        return found
    inverse = torch.cholesky_inverse(_factor(matrix, ridge * scale))
    # Of the inverse only the diagonal is kept up to date; all of it once in many steps, by a matrix
    # product.
    diagonal = inverse.diagonal().clone()
    rows = torch.empty(_STEPS, len(matrix), dtype=torch.float64, device=matrix.device)
    pivots = torch.empty(_STEPS, 1, dtype=torch.float64, device=matrix.device)
    least, done = 0.0, 0
    for _ in range(len(matrix)):
        unit = int(diagonal.argmax())
        before = rows[:done]
        row = inverse[unit] - (before[:, unit] / pivots[:done, 0]) @ before
        least = max(least, 1 / float(row[unit]))
        found[unit] = least
        diagonal -= row.square() / row[unit]
        diagonal[found > 0] = -torch.inf
        rows[done], pivots[done] = row, row[unit]
        done += 1
        if done == _STEPS:
            inverse -= rows.T @ (rows / pivots)
            done = 0
    return found


def selected(second: Tensor, ridge: float = RIDGE) -> Tensor:
    """Return the features in the order in which a greedy forward selection takes them.

    At each step the feature is taken that lowers most the trace of what the taken ones leave open
    of all features: ``S - S[:, K] (S[K, K] + a I)^-1 S[K, :]`` for the second moments S and the
    taken features K. Of equal ones the first is taken.

    Parameters
    ----------
    second : Tensor (features, features)
        Second moments S.
    ridge : float
        a as a fraction of the mean second moment of all features.

    Returns
    -------
    LongTensor (features,), on the CPU
    """
    residual = second.detach().double().clone()
    added = ridge * float(residual.diagonal().mean())
    width, device = len(residual), residual.device
    order: list[int] = []
    is_left = torch.ones(width, dtype=torch.bool, device=device)
    # The residual is brought up to date once in many steps, by a matrix product. Between, only its
    # diagonal and the squared norms of its columns are.
    while len(order) < width:
        diagonal, squared = residual.diagonal().clone(), residual.square().sum(0)
        taken: list[Tensor] = []
        for _ in range(min(_STEPS, width - len(order))):
            gain = torch.where(is_left & (diagonal > 0), squared / (diagonal + added), 0.0)
            gain = torch.where(is_left, gain.clamp(min=0.0), -torch.inf)
            # argmax does not say which of equal ones it gives.
            feature = int((gain == gain.max()).nonzero()[0])
            before = torch.stack(taken) if taken else residual.new_zeros(0, width)
            column = residual[feature] - before[:, feature] @ before
            # Scaled so that the update is its outer product. Features that are always 0 have none.
            pivot = column[feature] + added
            step = column / pivot.sqrt() if pivot > 0 else torch.zeros_like(column)
            product = residual @ step - (before @ step) @ before
            squared = squared - 2 * step * product + step.square() * step.square().sum()
            diagonal = diagonal - step.square()
            taken.append(step)
            is_left[feature] = False
            order.append(feature)
        steps = torch.stack(taken)
        residual = residual - steps.T @ steps
    return torch.tensor(order)
