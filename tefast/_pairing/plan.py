"""The plan of a job: which tiles there are, where their results go, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._counting import evaluation
from tefast._counting.pairs import Tile
from tefast._inputs.values import Values
from tefast._pairing.asked import Asked, check_sources, series_names
from tefast._pairing.measuring import digest
from tefast._significance.false_discoveries import adjust
from tefast._significance.pairs import PairTest
from tefast._significance.result import too_few
from tefast._support.mapped import by_rows, in_parts, let_go
from tefast._support.memory import memory_limit
from tefast._support.progress import Bar, Progress
from tefast._support.tiles import TiledResults
from tefast._support.warn import warn
from tefast.networks import Network

BAR_AFTER = 2.0
"""Seconds before a bar is shown."""

Found = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Plan:
    """Which pairs there are, and where their results go.

    Attributes
    ----------
    asked : Asked
    sizes : tuple of int
        (N, T, U) of the series.
    names : tuple, length U
    sources : ndarray of int64, shape (S,)
        Which of the series are sources.
    given : dict
        The caller's arrays that get results, by the names of the fields of `Network`.
    checkpoint : Path or None
    """

    asked: Asked
    sizes: tuple[int, int, int]
    names: tuple[Any, ...]
    sources: npt.NDArray[np.int64]
    given: Found
    checkpoint: Path | None

    @classmethod
    def check(cls, asked: Asked, target: Values, sources: Any, out: Any, checkpoint: Any) -> Plan:
        """Raise ValueError or TypeError for the first argument that does not go with the series."""
        asked.check_series(target)
        names = series_names(target)
        numbers = check_sources(sources, names)
        sequences, steps, units = target.array.shape
        found = cls(
            asked,
            (int(sequences), int(steps), int(units)),
            names,
            numbers,
            {} if out is None else {"te": _check_out(out, (len(numbers), int(units)))},
            None if checkpoint is None else Path(checkpoint),
        )
        found.check_room()
        return found

    def check_room(self) -> None:
        """Raise a ValueError where the arrays that are to be made are beyond memory."""
        needed = sum(
            math.prod(shape) * dtype.itemsize
            for name, (shape, dtype) in self.shapes().items()
            if name not in self.given
        )
        limit = memory_limit()
        if self.checkpoint is None and needed > limit:
            raise ValueError(
                f"the result takes {needed / 2**30:.1f} GiB, more than the {limit / 2**30:.1f} GiB "
                "of memory here; pass checkpoint=, a folder in which it is kept in files, or fewer "
                "sources"
            )

    def shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of every array that tiles are put in."""
        asked, shape = self.asked, (len(self.sources), self.sizes[2])
        floats = np.dtype(np.float64)
        integers = next(
            np.dtype(kind)
            for kind in (np.int16, np.int32, np.int64)
            if max(asked.delays) <= np.iinfo(kind).max
        )
        found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "te": (shape, floats),
            "delay": (shape, integers),
        }
        several = ["coincidence"] if len(asked.delays) > 1 else []
        if asked.test is not None:
            several += ["p_value", "null_mean", "null_std", "effective_te"]
        found |= dict.fromkeys(several, (shape, floats))
        if asked.by_delay:
            found["te_by_delay"] = ((len(asked.delays), *shape), floats)
        return found

    def itself(self, tile: Tile) -> npt.NDArray[np.bool_]:
        """Where a source and a target of a tile are the same series."""
        targets = np.arange(tile.targets.start, tile.targets.stop)
        return np.asarray(self.sources[tile.sources, np.newaxis] == targets)

    def results(self, tiles: list[Tile], settings: dict[str, Any]) -> TiledResults:
        """Make or open where tiles are put.

        Parameters
        ----------
        settings : dict
            What the results depend on in the data, for a checkpoint.
        """
        told = {}
        if self.checkpoint is not None:
            first, *_ = tiles
            sizes = [len(tiles), *(s.stop - s.start for s in (first.sources, first.targets))]
            told = self._settings() | settings | {"tiles": sizes}
        # A checkpoint has all results itself: the caller's arrays may be others the next time.
        given = {} if self.checkpoint is not None else self.given
        found = TiledResults(self.shapes(), given, self.checkpoint, told)
        found.ready()
        return found

    def fill(
        self,
        results: TiledResults,
        tiles: list[Tile],
        measure: Callable[[list[int]], Iterable[tuple[int, Found]]],
        progress: Progress | None,
    ) -> None:
        """Have all tiles measured that are not done, and put them in their places.

        Parameters
        ----------
        measure : callable
            Gives the results of tiles of these numbers, in any order.
        """
        sizes = [_pairs_of(tile) for tile in tiles]
        todo = [i for i in range(len(tiles)) if i not in results.done]
        total = sum(sizes)
        done = total - sum(sizes[i] for i in todo)
        with ExitStack() as stack:
            stack.callback(results.settle)
            watch = progress or stack.enter_context(Bar("pairs", after=BAR_AFTER))
            for i, found in measure(todo):
                results.put(i, (tiles[i].sources, tiles[i].targets), found)
                done += sizes[i]
                watch(done, total)

    def network(self, results: TiledResults, test: PairTest | None) -> Network:
        """The network, once all tiles are done."""
        arrays = results.arrays()
        for name, array in self.given.items():
            if arrays[name] is not array:
                for some in by_rows(array):
                    array[some] = arrays[name][some]
                arrays[name] = array
        if all(bool(np.isnan(some).all()) for some in in_parts(arrays["te"])):
            evaluation.raise_nothing_left()
        if test is not None:
            p = arrays["p_value"]
            q = arrays["q_value"] = results.beside("q_value", p.shape, p.dtype)
            adjust(p, q)
            self._warn_of_few(p, q, test)
        for array in arrays.values():
            let_go(array)
        return Network(
            names=self.names,
            source_names=tuple(self.names[i] for i in self.sources.tolist()),
            delays=self.asked.delays,
            method=None if test is None else test.method,
            surrogates=0 if test is None else test.drawn,
            alpha=self.asked.alpha,
            base=self.asked.options.base,
            **arrays,
        )

    def _warn_of_few(self, p: Any, q: Any, test: PairTest) -> None:
        if test.method == "chi2":
            return
        reason = too_few(p, test.drawn, self.asked.alpha, test.ways, "pairs", q)
        if reason is not None:
            warn(f"significance={test.method!r}: {reason}")

    def _settings(self) -> dict[str, Any]:
        """The arguments that the results depend on."""
        asked, embedding, test = self.asked, self.asked.embedding, self.asked.test
        return {
            "shape": list(self.sizes),
            "sources": digest(self.sources),
            "delays": list(asked.delays),
            "histories": [
                embedding.target_history, embedding.source_history,
                embedding.target_step, embedding.source_step,
            ],
            "bias": asked.bias,
            "base": asked.options.base,
            "by_delay": asked.by_delay,
            "test": None if test is None else [test.method, test.surrogates, test.seed],
        }  # fmt: skip


def _pairs_of(tile: Tile) -> int:
    sources, targets = tile.sources, tile.targets
    return int((sources.stop - sources.start) * (targets.stop - targets.start))


def _check_out(out: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or not out.flags.writeable:
        got = f"{out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"out must be an array of float64 that can be written to, got {got}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    return out
