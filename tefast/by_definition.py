"""Any measure by its definition, of all data at once."""

from __future__ import annotations

from typing import Any, Unpack, overload

from tefast import measures
from tefast._counting import evaluation
from tefast._counting.options import Options
from tefast._support.parameters import documented
from tefast.measures import Measure
from tefast.typing import (
    ArrayLike,
    BackendName,
    Bias,
    BinningLike,
    EvaluateOptions,
    NanPolicy,
    Scores,
    TensorLike,
)


@overload
def evaluate(
    measure: str | Measure,
    h: ArrayLike,
    y: Any = ...,
    z: Any = ...,
    **options: Unpack[EvaluateOptions],
) -> Scores: ...
@overload
def evaluate(
    measure: str | Measure,
    h: TensorLike,
    y: Any = ...,
    z: Any = ...,
    **options: Unpack[EvaluateOptions],
) -> TensorLike: ...
@overload
def evaluate(
    measure: str | Measure, h: Any, y: Any = ..., z: Any = ..., **options: Unpack[EvaluateOptions]
) -> Any: ...
@documented
def evaluate(
    measure: str | Measure,
    h: Any,
    y: Any = None,
    z: Any = None,
    *,
    bins: int = 16,
    target_history: int = 1,
    source_history: int = 1,
    delay: int | None = None,
    target_step: int = 1,
    source_step: int = 1,
    joint: bool = False,
    binning: BinningLike = "uniform",
    h_range: Any = None,
    y_range: Any = None,
    z_range: Any = None,
    lengths: Any = None,
    mask: Any = None,
    layout: str | None = None,
    nan_policy: NanPolicy = "raise",
    bias: Bias | None = None,
    base: float = 2,
    backend: BackendName = "auto",
    threads: int | None = None,
) -> Any:
    """Return any measure of every unit of `h`, by its definition.

    Parameters
    ----------
    {measure}
    h, y, z : array_like
        The **target**, the **source** and the **conditions**: those that the measure counts, and no
        others.
    {bins}
    {target_history, source_history}
    delay : int, optional
        Steps from the source's last symbol to the target's next. Default: the least that the
        measure takes, 0 for mutual information and 1 for transfer entropy.
    {target_step, source_step, joint, binning}
    h_range, y_range, z_range : (low, high), optional
        The ranges that uniform bins divide: two numbers, or two arrays with one for each unit or
        series. Values outside fall into the end bins. Default: the range of the data.
    {lengths, mask, layout, nan_policy, bias, base, backend, threads}

    Returns
    -------
    float64 array, shape (U,), or a scalar where `h` has no axis of units

    Raises
    ------
    ValueError, TypeError
        Before any counting, saying what was expected and what came.

    Examples
    --------
    >>> import numpy as np, tefast
    >>> rng = np.random.default_rng(0)
    >>> h, y = rng.integers(0, 2, (100, 50, 3)), rng.integers(0, 2, (100, 50))
    >>> te = tefast.evaluate("transfer_entropy", h, y, bins=2, target_history=2)
    >>> bool((te == tefast.transfer_entropy(h, y, bins=2, target_history=2)).all())
    True
    """
    defined = measures.find(measure)
    embedding = defined.embedding(target_history, source_history, delay, target_step, source_step)
    options = Options.check(bins, binning, nan_policy, base, backend, threads)
    given = defined.taken({"h": h, "y": y, "z": z})
    ranges = defined.limits({"h": h_range, "y": y_range, "z": z_range})
    if joint and "y" not in given:
        raise TypeError(f"{defined.name} has no y that joint could be of")
    return evaluation.evaluated(
        defined, embedding, options, given, ranges,
        bias=bias, lengths=lengths, mask=mask, layout=layout, joint=joint,
    )  # fmt: skip
