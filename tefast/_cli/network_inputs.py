"""The series that ``network`` reads: of arrays and tables, or made of spike times."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tefast
from tefast._cli.inputs import Files, lengths_of, names_of, units_of
from tefast._cli.network_arguments import DEFAULTS, SPIKE_BINS
from tefast._cli.recordings import Recording, TextTable, of_array
from tefast._cli.recordings.choice import ColumnChoice, Columns
from tefast._cli.recordings.numbers import as_target
from tefast._cli.recordings.recording import row_of
from tefast._cli.wording import NETWORK, Wording, worded
from tefast._support.warn import warn

Array = npt.NDArray[Any]
COLUMNS = ("cell", "time")
"""What the columns of spike times are called."""
OF_SERIES = ("names", "lengths", "layout", "bin_integers", "edges", "x_range")
"""Options that spike times do not go with."""


@dataclass(frozen=True)
class SeriesInputs:
    """What is measured.

    Attributes
    ----------
    x : Recording
    bins : int
    lengths : ndarray or None
    names : tuple of str or of int, or None
        Of the series.
    sources : tuple of int, or None
        Which of the series are sources; None: all.
    """

    x: Recording
    bins: int
    lengths: Any
    names: tuple[Any, ...] | None
    sources: tuple[int, ...] | None

    def name(self, place: int) -> Any:
        """The name of a series, or its number."""
        return place if self.names is None else self.names[place]


def check(options: argparse.Namespace) -> None:
    """Raise where options of spike times and of series do not go together."""
    if options.spikes is None:
        for name in ("start", "stop"):
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} goes with --spikes WIDTH")
        return
    for name in OF_SERIES:
        if getattr(options, name):
            flag = NETWORK.flags.get(name, f"--{name.replace('_', '-')}")
            raise ValueError(f"{flag} does not go with --spikes, whose series are made of times")
    for name in ("binning", "nan_policy"):
        if getattr(options, name) != DEFAULTS[name]:
            flag = f"--{name.replace('_', '-')} {getattr(options, name)}"
            raise ValueError(f"{flag} does not go with --spikes, whose series are made of times")


def read(options: argparse.Namespace, files: Files) -> SeriesInputs:
    """Find what the options name; arrays stay in their files, columns of tables are read."""
    names: tuple[Any, ...] | None
    if options.spikes is None:
        choice = files.choose(options.series, "--series", options.file)
        symbols = options.binning == "symbols"
        x = as_target(choice, "--series", numbers=options.bin_integers, symbols=symbols)
        names, count = names_of(options, files, x), units_of(options, x)
        lengths, bins = lengths_of(options, files), DEFAULTS["bins"]
        _refuse_twins(names, x.name)
    else:
        x, names = _of_spikes(options, files)
        lengths, bins, count = None, SPIKE_BINS, len(names)
    sources = _sources(options.sources, names, count, x.name)
    bins = bins if options.bins is None else options.bins
    return SeriesInputs(x, bins, lengths, names, sources)


def _refuse_twins(names: Sequence[str] | None, of: str) -> None:
    """Raise where two series have one name: nobody could tell their edges apart."""
    seen: set[str] = set()
    for name in names or ():
        if name in seen:
            raise ValueError(f"two series of {of} are called {name!r}; --names gives other names")
        seen.add(name)


def _sources(
    words: Sequence[str] | None, names: Sequence[Any] | None, count: int, of: str
) -> tuple[int, ...] | None:
    """The places of the series that are sources."""
    if words is None:
        return None
    known = Columns(of, None if names is None else tuple(map(str, names)), count)
    try:
        found = [place for word in words for place in known.places(word.strip())]
    except (LookupError, ValueError) as error:
        raise ValueError(f"--sources: {error.args[0]}") from None
    if len(set(found)) < len(found):
        raise ValueError(f"--sources {' '.join(words)} names a series twice")
    return tuple(found)


def _of_spikes(options: argparse.Namespace, files: Files) -> tuple[Recording, tuple[Any, ...]]:
    """Steps (T, cells) of the spike times of a file, and what it calls the cells."""
    cells, times = _columns(options.series, options.file, files)
    names, of = np.unique(cells, return_inverse=True)
    order = np.argsort(of, kind="stable")
    trains = np.split(times[order], np.cumsum(np.bincount(of))[:-1])
    early = int(np.count_nonzero(times < 0)) if options.start is None else 0
    if early:
        warn(
            f"{early} of {times.size} spikes are before time 0 and are left out; "
            "--start TIME begins there"
        )
    with worded(Wording(NETWORK, {}, None)):
        steps = tefast.bin_spikes(trains, options.spikes, options.start, options.stop)
    return of_array(options.file.stem, steps), tuple(names.tolist())


def _columns(words: Sequence[str] | None, path: Path | None, files: Files) -> tuple[Array, Array]:
    """The cells and the times of all spikes."""
    if path is None:
        raise ValueError("expected the FILE that holds spike times")
    found = files.arrays(path)
    if words is None:
        main = None if found.main is None else found[found.main]
        nameless = main is not None and main.names is None and len(main.shape) == 2
        words = ("0", "1") if nameless else COLUMNS
    try:
        _, chosen = files.each(words, "--series", path)
    except ValueError as error:
        if words is not COLUMNS:
            raise
        raise ValueError(f"{error}; --series CELL TIME names other columns of spikes") from None
    columns = [column for choice in chosen for column in _each(choice)]
    if len(columns) != 2:
        raise ValueError(
            f"--series {' '.join(words)}: --spikes takes two columns, the cell and the time of "
            f"each spike, got {len(columns)}"
        )
    (cell, cells), (time, times) = columns
    if len(cells) != len(times) or not len(cells):
        raise ValueError(
            f"{path}: expected a cell and a time for every spike, got {len(cells)} of {cell} and "
            f"{len(times)} of {time}"
        )
    return _labels(cells, cell, path), _times(times, time, path)


def _each(choice: ColumnChoice) -> list[tuple[str, Array]]:
    """All columns that were chosen, by what messages call them."""
    holder = choice.of
    if isinstance(holder, TextTable):
        places = range(holder.shape[1]) if choice.places is None else choice.places
        arrays = holder.read(places)
        return [(holder.label(i), array) for i, array in zip(places, arrays, strict=True)]
    if choice.places is None and len(holder.shape) == 1:
        return [(holder.name, holder.whole())]
    places = range(holder.shape[choice.axis]) if choice.places is None else choice.places
    columns = [holder.column(place, choice.axis) for place in places]
    return [(column.name, column.whole()) for column in columns]


def _labels(cells: Array, name: str, path: Path) -> Array:
    """What tells cells apart: whole numbers or texts."""
    _refuse_missing(cells, name, path)
    plain = np.asarray(cells)
    if plain.dtype.kind == "f" and (plain == np.floor(plain)).all():
        return plain.astype(np.int64)
    if plain.dtype.kind in "iub":
        return plain.astype(np.int64)
    if plain.dtype.kind in "OSUT":
        return np.array(
            [each.decode() if isinstance(each, bytes) else str(each) for each in plain.tolist()]
        )
    raise ValueError(f"{path}: {name} holds {plain[0]!r}, no cell: whole numbers or names are")


def _times(times: Array, name: str, path: Path) -> npt.NDArray[np.float64]:
    _refuse_missing(times, name, path)
    plain = np.asarray(times)
    if plain.dtype.kind not in "iuf":
        raise ValueError(f"{path}: {name} holds {plain[0]!r}, no time of a spike in numbers")
    infinite = np.flatnonzero(~np.isfinite(plain))
    if infinite.size:
        raise ValueError(f"{path}: expected finite times, got {plain[infinite[0]]} at "
                         f"{row_of(int(infinite[0]), name)}")  # fmt: skip
    return plain.astype(np.float64)


def _refuse_missing(column: Array, name: str, path: Path) -> None:
    """Raise where a spike has no cell or no time."""
    missing = np.array(np.ma.getmaskarray(column))
    if column.dtype.kind == "f":
        missing |= np.isnan(np.asarray(column))
    if column.dtype.kind == "O":
        import pandas

        missing |= np.asarray(pandas.isna(column))
    if column.ndim != 1:
        raise ValueError(f"{path}: {name} has the shape {column.shape}, expected one value a spike")
    if missing.any():
        raise ValueError(f"{path}: nothing at {row_of(int(np.flatnonzero(missing)[0]), name)}")
