"""Types of arguments, for annotations: what `numpy.typing` is to NumPy.

Functions that give scores say so to type checkers: arrays of NumPy, and lists, give arrays of
float64, tensors of PyTorch give tensors. Of other kinds a checker knows nothing. A target without
an axis of units gives a scalar, which looks like an array to a checker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

BackendName: TypeAlias = Literal["auto", "reference", "cpu", "cuda"]
BinningName: TypeAlias = Literal["uniform", "quantile", "symbols"]
Bias: TypeAlias = Literal["miller_madow", "grassberger"]
Method: TypeAlias = Literal["auto", "trials", "circular", "shuffle", "conditional", "chi2"]
NanPolicy: TypeAlias = Literal["raise", "omit"]

Scores: TypeAlias = npt.NDArray[np.float64]
"""What arrays give."""


class SupportsArray(Protocol):
    """What NumPy can make an array of."""

    def __array__(self) -> npt.NDArray[Any]:
        """The array."""


class BinningRule(Protocol):
    """A `tefast.Binning`, or another rule of `tefast.binning`."""

    @property
    def takes_labels(self) -> bool:
        """Whether values are relabelled."""

    def count(self, bins: int) -> int:
        """How many bins there are where `bins` are asked for."""


EdgesLike: TypeAlias = Sequence[float] | Sequence[Sequence[float]] | SupportsArray
BinningOfOne: TypeAlias = BinningName | EdgesLike | BinningRule
BinningLike: TypeAlias = BinningOfOne | Mapping[str, BinningOfOne]
"""What the argument `binning` takes."""

Numbers: TypeAlias = (
    Sequence[float] | Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]]
)
ArrayLike: TypeAlias = npt.NDArray[Any] | Numbers
"""Targets whose scores are arrays of NumPy."""
TensorLike: TypeAlias = "Tensor"
"""Targets whose scores are tensors."""


class CommonOptions(TypedDict, total=False):
    """Keyword arguments of every function of a target."""

    binning: BinningLike
    h_range: Any
    lengths: Any
    mask: Any
    layout: str | None
    nan_policy: NanPolicy
    backend: BackendName
    threads: int | None


class EntropyOptions(CommonOptions, total=False):
    """Those of `tefast.entropy`."""

    base: float


class OwnOptions(EntropyOptions, total=False):
    """Those of `tefast.active_information` and `tefast.entropy_rate`."""

    history: int
    step: int
    bias: Bias | None


class MutualOptions(CommonOptions, total=False):
    """Those of `tefast.mutual_information`."""

    y_range: Any
    delay: int
    joint: bool
    base: float
    bias: Bias | None


class NormalizedOptions(CommonOptions, total=False):
    """Those of `tefast.normalized_transfer_entropy`."""

    y_range: Any
    target_history: int
    source_history: int
    delay: int
    target_step: int
    source_step: int
    joint: bool


class LocalOptions(NormalizedOptions, total=False):
    """Those of `tefast.local_transfer_entropy`."""

    base: float


class TransferOptions(LocalOptions, total=False):
    """Those of `tefast.transfer_entropy`, its reverse and its windows."""

    bias: Bias | None


class ConditionalOptions(TransferOptions, total=False):
    """Those of `tefast.conditional_transfer_entropy`."""

    z_range: Any


class EvaluateOptions(CommonOptions, total=False):
    """Those of `tefast.evaluate`."""

    bins: int
    y_range: Any
    z_range: Any
    target_history: int
    source_history: int
    delay: int | None
    target_step: int
    source_step: int
    joint: bool
    base: float
    bias: Bias | None
