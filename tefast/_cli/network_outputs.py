"""What ``network`` writes: edges, a matrix, a plot, a summary."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tefast._cli.outputs import plotting
from tefast._significance.result import unit_name
from tefast._support.files import settle, whole_file, writing
from tefast.networks import MATRICES, Network

EDGES = (".csv", ".json", ".npz")
"""What --out ends in."""
ROWS = 65_536
"""Edges that are made into text at once."""
TITLE = 70
"""Characters of a title that fit above the smaller plot."""

Booleans = npt.NDArray[np.bool_]


def check_suffixes(options: argparse.Namespace) -> None:
    """Raise where a name does not say what is to be written."""
    for option, path, known in (
        ("--out", options.out, EDGES),
        ("--matrix", options.matrix, (".csv",)),
    ):
        if path is not None and path.suffix.lower() not in known:
            raise ValueError(f"{option} {path}: expected a name that ends in {', '.join(known)}")
    if options.by_delay and (options.out is None or options.out.suffix.lower() != ".npz"):
        raise ValueError("--by-delay goes with an --out that ends in .npz")


def write(options: argparse.Namespace, network: Network, edges: Booleans, of: str) -> None:
    """Write all that was asked for, and say what came out."""
    with ExitStack() as stack:  # all are there at the end, or none
        if options.out is not None:
            part = stack.enter_context(whole_file(options.out))
            _write_edges(network, edges, part)
            settle(part)
        if options.matrix is not None:
            part = stack.enter_context(whole_file(options.matrix))
            with part.open("w", encoding="utf-8", newline="") as file:
                write_matrix(network, file)
            settle(part)
        if options.plot is not None:
            plot, part = plotting(), stack.enter_context(whole_file(options.plot))
            plot.write(_figure(network, edges if options.direct else None, of), part)
    if options.out is None:
        with writing(Path("to standard output")):
            write_csv(network, edges, sys.stdout)
            sys.stdout.flush()
    if not options.quiet:
        print(_summary(options, network, edges), file=sys.stderr)


def _write_edges(network: Network, edges: Booleans, part: Path) -> None:
    kind = part.suffix.lower()
    if kind == ".npz":
        network.save(part)
        return
    with part.open("w", encoding="utf-8", newline="") as file:
        (write_csv if kind == ".csv" else write_json)(network, edges, file)


def rows(network: Network, edges: Booleans) -> Iterator[dict[str, Any]]:
    """The edges as `tefast.Network.to_dataframe` has them, the strongest first."""
    s, u = np.nonzero(edges)
    order = np.argsort(-network.te[s, u], kind="stable")
    known = {name: getattr(network, name) for name in MATRICES}
    matrices = {name: matrix for name, matrix in known.items() if matrix is not None}
    for first in range(0, len(order), ROWS):
        some = order[first : first + ROWS]
        values = {name: matrix[s[some], u[some]].tolist() for name, matrix in matrices.items()}
        for i, at in enumerate(some.tolist()):
            yield {
                "source": network.source_names[s[at]],
                "target": network.names[u[at]],
                **{name: column[i] for name, column in values.items()},
            }


def write_csv(network: Network, edges: Booleans, file: IO[str]) -> None:
    """Write a row an edge; a value that is not there is left empty."""
    fields = ["source", "target", *(n for n in MATRICES if getattr(network, n) is not None)]
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if _is_nan(value) else value for name, value in row.items()}
        for row in rows(network, edges)
    )


def write_json(network: Network, edges: Booleans, file: IO[str]) -> None:
    """Write names, edges, and how they were found; a value that is not there is null."""
    about = {
        "names": network.names,
        "source_names": network.source_names,
        "delays": network.delays,
        "method": network.method,
        "surrogates": network.surrogates,
        "alpha": network.alpha,
        "base": network.base,
    }
    text = json.dumps(about, ensure_ascii=False, indent=1).removesuffix("\n}")
    file.write(f'{text},\n "edges": [')
    for i, row in enumerate(rows(network, edges)):
        known = {name: None if _is_nan(value) else value for name, value in row.items()}
        file.write(f"{',' if i else ''}\n  {json.dumps(known, ensure_ascii=False)}")
    file.write("\n ]\n}\n")


def write_matrix(network: Network, file: IO[str]) -> None:
    """Write a row a source, whose name is in the first column, and a column a target."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("", *network.names))
    for name, row in zip(network.source_names, network.te, strict=True):
        writer.writerow((name, *("" if _is_nan(value) else value for value in row.tolist())))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _figure(network: Network, direct: Booleans | None, of: str) -> Any:
    from tefast import network_plot

    what = "Transfer entropy" if direct is None else "Direct edges"
    title = plotting().short(f"{what} among the series of {of}", TITLE)
    return network_plot.figure(network, None, title, edges=direct)


def _summary(options: argparse.Namespace, network: Network, edges: Booleans) -> str:
    measured = int(np.count_nonzero(~np.isnan(network.te)))
    found = int(edges.sum())
    if network.q_value is None:
        line = f"{found} pairs of {len(network.names)} series"
        line += " left by --direct" if options.direct else ""
        line += ", none tested; --significance tests them"
    else:
        line = f"{found} of {measured} pairs of {len(network.names)} series are "
        line += f"{'direct ' if options.direct else ''}edges (q below {network.alpha:g}, "
        line += f"{network.method})"
    if found:
        s, u = divmod(int(np.where(edges, network.te, -np.inf).argmax()), edges.shape[1])
        line += f"; the strongest {network.source_names[s]} -> {network.names[u]} with "
        line += f"{network.te[s, u]:.4g} {unit_name(network.base)} at delay {network.delay[s, u]}"
    files = [str(path) for path in (options.out, options.matrix, options.plot) if path is not None]
    return line + (f"; wrote {_list(files)}" if files else "")


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
