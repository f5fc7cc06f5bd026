from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

class _Scan(TypedDict):
    nan: int
    infinite: int
    outside: int
    first_nan: int
    first_bad: int
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

def scan(
    values: npt.NDArray[Any],
    dtype: str,
    mapped: bool,
    lengths: npt.NDArray[np.int64] | None,
    bins: int,
    threads: int,
) -> _Scan: ...
def encode(
    values: npt.NDArray[Any],
    dtype: str,
    inner: npt.NDArray[np.float64] | None,
    bins: int,
    lengths: npt.NDArray[np.int64] | None,
    threads: int,
) -> npt.NDArray[np.int16]: ...
def count_values(
    values: npt.NDArray[Any],
    dtype: str,
    mapped: bool,
    inner: npt.NDArray[np.float64] | None,
    bins: int,
    lengths: npt.NDArray[np.int64] | None,
    counts: npt.NDArray[np.int64],
    threads: int,
) -> None: ...
def count_transitions(
    target: npt.NDArray[Any],
    dtype: str,
    mapped: bool,
    inner: npt.NDArray[np.float64] | None,
    bins: int,
    lengths: npt.NDArray[np.int64] | None,
    source: npt.NDArray[np.int16],
    states: int,
    omit: bool,
    counts: npt.NDArray[np.int64],
    threads: int,
) -> bool: ...
def transfer_entropy(
    target: npt.NDArray[Any],
    dtype: str,
    mapped: bool,
    inner: npt.NDArray[np.float64] | None,
    bins: int,
    lengths: npt.NDArray[np.int64] | None,
    source: npt.NDArray[np.int16],
    states: int,
    omit: bool,
    threads: int,
) -> tuple[npt.NDArray[np.float64], bool]: ...
def transfer_entropies(
    target: npt.NDArray[Any],
    dtype: str,
    mapped: bool,
    inner: npt.NDArray[np.float64] | None,
    bins: int,
    lengths: npt.NDArray[np.int64] | None,
    sources: npt.NDArray[np.int16],
    states: int,
    omit: bool,
    threads: int,
) -> tuple[npt.NDArray[np.float64], bool]: ...
def score_counts(counts: npt.NDArray[np.int64], threads: int) -> npt.NDArray[np.float64]: ...
def count_windows(
    codes: npt.NDArray[np.int16],
    bins: int,
    back: Sequence[int],
    shared: npt.NDArray[np.int64],
    states: int,
    counts: npt.NDArray[np.int64],
    threads: int,
) -> None: ...
def conditional_surrogates(
    own: npt.NDArray[np.int64],
    nexts: int,
    source: npt.NDArray[np.int64],
    orders: npt.NDArray[np.uint32],
    threads: int,
) -> npt.NDArray[np.float64]: ...
def all_guessed(inner: npt.NDArray[np.float64], dtype: str, units: int) -> bool: ...
def use_level(name: str) -> None: ...
def use_limits(
    chunk_bytes: int = ...,
    least_rows: int = ...,
    resident_bytes: int = ...,
    table_bytes: int = ...,
    apart_bytes: int = ...,
    window_rows: int = ...,
    kept_bytes: int = ...,
    schedule_bytes: int = ...,
) -> None: ...
def build_info() -> dict[str, Any]: ...
