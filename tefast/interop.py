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
    """The result of `score_func`, which can be called, copied and pickled.

    Attributes
    ----------
    method : str or None
        The method of `significance`; None gives scores alone.
    steps : int or None
        Steps of each sequence; None takes all samples as one sequence.
    options : dict of str to object
        Other arguments of `significance`, or of `transfer_entropy` if `method` is None.
    """

    method: Method | None
    steps: int | None
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, X: Any, y: Any) -> Any:
        """Score features.

        Parameters
        ----------
        X : array_like, shape (samples, U)
            The features, which are the **target**.
        y : array_like, shape (samples,)
            The **source**.

        Returns
        -------
        tuple of float64 ndarrays (U,)
            Scores and p-values; the scores alone if `method` is None.

        Raises
        ------
        ValueError, TypeError
            If the shapes do not fit each other or `steps`, and whatever `significance` raises.
        """
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
    """Make a ``score_func`` for `sklearn.feature_selection.SelectKBest` and similar classes.

    It is called with features X, the **target**, and y, the **source**. Samples are steps, in their
    order. The score of a feature is how much y tells about its next value.

    Parameters
    ----------
    bins : int, default 16
        Number of bins, or of symbols; 2 to 256.
    method : {"auto", "trials", "circular", "shuffle", "conditional", "chi2", None}, default "auto"
        Where p-values come from: see `significance`. None gives scores alone, which takes far less
        time.
    steps : int, optional
        Steps of each sequence, if the samples are several sequences of one length, one after the
        other. Default: all samples are one sequence.
    **options
        Other arguments of `significance`, or of `transfer_entropy` if `method` is None.

    Returns
    -------
    ScoreFunction
        From X (samples, U) and y (samples,) to scores (U,) and p-values (U,).

    Raises
    ------
    ValueError, TypeError
        If `method` or `steps` is not as described.

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

    Its methods are those of torchmetrics: ``update(h, y)``, or ``update(h)`` for `Entropy`,
    ``compute``, ``reset``, ``merge_state`` and ``forward``. Counts are a state that is summed over
    processes. In a `torchmetrics.MetricCollection` pass ``h=`` and ``y=`` by name.

    Parameters
    ----------
    streaming : TransferEntropy or Entropy
        Its settings are taken, but not its counts.
    **options
        Arguments of `torchmetrics.Metric`.

    Returns
    -------
    torchmetrics.Metric

    Raises
    ------
    ImportError
        If torchmetrics is not installed.
    TypeError
        If `streaming` is of another class.
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
