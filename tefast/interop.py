"""Ways into other libraries: feature selection of scikit-learn, metrics of torchmetrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tefast._significance.significance import METHODS, significance
from tefast._tables.states import check_positive
from tefast.streaming import Entropy, TransferEntropy
from tefast.transfer import transfer_entropy
from tefast.typing import Method


@dataclass(frozen=True)
class ScoreFunction:
    """What `score_func` makes: can be called, copied and pickled."""

    method: Method | None
    steps: int | None
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, X: Any, y: Any) -> Any:
        """Scores (U,) and p-values (U,) of features X (samples, U) by the source y (samples,)."""
        h, source = np.asarray(X), np.asarray(y)
        if h.ndim != 2:
            raise ValueError(f"X (target) must have shape (samples, features), got {h.shape}")
        if source.shape != h.shape[:1]:
            raise ValueError(
                f"y (source) must have shape {h.shape[:1]} to go with X (target) of shape "
                f"{h.shape}, got {source.shape}"
            )
        if self.steps is not None:
            if len(h) % self.steps:
                raise ValueError(
                    f"sequences of steps={self.steps} do not divide the {len(h)} samples of X"
                )
            source = source.reshape(-1, self.steps)
            h = h.reshape(*source.shape, -1)
        if self.method is None:
            return transfer_entropy(h, source, **self.options)
        found = significance(h, source, method=self.method, **self.options)
        return found.te, found.p_value


def score_func(
    bins: int = 16, *, method: Method | None = "auto", steps: int | None = None, **options: Any
) -> ScoreFunction:
    """A ``score_func`` for `sklearn.feature_selection.SelectKBest` and its like.

    Called with features X, the **target**, and y, the **source**: samples are steps, in their
    order, and a feature's score is what y tells about its next value.

    Parameters
    ----------
    bins : int, default 16
    method : {"auto", "trials", "circular", "shuffle", "conditional", "chi2", None}, default "auto"
        Where p-values come from: see `significance`. None gives scores alone, far sooner.
    steps : int, optional
        Steps of each sequence, where the samples are several of one length, one after the other.
        None: all samples are one sequence.
    **options
        Others of `significance`, or of `transfer_entropy` where `method` is None.

    Returns
    -------
    callable
        From X (samples, U) and y (samples,) to scores (U,) and p-values (U,).

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> y, x = rng.random(4000), rng.random((4000, 3))
    >>> x[1:, 2] = 0.5 * y[:-1] + 0.5 * x[1:, 2]
    >>> scores, p_values = tefast.interop.score_func(bins=4, steps=100)(x, y)
    >>> print(scores.argmax(), p_values.argmin())
    2 2
    """
    if method is not None and method not in METHODS:
        known = ", ".join(map(repr, (*METHODS, None)))
        raise ValueError(f"unknown method {method!r}; known are {known}")
    steps = None if steps is None else check_positive(steps, "steps")
    return ScoreFunction(method, steps, {"bins": bins, **options})


def metric(streaming: TransferEntropy | Entropy, **options: Any) -> Any:
    """A `torchmetrics.Metric` that counts as `streaming` does.

    ``update(h, y)`` (``update(h)`` for `Entropy`), ``compute``, ``reset``, ``merge_state`` and
    ``forward`` are torchmetrics' own habits; counts are a state that is summed over processes. In a
    `torchmetrics.MetricCollection` pass ``h=`` and ``y=`` by name.

    Parameters
    ----------
    streaming : TransferEntropy or Entropy
        Its settings are taken, not its counts.
    **options
        Of `torchmetrics.Metric`.

    Returns
    -------
    torchmetrics.Metric

    Raises
    ------
    ImportError
        If torchmetrics is not installed.
    """
    if not isinstance(streaming, (TransferEntropy, Entropy)):
        raise TypeError(
            f"metric takes a TransferEntropy or an Entropy, got {type(streaming).__name__}"
        )
    try:
        from tefast.metric import EntropyMetric, TransferEntropyMetric
    except ModuleNotFoundError as error:
        raise ImportError("a metric needs torchmetrics: pip install torchmetrics") from error
    kind = TransferEntropyMetric if isinstance(streaming, TransferEntropy) else EntropyMetric
    return kind(streaming, **options)
