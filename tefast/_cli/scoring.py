"""The command ``score``: from files to scores and their significance."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import tefast
from tefast._cli import inputs, outputs
from tefast._cli.inputs import FileInputs, Files
from tefast._cli.options import check_alpha, check_edges
from tefast._cli.outputs import OutputLabels, Rows
from tefast._cli.progress import Told
from tefast._cli.recordings import Recording
from tefast._cli.wording import SCORE, Wording, worded
from tefast._counting.pieces import PIECE_BYTES, Arrays
from tefast._significance.result import FIELDS, on_host

SHARED = (
    "bins", "target_history", "source_history", "target_step", "source_step", "joint", "layout",
    "h_range", "y_range", "nan_policy", "base", "backend", "threads",
)  # fmt: skip
"""Arguments of all estimators that are options by the same names."""


def score(options: argparse.Namespace, files: Files) -> None:
    """Check everything, read, estimate, write."""
    _check_options(options)
    asked = {"--out": options.out, "--plot": options.plot}
    outputs.check(asked, inputs.paths(options), force=options.force)
    given = inputs.read(options, files)
    with worded(Wording(SCORE, {"h": given.h, "y": given.y}, given.names)):
        # Raises for shapes before anything is read.
        Arrays(given.h, given.y, given.lengths, None, 0, layout=options.layout, joint=options.joint)
        found = [_estimate(options, given, delay) for delay in options.delay]
    outputs.write(options, _adjusted(found), OutputLabels(given.y.name, given.h.name, given.names))


def _check_options(options: argparse.Namespace) -> None:
    if options.source is None and options.source_file is None:
        raise ValueError("expected --source NAME, or --source-file FILE with one array")
    if options.bias is not None and options.significance != "none":
        raise ValueError(
            f"--bias goes with --significance none, got {options.significance}, whose null_mean "
            "is the bias and effective_te what is left without it"
        )
    check_alpha(options)
    check_edges(options)
    if len(set(options.delay)) < len(options.delay):
        raise ValueError(f"--delay has a delay twice: {' '.join(map(str, options.delay))}")


def _estimate(options: argparse.Namespace, given: FileInputs, delay: int) -> Rows:
    how = {name: getattr(options, name) for name in SHARED}
    how["binning"] = options.binning if options.edges is None else options.edges
    how |= {"lengths": given.lengths, "delay": delay}
    at = f" at delay {delay}" if len(options.delay) > 1 else ""
    if options.significance != "none":
        with Told(f"surrogates{at}", options.quiet) as told:
            found = tefast.significance(
                given.h.whole(),
                given.y.whole(),
                method=options.significance,
                surrogates=options.surrogates,
                seed=options.seed,
                progress=told,
                alpha=options.alpha / len(options.delay),  # which asks for enough surrogates
                **how,
            )
        fields: dict[str, Any] = {name: on_host(getattr(found, name)) for name in FIELDS}
        test = replace(found, alpha=options.alpha, **fields)
        return Rows(delay, test.te, test)
    sources = given.y.shape[-1] if options.joint else 1
    if is_too_large(options, given.h, sources):
        with Told(f"pieces{at}", options.quiet) as told:
            streamed = tefast.stream(given.h, given.y, bias=options.bias, progress=told, **how)
        te: Any = streamed.compute()
    else:
        te = tefast.transfer_entropy(given.h.whole(), given.y.whole(), bias=options.bias, **how)
    return Rows(delay, on_host(te), None)


def _adjusted(found: Sequence[Rows]) -> list[Rows]:
    """The same with q-values over all units and delays, since the best of all will be looked at."""
    tests = [each.test for each in found if each.test is not None]
    if len(tests) < 2:
        return list(found)
    q = tefast.benjamini_hochberg(np.stack([test.p_value for test in tests]))
    return [
        replace(each, test=replace(test, q_value=row))
        for each, test, row in zip(found, tests, q, strict=True)
    ]


def is_too_large(options: argparse.Namespace, h: Recording, sources: int) -> bool:
    """Whether to keep counts rather than values in memory."""
    if h.at_hand or options.binning != "uniform":
        return False
    states = options.bins ** (1 + options.target_history + sources * options.source_history)
    counts = (h.shape[-1] if len(h.shape) > 1 else 1) * states * 8
    values = math.prod(h.shape) * getattr(h.dtype, "itemsize", 8)
    return bool(counts + 2 * PIECE_BYTES < values)
