"""The command line: its commands, and the options of ``score`` with the defaults of the library."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tefast
from tefast._cli import network_arguments
from tefast._cli.options import (
    TESTS,
    Flat,
    add,
    add_binning,
    add_computing,
    add_file,
    add_histories,
    add_reading,
    add_writing,
    defaults_of,
    list_of,
)
from tefast._significance.significance import METHODS
from tefast.measures import TRANSFER_ENTROPY

DEFAULTS = defaults_of(tefast.significance) | {"delay": TRANSFER_ENTROPY.default_delay}
EXAMPLES = """examples:
  {program} score cells.csv --source stimulus --out scores.csv --plot scores.png
  {program} network cells.csv --delays 1-30 --significance circular --plot network.png

"{program} COMMAND --help" lists the options of a command.
"""
SEVERAL = ("target", "source", "series", "sources", "names")
"""Options of several words, of which FILE may be the last where it stands behind them."""


def parse(given: Sequence[str]) -> argparse.Namespace:
    """The options of a command line.

    Raises
    ------
    ValueError
        Where it is not clear which word is FILE.
    """
    options = parser().parse_args([_not_an_option(each) for each in given])
    long = [name for name in SEVERAL if len(getattr(options, name, None) or ()) > 1]
    if options.file is None and long:
        _find_file(options, long)
    return options


def _find_file(options: argparse.Namespace, long: list[str]) -> None:
    """Take FILE from the end of the words of an option that it stands behind."""
    swallowed = [name for name in long if Path(getattr(options, name)[-1]).exists()]
    several = "source" not in swallowed or options.joint
    of_files = all(word.endswith(".npy") for name in swallowed for word in getattr(options, name))
    elsewhere = getattr(options, "source_file", None) is not None
    if (swallowed and several and of_files) or (elsewhere and not swallowed):
        return  # arrays of files of their own, which take no FILE
    if len(swallowed) != 1:
        words = f"--{long[0]} {' '.join(getattr(options, long[0]))}"
        raise ValueError(
            f"expected FILE before the options, such as: {options.command} FILE {words}. All words "
            f"behind --{long[0]} are taken for names"
        )
    *names, file = getattr(options, swallowed[0])
    setattr(options, swallowed[0], names)
    options.file = Path(file)


def parser() -> argparse.ArgumentParser:
    """All options."""
    program = "tefast" if Path(sys.argv[0]).name == "tefast" else "python -m tefast"
    top = argparse.ArgumentParser(
        prog=program,
        description="Transfer entropy from files: from one source to every unit of a target, or "
        "between all pairs of series.",
        epilog=EXAMPLES.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"tefast {tefast.__version__}")
    commands = top.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    score = commands.add_parser(
        "score",
        help="score every unit of a recording by what one source tells about it",
        description="Score every unit of the target by what the source tells about its next value, "
        "and test each score. Writes a table (CSV) and a plot; existing files are not overwritten "
        "without --force.",
    )
    _add_inputs(score.add_argument_group("input"))
    _add_outputs(score.add_argument_group("output"))
    _add_estimate(score.add_argument_group("estimate"))
    _add_test(score.add_argument_group("significance"))
    network_arguments.add_to(commands)
    return top


def _add_inputs(group: Any) -> None:
    add_file(group)
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
    add_reading(group, DEFAULTS, whole="the target", units="units", layouts="NTU, TU or T")


def _add_outputs(group: Any) -> None:
    group.add_argument("--out", type=Path, metavar="CSV",
                       help="the table, a row a unit (default: standard output)")  # fmt: skip
    group.add_argument("--plot", type=Path, metavar="PNG",
                       help="a plot of the sorted scores; .png, .pdf or .svg (default: "
                       "none)")  # fmt: skip
    add_writing(group)


def _add_estimate(group: Any) -> None:
    add(group, DEFAULTS, "--bins", type=int, help="of values, or how many symbols")
    add_binning(group, DEFAULTS)
    group.add_argument("--target-range", "--h-range", dest="h_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"), help="of uniform bins (default: the data's own, "
                       "unit by unit)")  # fmt: skip
    group.add_argument("--source-range", "--y-range", dest="y_range", type=float, nargs=2,
                       metavar=("LOW", "HIGH"),
                       help="the same of the source (default: its own)")  # fmt: skip
    group.add_argument("--delay", type=list_of(int), nargs="+", action=Flat,
                       default=[DEFAULTS["delay"]], metavar="STEPS",
                       help="from the source to the unit's next value; of several, the table has a "
                       "row for each unit and delay. p-values are those of one unit at one delay, "
                       "q-values are adjusted for all rows: judge the best of several delays by q, "
                       f"never by p (default: {DEFAULTS['delay']})")  # fmt: skip
    add_histories(group, DEFAULTS, "unit")
    group.add_argument("--joint", action="store_true",
                       help="take several sources at once: columns, or an array (sequences, steps, "
                       "sources) or (steps, sources)")  # fmt: skip
    add_computing(
        group, DEFAULTS, "; with --significance none, since surrogates have the same bias"
    )


def _add_test(group: Any) -> None:
    known = "; ".join(f"{name}: {TESTS[name]}" for name in METHODS)
    group.add_argument("--significance", choices=(*METHODS, "none"), default=DEFAULTS["method"],
                       help=f"{known}; none: scores alone (default: %(default)s)")  # fmt: skip
    group.add_argument("--surrogates", type=int, metavar="COUNT",
                       help="the least p-value is 1 / (COUNT + 1) (default: 200, or the number of "
                       "units and delays divided by alpha where that takes seconds)")  # fmt: skip
    add(group, DEFAULTS, "--seed", type=int, help="of the surrogates")
    group.add_argument("--alpha", type=float, default=0.05, metavar="Q",
                       help="units with a q-value up to this count as significant in plot and "
                       "summary (default: %(default)s)")  # fmt: skip


def _not_an_option(argument: str) -> str:
    """What begins with a number below 0 with a space before, so that it is taken for no option.

    Such are -1e-3, -1,0 and -2:.
    """
    return f" {argument}" if re.match(r"-\.?\d", argument) or argument == "-inf" else argument
