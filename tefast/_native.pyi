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

class Input:
    def __init__(
        self,
        values: npt.NDArray[Any],
        dtype: str,
        mapped: bool,
        inner: npt.NDArray[np.float64] | None,
        bins: int,
        lengths: npt.NDArray[np.int64] | None,
    ) -> None: ...

class Windows:
    def __init__(
        self,
        codes: npt.NDArray[np.int16],
        bins: int,
        back: Sequence[int],
        shared: npt.NDArray[np.int64],
        states: int,
    ) -> None: ...

class PairSide:
    def __init__(self, rows: npt.NDArray[np.uint64], any: npt.NDArray[np.uint64]) -> None: ...

class Limits:
    chunk_bytes: int
    least_rows: int
    resident_bytes: int
    table_bytes: int
    apart_bytes: int
    window_rows: int
    kept_bytes: int
    schedule_bytes: int

def scan(input: Input, threads: int) -> _Scan: ...
def find_ranks(
    input: Input, shares: npt.NDArray[np.float64], threads: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]: ...
def sort_units(
    input: Input, units: npt.NDArray[np.int64], threads: int
) -> npt.NDArray[np.float64]: ...
def encode(input: Input, threads: int) -> npt.NDArray[np.int16]: ...
def count_values(input: Input, counts: npt.NDArray[np.int64], threads: int) -> None: ...
def count_transitions(
    target: Input,
    source: npt.NDArray[np.int16],
    counts: npt.NDArray[np.int64],
    threads: int,
) -> None: ...
def recent_size(units: int, bins: int, states: int) -> int: ...
def count_recent(
    target: Input,
    source: npt.NDArray[np.int16],
    states: int,
    omit: bool,
    recent: npt.NDArray[np.uint16],
    threads: int,
) -> bool: ...
def move_recent(
    recent: npt.NDArray[np.uint16], counts: npt.NDArray[np.int64], threads: int
) -> None: ...
def transfer_entropy(
    target: Input, source: npt.NDArray[np.int16], states: int, omit: bool, threads: int
) -> tuple[npt.NDArray[np.float64], bool]: ...
def transfer_entropies(
    target: Input,
    sources: npt.NDArray[np.int16],
    states: int,
    omit: bool,
    threads: int,
    back: Sequence[int] = (),
    with_next: bool = True,
    told: str = "by_source",
    inner: int = 0,
) -> tuple[npt.NDArray[np.float64], bool]: ...
def local_values(
    target: Input,
    source: npt.NDArray[np.int16],
    states: int,
    first: int,
    unit: tuple[float, float, float],
    omit: bool,
    threads: int,
    back: Sequence[int],
) -> tuple[npt.NDArray[np.float64], bool, bool]: ...
def score_counts(counts: npt.NDArray[np.int64], threads: int) -> npt.NDArray[np.float64]: ...
def count_windows(windows: Windows, counts: npt.NDArray[np.int64], threads: int) -> None: ...
def conditional_surrogates(
    own: npt.NDArray[np.int64],
    nexts: int,
    source: npt.NDArray[np.int64],
    orders: npt.NDArray[np.uint32],
    threads: int,
) -> npt.NDArray[np.float64]: ...
def pack_windows(
    codes: npt.NDArray[np.int16], bins: int, back: Sequence[int], threads: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]: ...
def move_bits(
    rows: npt.NDArray[np.uint64], steps: int, kept: npt.NDArray[np.uint64], threads: int
) -> npt.NDArray[np.uint64]: ...
def score_pairs(
    targets: PairSide,
    sources: Sequence[PairSide],
    nexts: int,
    nats: npt.NDArray[np.float64],
    threads: int,
) -> None: ...
def count_pairs(
    targets: PairSide, sources: PairSide, nexts: int, threads: int
) -> npt.NDArray[np.int64]: ...
def all_guessed(inner: npt.NDArray[np.float64], dtype: str, units: int) -> bool: ...
def use_level(name: str) -> None: ...
def use_limits(limits: Limits) -> None: ...
def build_info() -> dict[str, Any]: ...
