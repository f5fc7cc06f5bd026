"""The options of the command line, with the names and defaults of `tefast.significance`."""

from __future__ import annotations

import argparse
import inspect
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tefast
from tefast._cli.recordings import SUFFIXES
from tefast._significance.significance import METHODS
from tefast.binning import BINNINGS
from tefast.measures import TRANSFER_ENTROPY

DEFAULTS = {
    name: each.default for name, each in inspect.signature(tefast.significance).parameters.items()
} | {"delay": TRANSFER_ENTROPY.default_delay}
TESTS = {
    "auto": "trials for ten or more sequences alike, else circular",
    "trials": "permute the sources of the sequences, which keeps their memory",
    "circular": "turn the source in each sequence, which keeps its memory",
    "shuffle": "permute the source's steps",
    "conditional": "the same within each past of a unit",
    "chi2": "no surrogates, for much data",
}


SEVERAL = ("target", "source", "names")
"""Options of several words, of which FILE may be the last where it stands behind them."""


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Raises
    ------
    ValueError
        Where it is not clear which word is FILE.
    """
    options = parser().parse_args([_not_an_option(each) for each in given])
    long = [name for name in SEVERAL if len(getattr(options, name) or ()) > 1]
    if options.file is None and long:
        _find_file(options, long)
    return options


def _find_file(options: argparse.Namespace, long: list[str]) -> None:
    """Take FILE from the end of the words of an option that it stands behind."""
    swallowed = [name for name in long if Path(getattr(options, name)[-1]).exists()]
    several = options.joint or "source" not in swallowed
    of_files = all(word.endswith(".npy") for name in swallowed for word in getattr(options, name))
    if (swallowed and several and of_files) or (options.source_file and not swallowed):
        return  # arrays of files of their own, which take no FILE
    if len(swallowed) != 1:
        words = f"--{long[0]} {' '.join(getattr(options, long[0]))}"
        raise ValueError(
            f"expected FILE before the options, such as: score FILE {words}. All words behind "
            f"--{long[0]} are taken for names"
        )
    *names, file = getattr(options, swallowed[0])
    setattr(options, swallowed[0], names)
    options.file = Path(file)


def parser() -> argparse.ArgumentParser:
    """All options."""
    top = argparse.ArgumentParser(
        prog="tefast" if Path(sys.argv[0]).name == "tefast" else "python -m tefast",
        description="Transfer entropy from one source to every unit of a target, from files.",
    )
    top.add_argument("--version", action="version", version=f"tefast {tefast.__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    score = commands.add_parser(
        "score",
        help="score every unit of a recording",
        description="Score every unit of the target by what the source tells about its next value, "
        "and test each score. Writes a table (CSV) and a plot; existing files are not overwritten "
        "without --force.",
    )
    _add_inputs(score.add_argument_group("input"))
    _add_outputs(score.add_argument_group("output"))
    _add_estimate(score.add_argument_group("estimate"))
    _add_test(score.add_argument_group("significance"))
    return top


def _add_inputs(group: Any) -> None:
    group.add_argument("file", type=Path, nargs="?", metavar="FILE",
                       help=f"arrays or a table: {', '.join(SUFFIXES)}, packed text; what is in "
                       "it tells its kind, whatever its name")  # fmt: skip
    group.add_argument("--list", action="store_true",
                       help="show the arrays and columns of FILE with shapes and types, and "
                       "stop")  # fmt: skip
    group.add_argument("--target", nargs="+", metavar="NAME",
                       help="the target: an array of FILE, (sequences, steps, units) or (steps, "
                       "units); columns of one, by name or from 0 on, such as 1:, 0 2 or "
                       "price volume, or of an array among several h[1:5]; or a .npy file. "
                       "Commas may stand between names as well "
                       "(default: the only array or table, without the source)")  # fmt: skip
    group.add_argument("--source", nargs="+", metavar="NAME",
                       help="the source: an array (sequences, steps) or (steps), a column such as "
                       "0, price or h[0], or a .npy file; several with --joint (default: the only "
                       "array of --source-file)")  # fmt: skip
    group.add_argument("--source-file", type=Path, metavar="FILE",
                       help="the file that the source is in (default: FILE)")  # fmt: skip
    group.add_argument("--lengths", metavar="NAME",
                       help="valid steps of each sequence: an array (sequences), or a "
                       ".npy file (default: all steps)")  # fmt: skip
    group.add_argument("--layout", metavar="LETTERS", type=str.upper,
                       help="what the axes of the target hold, such as NUT: N sequences, T steps, "
                       "U units (default: NTU, TU or T)")  # fmt: skip
    group.add_argument("--names", nargs="+", metavar="NAME",
                       help="of the units: an array of texts in FILE, a text file with one a "
                       "line, or the names themselves, with spaces or commas between them "
                       "(default: those of the columns)")  # fmt: skip
    group.add_argument("--header", choices=("auto", "yes", "no"), default="auto",
                       help="whether the first line of a text or a sheet holds the names of "
                       "columns; auto tells by what stands there "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--bin-integers", action="store_true",
                       help="bin integers as numbers, such as the samples of a converter, instead "
                       "of taking them as symbols 0, 1, ...")  # fmt: skip
    group.add_argument("--nan-policy", choices=("raise", "omit"), default=DEFAULTS["nan_policy"],
                       help="omit: leave out every transition that touches a NaN "
                       "(default: %(default)s)")  # fmt: skip


def _add_outputs(group: Any) -> None:
    group.add_argument("--out", type=Path, metavar="CSV",
                       help="the table, a row a unit (default: standard output)")  # fmt: skip
    group.add_argument("--plot", type=Path, metavar="PNG",
                       help="a plot of the sorted scores; .png, .pdf or .svg (default: "
                       "none)")  # fmt: skip
    group.add_argument("--force", action="store_true",
                       help="overwrite files that are there")  # fmt: skip
    group.add_argument("--quiet", action="store_true",
                       help="no progress and no summary on standard error")  # fmt: skip


def _add_estimate(group: Any) -> None:
    _add(group, "--bins", type=int, help="of values, or how many symbols")
    _add(group, "--binning", choices=BINNINGS, help="how values become symbols")
    group.add_argument("--edges", type=_list_of(float), nargs="+", action=_Flat, metavar="EDGE",
                       help="inner edges of the bins, in place of --binning (default: "
                       "none)")  # fmt: skip
    group.add_argument("--target-range", "--h-range", dest="h_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"), help="of uniform bins (default: the data's own, "
                       "unit by unit)")  # fmt: skip
    group.add_argument("--source-range", "--y-range", dest="y_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"),
                       help="the same of the source (default: its own)")  # fmt: skip
    _add(group, "--target-history", type=int, metavar="STEPS", help="of the unit's own past")
    _add(group, "--source-history", type=int, metavar="STEPS", help="of the source")
    group.add_argument("--delay", type=_list_of(int), nargs="+", action=_Flat,
                       default=[DEFAULTS["delay"]], metavar="STEPS",
                       help="from the source to the unit's next value; of several, the table has a "
                       "row for each unit and delay. p-values are those of one unit at one delay, "
                       "q-values are adjusted for all rows: judge the best of several delays by q, "
                       f"never by p (default: {DEFAULTS['delay']})")  # fmt: skip
    _add(group, "--target-step", type=int, metavar="STEPS",
         help="from one entry of the target's history to the next")  # fmt: skip
    _add(group, "--source-step", type=int, metavar="STEPS",
         help="the same of the source's history")  # fmt: skip
    group.add_argument("--joint", action="store_true",
                       help="take several sources at once: columns, or an array (sequences, steps, "
                       "sources) or (steps, sources)")  # fmt: skip
    group.add_argument("--bias", choices=("miller_madow", "grassberger"),
                       help="correct the bias of the estimate; with --significance none, since "
                       "surrogates have the same bias (default: no correction)")  # fmt: skip
    _add(group, "--base", type=_base, help="of logarithms: 2 for bits, e for nats")
    _add(group, "--backend", choices=("auto", "cpu", "cuda", "reference"),
         help="what counts; auto is the fastest there is")  # fmt: skip
    group.add_argument("--threads", type=int, help="(default: as many as OpenMP uses)")


def _add_test(group: Any) -> None:
    known = "; ".join(f"{name}: {TESTS[name]}" for name in METHODS)
    group.add_argument("--significance", choices=(*METHODS, "none"), default=DEFAULTS["method"],
                       help=f"{known}; none: scores alone (default: %(default)s)")  # fmt: skip
    group.add_argument("--surrogates", type=int, metavar="COUNT",
                       help="the least p-value is 1 / (COUNT + 1) (default: 200, or the number of "
                       "units and delays divided by alpha where that takes seconds)")  # fmt: skip
    _add(group, "--seed", type=int, help="of the surrogates")
    group.add_argument("--alpha", type=float, default=0.05, metavar="Q",
                       help="units with a q-value up to this count as significant in plot and "
                       "summary (default: %(default)s)")  # fmt: skip


def _add(group: Any, flag: str, *, help: str, **options: Any) -> None:
    """Add an option with the default of the argument of that name."""
    default = DEFAULTS[flag.removeprefix("--").replace("-", "_")]
    group.add_argument(flag, default=default, help=f"{help} (default: %(default)s)", **options)


class _Flat(argparse.Action):
    """Lists from several words as one list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [each for some in values for each in some])


def _list_of(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """The type of a word with a number, or with several between commas."""

    def read(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(
                f"expected {what}, got {text!r} (FILE goes before the options)"
            ) from None

    return read


def _base(text: str) -> float:
    try:
        return math.e if text == "e" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or e, got {text!r}") from None


def _not_an_option(argument: str) -> str:
    """What begins with a number below 0 with a space before, so that it is taken for no option.

    Such are -1e-3, -1,0 and -2:.
    """
    return f" {argument}" if re.match(r"-\.?\d", argument) or argument == "-inf" else argument
