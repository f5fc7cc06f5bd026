"""The command ``network``: from a file to the edges among all its series."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tefast
from tefast._cli import inputs, network_inputs, network_outputs, outputs
from tefast._cli.inputs import Files
from tefast._cli.network_inputs import SeriesInputs
from tefast._cli.options import check_alpha, check_edges
from tefast._cli.progress import Told
from tefast._cli.wording import NETWORK, Wording, worded
from tefast._inputs.kinds import PAIRED
from tefast.networks import Network

SHARED = (
    "delays", "target_history", "source_history", "target_step", "source_step", "x_range",
    "layout", "nan_policy", "bias", "base", "surrogates", "seed", "alpha", "by_delay", "backend",
    "threads", "checkpoint",
)  # fmt: skip
"""Arguments of `tefast.pairwise_transfer_entropy` that are options by the same names."""


def network(options: argparse.Namespace, files: Files) -> None:
    """Check everything, read, measure, write."""
    if options.out == Path("-"):
        options.out = None
    _check_options(options)
    asked = {"--out": options.out, "--matrix": options.matrix, "--plot": options.plot}
    outputs.check(asked, inputs.paths(options), force=options.force)
    given = network_inputs.read(options, files)
    names = None if given.names is None else tuple(map(str, given.names))
    with worded(Wording(NETWORK, {PAIRED: given.x}, names)):
        found = _measured(options, given)
    edges = found.direct_edges(tolerance=options.tolerance) if options.direct else found.edges()
    of = given.x.name if options.file is None else options.file.name
    network_outputs.write(options, found, np.asarray(edges), of)


def _check_options(options: argparse.Namespace) -> None:
    network_outputs.check_suffixes(options)
    network_inputs.check(options)
    check_alpha(options)
    if options.edges is not None and options.bins is None:
        options.bins = len(options.edges) + 1
    check_edges(options)
    if len(set(options.delays)) < len(options.delays):
        raise ValueError("--delays names a delay twice")
    if options.direct and options.sources is not None:
        raise ValueError("--direct takes all series as sources; leave --sources out")
    if options.tolerance and not options.direct:
        raise ValueError(f"--tolerance {options.tolerance:g} goes with --direct")
    if not 0 <= options.tolerance < 1:
        raise ValueError(f"--tolerance must lie in 0 .. 1, below 1, got {options.tolerance:g}")
    if options.checkpoint is not None and options.checkpoint.is_file():
        raise ValueError(f"--checkpoint {options.checkpoint} is a file, expected a folder")


def _measured(options: argparse.Namespace, given: SeriesInputs) -> Network:
    how: dict[str, Any] = {name: getattr(options, name) for name in SHARED}
    how["binning"] = options.binning if options.edges is None else options.edges
    how["significance"] = None if options.significance == "none" else options.significance
    with Told("pairs", options.quiet) as told:
        found = tefast.pairwise_transfer_entropy(
            given.x.whole(),
            given.bins,
            sources=given.sources,
            lengths=given.lengths,
            progress=told,
            **how,
        )
    # Arrays have no names; their numbers have come back in place of these.
    names = tuple(map(given.name, found.names))
    return replace(found, names=names, source_names=tuple(map(given.name, found.source_names)))
