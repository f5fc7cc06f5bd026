"""What the options say of the files that are read: target, source, lengths, names of units."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tefast._cli import recordings
from tefast._cli.recordings import Recording, Recordings, TextTable
from tefast._cli.recordings.choice import ColumnChoice, choose, series, together
from tefast._cli.recordings.numbers import as_source, as_target


@dataclass(frozen=True)
class FileInputs:
    """What is scored.

    Attributes
    ----------
    h, y : Recording
        Target and source.
    lengths : ndarray or None
    names : tuple of str, or None
        Of the units.
    """

    h: Recording
    y: Recording
    lengths: Any
    names: tuple[str, ...] | None


class Files:
    """Files that are opened as arrays of theirs are asked for.

    Parameters
    ----------
    stack : ExitStack
        Closes them.
    header : {"auto", "yes", "no"}
        Whether the first line of a table holds names.
    layout : str or None
        What the axes of arrays hold; columns lie along "U".
    """

    def __init__(self, stack: ExitStack, header: str, layout: str | None = None) -> None:
        self._stack = stack
        self._axis = layout.index("U") if layout and "U" in layout else -1
        self._header = {"auto": None, "yes": True, "no": False}[header]
        self._open: dict[Path, Recordings] = {}

    def arrays(self, path: Path) -> Recordings:
        """All arrays of a file."""
        if path not in self._open:
            opened = recordings.opened(path, self._header)
            self._open[path] = self._stack.enter_context(opened)
        return self._open[path]

    def choose(self, words: Sequence[str] | None, option: str, path: Path | None) -> ColumnChoice:
        """What an option's words mean in a file, or in .npy files that they name."""
        if words is None:
            return self._one(None, option, path)
        parts, chosen = self.each(words, option, path)
        return together(chosen, parts, option)

    def each(
        self, words: Sequence[str], option: str, path: Path | None
    ) -> tuple[list[str], list[ColumnChoice]]:
        """The parts of an option's words, and what each of them means by itself."""
        found = Recordings({}) if path is None else self.arrays(path)
        parts = [part for word in words for part in series(found, word)]
        return parts, [self._one(part, option, path) for part in parts]

    def _one(self, text: str | None, option: str, path: Path | None) -> ColumnChoice:
        alone = None if text is None else re.fullmatch(r"(.+\.npy)(?:\[(.*)\])?", text)
        if alone is not None and (path is None or text not in self.arrays(path)):
            path = Path(alone[1])
            found = self.arrays(path)
            inside = None if alone[2] is None else f"{path.stem}[{alone[2]}]"
            return choose(found, inside, path, option, self._axis)
        if path is None:
            raise ValueError(f"expected {option} NAME in a FILE, or {option} ARRAY.npy")
        return choose(self.arrays(path), text, path, option, self._axis)


def paths(options: argparse.Namespace) -> list[Path]:
    """All files that may be read."""
    known = vars(options)
    several = [known.get(name) for name in ("target", "source", "series", "names")]
    words = [word for some in (*several, [options.lengths]) for word in some or () if word]
    files = [Path(word.partition("[")[0]) for word in words]
    given = [each for each in (options.file, known.get("source_file")) if each is not None]
    return [*given, *[path for path in files if path.is_file()]]


def read(options: argparse.Namespace, files: Files) -> FileInputs:
    """Find what the options name; arrays stay in their files, columns of tables are read."""
    where = options.source_file or options.file
    source = files.choose(options.source, "--source", where)
    if options.target is None and where == options.file and source.places is not None:
        target = source.others()
    else:
        target = files.choose(options.target, "--target", options.file)
    how = {"numbers": options.bin_integers, "symbols": options.binning == "symbols"}
    h = as_target(target, "--target", **how)
    y = as_source(source, h, "--source", joint=options.joint, **how)
    return FileInputs(h, y, lengths_of(options, files), names_of(options, files, h))


def lengths_of(options: argparse.Namespace, files: Files) -> Any:
    """The lengths of the sequences; None where none are named."""
    if options.lengths is None:
        return None
    choice = files.choose([options.lengths], "--lengths", options.file)
    if isinstance(choice.of, TextTable):
        return choice.of.read(choice.places or (0,))[0]
    one = choice.of if choice.places is None else choice.of.column(choice.places[0])
    return one.whole()


def names_of(options: argparse.Namespace, files: Files, h: Recording) -> tuple[str, ...] | None:
    """The names of the units, as many as there are."""
    if options.names is None:
        # The names of columns are those of the units only where these lie in columns.
        last = options.layout is None or options.layout.endswith("U")
        return h.names if last else None
    units = units_of(options, h)
    names = _read_names(options.names, files, options.file, units)
    if len(names) != units:
        raise ValueError(
            f"--names {' '.join(options.names)} gives {len(names)} name{'s' * (len(names) != 1)}, "
            f"expected {units}, one for each unit of {h.name}"
        )
    return names


def units_of(options: argparse.Namespace, h: Recording) -> int:
    """How many units an array has."""
    layout = options.layout
    if layout is None or len(layout) != len(h.shape):  # which is refused later
        return h.shape[-1] if len(h.shape) > 1 else 1
    return h.shape[layout.index("U")] if "U" in layout else 1


def _read_names(
    words: Sequence[str], files: Files, path: Path | None, units: int
) -> tuple[str, ...]:
    """Names of units: of an array, of a text file, or the words, which commas may divide."""
    if len(words) == 1 and (known := _stored_names(words[0], files, path)) is not None:
        return known
    if len(words) == units:  # names that hold commas are whole
        return tuple(word.strip() for word in words)
    return tuple(part.strip() for word in words for part in word.split(","))


def _stored_names(text: str, files: Files, path: Path | None) -> tuple[str, ...] | None:
    """Names that stand in an array or a text file; None where there is none of that name."""
    found = files.arrays(path) if path is not None else {}
    if text in found or text.endswith(".npy"):
        holder = files.choose([text], "--names", path).of
        array = np.asarray(
            holder.read((0,))[0] if isinstance(holder, TextTable) else holder.read(())
        )
        return tuple(each.decode() if isinstance(each, bytes) else str(each)
                     for each in array.reshape(-1).tolist())  # fmt: skip
    if Path(text).is_file():
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    return None


def listing(found: Recordings) -> str:
    """All arrays, and columns of tables, a line each."""
    lines: list[str] = []
    for name, each in found.items():
        if isinstance(each, Recording):
            more = "" if each.names is None else f"  columns {_short(each.names)}"
            lines.append(f"{name}  {each.shape}  {each.dtype}{more}")
            continue
        labels = "" if each.labels is None else f", rows labelled {each.labels}, ..."
        lines.append(f"{name}  {each.shape}  table{labels}")
        names = each.names or ("",) * len(each.types)
        lines += [
            f"  {i}  {label}  ({each.rows},)  {kind}".replace("    ", "  ")
            for i, (label, kind) in enumerate(zip(names, each.types, strict=True))
        ]
    return "\n".join(lines) if lines else "no arrays"


def _short(names: tuple[str, ...], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
