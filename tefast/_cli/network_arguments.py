"""The options of ``network``, with the names and defaults of `tefast.pairwise_transfer_entropy`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import tefast
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
)
from tefast._significance.pairs import METHODS

DEFAULTS = defaults_of(tefast.pairwise_transfer_entropy)
SPIKE_BINS = 2
"""Of spikes, which are there or not."""
MOST_DELAYS = 100_000
"""More are a mistake: each takes as many steps as the pair has."""


def add_to(commands: Any) -> None:
    """Add the command."""
    network = commands.add_parser(
        "network",
        help="measure all pairs of series, at one delay or the best of several",
        description="Measure transfer entropy from every series to every other one, at one delay "
        "or the best of several, and test each pair. Writes the edges, a matrix and a plot; "
        "existing files are not overwritten without --force.",
    )
    _add_inputs(network.add_argument_group("input"))
    _add_spikes(network.add_argument_group("spike times"))
    _add_outputs(network.add_argument_group("output"))
    _add_estimate(network.add_argument_group("estimate"))
    _add_test(network.add_argument_group("significance"))


def _add_inputs(group: Any) -> None:
    add_file(group)
    group.add_argument("--series", nargs="+", metavar="NAME",
                       help="the series: an array of FILE, (sequences, steps, series) or (steps, "
                       "series); columns of one, by name or from 0 on, such as 1:, 0 2 or price "
                       "volume, or of an array among several h[1:5]; or a .npy file. Commas may "
                       "stand between names as well (default: the only array or "
                       "table)")  # fmt: skip
    group.add_argument("--sources", nargs="+", metavar="NAME",
                       help="which of the series are sources, by name or from 0 on, such as 0,3 or "
                       "1:5 (default: all)")  # fmt: skip
    add_reading(group, DEFAULTS, whole="the data", units="series", layouts="NTU or TU")


def _add_spikes(group: Any) -> None:
    group.add_argument("--spikes", type=float, metavar="WIDTH",
                       help="FILE holds spike times, a row a spike, with the columns cell and "
                       "time; other columns by --series CELL TIME. Steps are WIDTH long, in the "
                       "unit of the times, and say whether a cell has a spike (default: FILE holds "
                       "series)")  # fmt: skip
    group.add_argument("--start", type=float, metavar="TIME",
                       help="where the first step begins (default: 0)")  # fmt: skip
    group.add_argument("--stop", type=float, metavar="TIME",
                       help="where the last step ends at the latest (default: the last "
                       "spike)")  # fmt: skip


def _add_outputs(group: Any) -> None:
    group.add_argument("--out", type=Path, metavar="FILE",
                       help="the edges, the strongest first, as .csv or .json; or all there is as "
                       ".npz, which tefast.Network.load reads; - is CSV on standard output "
                       "(default: -)")  # fmt: skip
    group.add_argument("--matrix", type=Path, metavar="CSV",
                       help="transfer entropy of all pairs, a row a source and a column a target "
                       "(default: none)")  # fmt: skip
    group.add_argument("--plot", type=Path, metavar="PNG",
                       help="the matrix, and the graph where it is small; .png, .pdf or .svg "
                       "(default: none)")  # fmt: skip
    group.add_argument("--by-delay", action="store_true",
                       help="keep transfer entropy at every delay, for an --out of "
                       ".npz")  # fmt: skip
    group.add_argument("--checkpoint", type=Path, metavar="DIR",
                       help="keep what is done in a folder: stopped anywhere, the same command "
                       "goes on there (default: in memory)")  # fmt: skip
    add_writing(group)


def _add_estimate(group: Any) -> None:
    group.add_argument("--bins", type=int,
                       help=f"of values, or how many symbols (default: {DEFAULTS['bins']}, and "
                       f"{SPIKE_BINS} for --spikes)")  # fmt: skip
    add_binning(group, DEFAULTS)
    group.add_argument("--range", dest="x_range", type=float, nargs=2, metavar=("LOW", "HIGH"),
                       help="of uniform bins (default: each series' own)")  # fmt: skip
    group.add_argument("--delays", type=delays, nargs="+", action=Flat, metavar="STEPS",
                       default=[DEFAULTS["delays"]],
                       help="from the source to the target's next value, such as 1-30, 1,2,5 or "
                       "1-10,20; of several, each pair has its best, and is tested for that "
                       f"(default: {DEFAULTS['delays']})")  # fmt: skip
    add_histories(group, DEFAULTS, "target")
    add_computing(group, DEFAULTS, "")


def _add_test(group: Any) -> None:
    known = "; ".join(f"{name}: {TESTS[name]}" for name in METHODS)
    group.add_argument("--significance", choices=(*METHODS, "none"), default="none",
                       help=f"{known}; none: all pairs are listed (default: "
                       "%(default)s)")  # fmt: skip
    add(group, DEFAULTS, "--surrogates", type=int, metavar="COUNT",
        help="of each source; the least p-value is 1 / (COUNT + 1)")  # fmt: skip
    add(group, DEFAULTS, "--seed", type=int, help="of the surrogates")
    add(group, DEFAULTS, "--alpha", type=float, metavar="Q",
        help="pairs with a q-value below it are edges")  # fmt: skip
    group.add_argument(
        "--direct", action="store_true", help="leave out edges that two stronger ones can explain"
    )
    group.add_argument("--tolerance", type=float, default=0.0, metavar="SHARE",
                       help="with --direct: leave an edge in unless it is weaker than both by this "
                       "share (default: %(default)g)")  # fmt: skip


def delays(text: str) -> list[int]:
    """The type of a word with delays: numbers and ranges of them, both ends counted in."""
    found: list[range] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", part)
        first, last = (0, -1) if ends is None else (int(ends[1]), int(ends[2] or ends[1]))
        if last < first:
            raise argparse.ArgumentTypeError(
                f"expected delays such as 1-30, 1,2,5 or 1-10,20, 0 or more, got {text!r} (FILE "
                "goes before the options)"
            )
        found.append(range(first, last + 1))
    if sum(map(len, found)) > MOST_DELAYS:
        raise argparse.ArgumentTypeError(f"expected at most {MOST_DELAYS} delays, got {text!r}")
    return [delay for each in found for delay in each]
