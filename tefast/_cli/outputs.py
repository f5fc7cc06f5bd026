"""What the command writes: a table, a plot, a summary."""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tefast._significance.result import FIELDS, Significance, unit_name
from tefast._support.files import settle, whole_file, writing

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """What was found at one delay.

    Attributes
    ----------
    delay : int
    te : ndarray, shape (U,)
    test : Significance or None
        With fields of shape (U,).
    """

    delay: int
    te: Floats
    test: Significance | None


@dataclass(frozen=True)
class OutputLabels:
    """What the results are of: the names of source, target, and units if they have any."""

    source: str
    target: str
    units: tuple[str, ...] | None

    def unit(self, u: int) -> str:
        """A unit as the summary calls it."""
        return f"unit {u}" if self.units is None else f"{self.units[u]} (unit {u})"


def check(outputs: Mapping[str, Path | None], inputs: Sequence[Path], *, force: bool) -> None:
    """Raise, before any work, if a file could not or should not be written.

    Parameters
    ----------
    outputs : mapping
        From options to what they name.
    inputs : sequence of Path
        What must not be overwritten.
    force : bool
        Whether files that are there may be.
    """
    asked = {option: path for option, path in outputs.items() if path is not None}
    options: dict[Path, str] = {}
    for option, path in asked.items():
        if path.resolve() in options:
            raise ValueError(f"{options[path.resolve()]} and {option} are both {path}")
        options[path.resolve()] = option
    for path in asked.values():
        if path.resolve() in [each.resolve() for each in inputs]:
            raise ValueError(f"{path} is an input; write to another file")
        if path.is_dir():
            raise ValueError(f"{path} is a folder, expected a file")
        if path.exists() and not force:
            raise ValueError(f"{path} is there already; --force overwrites it")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise ValueError(f"{path} cannot be written: {folder} is not a folder to write to")
    if "--plot" in asked:
        plotting().check_format(asked["--plot"])


def plotting() -> Any:
    """`tefast.plot`, or one line where Matplotlib is not installed."""
    try:
        from tefast import plot
    except ModuleNotFoundError as error:
        raise ImportError('--plot needs matplotlib: pip install "tefast[files]"') from error
    return plot


def write(options: argparse.Namespace, found: Sequence[Rows], labels: OutputLabels) -> None:
    """Write all that was asked for, and say what came out."""
    text, unit = table(found, labels), unit_name(options.base)
    with ExitStack() as stack:  # both are there at the end, or neither
        if options.out is not None:
            part = stack.enter_context(whole_file(options.out))
            part.write_text(text, encoding="utf-8")
            settle(part)
        if options.plot is not None:
            plot, part = plotting(), stack.enter_context(whole_file(options.plot))
            plot.write(_figure(plot, found, labels, unit, options.alpha), part)
    if options.out is None:
        with writing(Path("to standard output")):
            print(text, end="", flush=True)
    if not options.quiet:
        print(_summary(options, found, labels, unit), file=sys.stderr)


def _figure(plot: Any, found: Sequence[Rows], labels: OutputLabels, unit: str, alpha: float) -> Any:
    units = _units(len(found[0].te))
    title = f"Transfer entropy from {labels.source} to {units} of {labels.target}"
    more = {"unit": unit, "alpha": alpha, "title": title, "names": labels.units}
    if len(found) == 1:
        return plot.scores(found[0].te, found[0].test, **more)
    by_delay = {each.delay: (each.te, each.test) for each in found}
    return plot.delays(by_delay, **more)


def _units(count: int) -> str:
    return "1 unit" if count == 1 else f"{count} units"


def table(found: Sequence[Rows], labels: OutputLabels) -> str:
    """As CSV, a row a unit, and of several delays a row each; what was not tested is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    several = len(found) > 1
    named = ("name",) if labels.units is not None else ()
    writer.writerow(("unit", *named, *(("delay",) if several else ()), *FIELDS))
    for u in range(len(found[0].te)):
        for each in found:
            row: list[Any] = [u]
            row += [labels.units[u]] if labels.units is not None else []
            row += [each.delay] if several else []
            row.append(float(each.te[u]))
            row += [
                "" if each.test is None else float(getattr(each.test, name)[u])
                for name in FIELDS[1:]
            ]
            writer.writerow(row)
    return text.getvalue()


def _summary(
    options: argparse.Namespace, found: Sequence[Rows], labels: OutputLabels, unit: str
) -> str:
    te = np.stack([each.te for each in found])  # (delays, units)
    if np.isnan(te).all():
        return f"{_units(te.shape[1])}, without a transition"
    best, highest = divmod(int(np.nanargmax(te)), te.shape[1])
    line = f"{_units(te.shape[1])}, the highest {labels.unit(highest)} with "
    line += f"{te[best, highest]:.4g} {unit}"
    if len(found) > 1:
        line += f" at delay {found[best].delay}"
    tests = [each.test for each in found if each.test is not None]
    if tests:
        significant = np.stack([test.q_value for test in tests]) <= options.alpha
        what = "" if len(found) == 1 else f" at one delay or more, of {len(found)}"
        line += f"; {int(significant.any(0).sum())} significant{what} "
        line += f"(q up to {options.alpha:g}, {tests[0].method})"
    written = [str(path) for path in (options.out, options.plot) if path is not None]
    return line + (f"; wrote {' and '.join(written)}" if written else "")
