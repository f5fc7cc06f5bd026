"""What tests of significance found: fields, a frame, a plot; false discoveries among many units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._inputs.kinds import unit_names
from tefast._significance.false_discoveries import benjamini_hochberg
from tefast._support.mapped import in_parts
from tefast._support.parameters import documented

Floats = npt.NDArray[np.float64]

FIELDS = (
    "te",
    "p_value",
    "q_value",
    "null_mean",
    "null_std",
    "effective_te",
    "standard_error",
)
"""Those that have a value for every unit."""


@dataclass(frozen=True, repr=False)
class Significance:
    """The result of `significance`.

    The first seven fields have the shape (U,), in the kind of `h`. They are scalars if `h` has no
    axis of units.

    Attributes
    ----------
    te : array
        Transfer entropy, in units of ``log(base)``.
    p_value : array
        The probability of a transfer entropy at least as high if there is no coupling.
    q_value : array
        p adjusted for the number of units (`benjamini_hochberg`). If all units with q up to 0.05
        are called significant, at most 5 % of them are expected to be false.
    null_mean : array
        Mean of transfer entropy without a coupling.
    null_std : array
        Standard deviation of transfer entropy without a coupling.
    effective_te : array
        ``te - null_mean``. Without a coupling it has no bias. With a strong coupling, which leaves
        cells empty, it is too low, because the bias of the null is larger than that of `te`.
    standard_error : array
        Standard error of `te`, from the spread of its local values over transitions, as if these
        were independent.
    method : str
        The method that was used.
    surrogates : int
        The number of surrogates; 0 for "chi2".
    alpha : float
        A unit whose q-value is below it counts as significant.
    base : float
        The base of the logarithms.
    """

    te: Any
    p_value: Any
    q_value: Any
    null_mean: Any
    null_std: Any
    effective_te: Any
    standard_error: Any
    method: str
    surrogates: int = 0
    alpha: float = 0.05
    base: float = 2.0

    def __repr__(self) -> str:
        te, p, q = (on_host(each) for each in (self.te, self.p_value, self.q_value))
        how = f"{self.surrogates} surrogates" if self.surrogates else "no surrogates"
        lines = [
            f"Significance of {len(te)} unit{'s' * (len(te) != 1)}",
            f"  significant: {int((q < self.alpha).sum())} at q < {self.alpha:g}",
            f"  method:      {self.method}, {how}",
        ]
        if not np.isnan(te).all():
            top = int(np.nanargmax(te))
            lines.append(
                f"  highest:     unit {self._labels()[top]} with te {te[top]:#.4g} "
                f"{unit_name(self.base)}, p {p[top]:#.4g}, q {q[top]:#.4g}"
            )
        return "\n".join(lines)

    def to_frame(self, names: Sequence[Any] | None = None) -> Any:
        """A `pandas.DataFrame` with a row for every unit.

        Parameters
        ----------
        names : sequence of length U, optional
            The names of the units. Default: those that `h` has, or 0, 1, ...

        Returns
        -------
        pandas.DataFrame
            Its columns are the fields of shape (U,); ``attrs`` holds the others.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If there is not one name for each unit.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError("to_frame needs pandas: pip install pandas") from error
        columns = {name: on_host(getattr(self, name)) for name in FIELDS}
        labels = self._labels() if names is None else list(names)
        if len(labels) != len(columns["te"]):
            raise ValueError(
                f"names: expected one for each of {len(columns['te'])} units, got {len(labels)}"
            )
        frame = pandas.DataFrame(columns, index=pandas.Index(labels, name="unit"))
        others = ("method", "surrogates", "alpha", "base")
        frame.attrs.update({name: getattr(self, name) for name in others})
        return frame

    @documented
    def plot(self, title: str = "Transfer entropy") -> Any:
        """Plot scores from the highest to the lowest, beside what chance gives.

        Significant scores are marked.

        Parameters
        ----------
        title : str, default "Transfer entropy"
            The title of the figure.

        {sections:plot}
        """
        from tefast import plot

        fields: dict[str, Any] = {name: on_host(getattr(self, name)) for name in FIELDS}
        found = replace(self, **fields)
        return plot.scores(
            found.te,
            found,
            unit=unit_name(self.base),
            alpha=self.alpha,
            title=title,
            names=[str(label) for label in self._labels()],
        )

    def _labels(self) -> list[Any]:
        """Names of the units, where the kind of `h` has such, or their numbers."""
        names = unit_names(self.te)
        return list(range(len(on_host(self.te)))) if names is None else names


def on_host(field: Any) -> Floats:
    """A field as an ndarray of shape (U,)."""
    if hasattr(field, "cpu"):  # of PyTorch
        field = field.cpu()
    elif hasattr(field, "__cuda_array_interface__"):  # of CuPy
        field = field.get()
    return np.asarray(field, dtype=np.float64).reshape(-1)  # a table of polars has one row


def unit_name(base: float) -> str:
    """What a logarithm's base makes information be measured in."""
    return {2.0: "bits", math.e: "nats", 10.0: "dits"}.get(base, f"log {base:g}")


def check_alpha(alpha: Any) -> float:
    """`alpha` as a float between 0 and 1."""
    try:
        if isinstance(alpha, (str, bytes)):
            raise TypeError
        number = float(alpha)
    except (TypeError, ValueError):
        raise TypeError(f"alpha must be a number between 0 and 1, got {alpha!r}") from None
    if not 0 < number < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha!r}")
    return number


def too_few(
    p: Floats,
    surrogates: int,
    alpha: float,
    ways: float,
    what: str = "units",
    q: Floats | None = None,
) -> str | None:
    """Why no unit could be significant though some exceed all surrogates, and what would do.

    Parameters
    ----------
    p : ndarray, shape (U,)
        NaN does not count.
    surrogates : int
    alpha : float
        What q must be below.
    ways : float
        How many different surrogates there can be, the source among them.
    what : str, default "units"
        What is tested.
    q : ndarray of the shape of `p`, optional
        The q-values, if they are known.

    Returns
    -------
    str or None
        None where units are significant, or none exceeds the surrogates.
    """
    least = 1 / (surrogates + 1)
    tested = sum(int((~np.isnan(some)).sum()) for some in in_parts(p))
    best = sum(int((some <= least * (1 + 1e-9)).sum()) for some in in_parts(p))
    if not best:
        return None
    q = benjamini_hochberg(p) if q is None else q
    if any((some < alpha).any() for some in in_parts(q)):
        return None
    # Of those beyond all surrogates some are there by chance, and more surrogates will tell.
    chance = tested * least
    beyond = max(1, best - math.floor(chance + 2 * math.sqrt(chance)))
    needed = math.ceil(tested / (beyond * alpha))
    which = f"{best} of {tested} {what} exceed{'s' * (best == 1)}" if tested > 1 else "it exceeds"
    text = f"{which} all of {surrogates} surrogates, but then p is no less than {least:.2g}"
    if tested > 1:
        text += f" and q no less than {min(1.0, tested * least / best):.2g}"
    if needed >= ways:
        return (
            f"{text}, and there are no more than {ways - 1:.0f} different ones. It takes longer "
            "sequences, more of them, or 'shuffle' if the source has no memory"
        )
    return f"{text}; surrogates={needed} would do for q < {alpha:g}"
