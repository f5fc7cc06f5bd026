"""Options that several commands have, and kinds of options."""

from __future__ import annotations

import argparse
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tefast._cli.recordings import SUFFIXES
from tefast.binning import BINNINGS

Defaults = Mapping[str, Any]
"""Of the arguments of a function, by their names."""
TESTS = {
    "auto": "trials for ten or more sequences alike, else circular",
    "trials": "permute the sources of the sequences, which keeps their memory",
    "circular": "turn the source in each sequence, which keeps its memory",
    "shuffle": "permute the source's steps",
    "conditional": "the same within each past of a unit",
    "chi2": "no surrogates, for much data",
}
"""What the methods of testing are, for help."""


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The names of a function's arguments, and their defaults."""
    return {name: each.default for name, each in inspect.signature(function).parameters.items()}


def add(group: Any, defaults: Defaults, flag: str, *, help: str, **options: Any) -> None:
    """Add an option with the default of the argument of that name."""
    default = defaults[flag.removeprefix("--").replace("-", "_")]
    group.add_argument(flag, default=default, help=f"{help} (default: %(default)s)", **options)


def add_file(group: Any) -> None:
    """FILE, and what shows what is in it."""
    group.add_argument("file", type=Path, nargs="?", metavar="FILE",
                       help=f"arrays or a table: {', '.join(SUFFIXES)}, packed text; what is in "
                       "it tells its kind, whatever its name")  # fmt: skip
    group.add_argument("--list", action="store_true",
                       help="show the arrays and columns of FILE with shapes and types, and "
                       "stop")  # fmt: skip


def add_reading(group: Any, defaults: Defaults, *, whole: str, units: str, layouts: str) -> None:
    """How arrays and tables are read; `whole` is the data and `units` what lies in its columns."""
    group.add_argument("--lengths", metavar="NAME",
                       help="valid steps of each sequence: an array (sequences), or a "
                       ".npy file (default: all steps)")  # fmt: skip
    group.add_argument("--layout", metavar="LETTERS", type=str.upper,
                       help=f"what the axes of {whole} hold, such as NUT: N sequences, T steps, "
                       f"U {units} (default: {layouts})")  # fmt: skip
    group.add_argument("--names", nargs="+", metavar="NAME",
                       help=f"of the {units}: an array of texts in FILE, a text file with one a "
                       "line, or the names themselves, with spaces or commas between them "
                       "(default: those of the columns)")  # fmt: skip
    group.add_argument("--header", choices=("auto", "yes", "no"), default="auto",
                       help="whether the first line of a text or a sheet holds the names of "
                       "columns; auto tells by what stands there "
                       "(default: %(default)s)")  # fmt: skip
    group.add_argument("--bin-integers", action="store_true",
                       help="bin integers as numbers, such as the samples of a converter, instead "
                       "of taking them as symbols 0, 1, ...")  # fmt: skip
    group.add_argument("--nan-policy", choices=("raise", "omit"), default=defaults["nan_policy"],
                       help="omit: leave out every transition that touches a NaN "
                       "(default: %(default)s)")  # fmt: skip


def add_writing(group: Any) -> None:
    """What is done about files that are there, and what is said."""
    group.add_argument("--force", action="store_true",
                       help="overwrite files that are there")  # fmt: skip
    group.add_argument("--quiet", action="store_true",
                       help="no progress and no summary on standard error")  # fmt: skip


def add_binning(group: Any, defaults: Defaults) -> None:
    """How values become symbols."""
    add(group, defaults, "--binning", choices=BINNINGS, help="how values become symbols")
    group.add_argument("--edges", type=list_of(float), nargs="+", action=Flat, metavar="EDGE",
                       help="inner edges of the bins, in place of --binning (default: "
                       "none)")  # fmt: skip


def add_histories(group: Any, defaults: Defaults, unit: str) -> None:
    """How much of the past of a `unit` and of the source is looked at."""
    add(group, defaults, "--target-history", type=int, metavar="STEPS",
        help=f"of the {unit}'s own past")  # fmt: skip
    add(group, defaults, "--source-history", type=int, metavar="STEPS", help="of the source")
    add(group, defaults, "--target-step", type=int, metavar="STEPS",
        help="from one entry of the target's history to the next")  # fmt: skip
    add(group, defaults, "--source-step", type=int, metavar="STEPS",
        help="the same of the source's history")  # fmt: skip


def add_computing(group: Any, defaults: Defaults, bias: str) -> None:
    """Bias, with what `bias` adds to it, unit, and what counts."""
    group.add_argument("--bias", choices=("miller_madow", "grassberger"),
                       help=f"correct the bias of the estimate{bias} (default: no "
                       "correction)")  # fmt: skip
    add(group, defaults, "--base", type=base, help="of logarithms: 2 for bits, e for nats")
    add(group, defaults, "--backend", choices=("auto", "cpu", "cuda", "reference"),
        help="what counts; auto is the fastest there is")  # fmt: skip
    group.add_argument("--threads", type=int, help="(default: as many as OpenMP uses)")


def check_edges(options: argparse.Namespace) -> None:
    """Raise where --edges do not go with other options."""
    if options.edges is None:
        return
    if options.binning != "uniform":
        raise ValueError(
            f"--edges takes the place of --binning {options.binning}; give one of them"
        )
    if len(options.edges) != options.bins - 1:
        raise ValueError(
            f"--bins {options.bins} takes {options.bins - 1} --edges between bins, got "
            f"{len(options.edges)}; give --bins {len(options.edges) + 1} with these"
        )


def check_alpha(options: argparse.Namespace) -> None:
    """Raise where --alpha is no share."""
    if not 0 < options.alpha < 1:
        raise ValueError(f"--alpha must lie between 0 and 1, got {options.alpha}")


class Flat(argparse.Action):
    """Lists from several words as one list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [each for some in values for each in some])


def list_of(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
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


def base(text: str) -> float:
    """The type of the base of logarithms."""
    try:
        return math.e if text == "e" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or e, got {text!r}") from None
