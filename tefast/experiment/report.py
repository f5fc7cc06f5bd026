"""report.html: one self-contained page with what was run and what came out."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from tefast._support.files import write_text
from tefast.experiment.config import CRITERIA, NAMES, ORDERS, REGULARIZER_NAMES, REGULARIZERS
from tefast.experiment.datasets import named
from tefast.experiment.findings import percent
from tefast.experiment.results import Curve, Spread, StudyResults

SHOWN_FRACTIONS = (0.0, 0.5, 0.6)


def write_report(
    path: Path,
    summary: dict[str, Any],
    results: StudyResults,
    figures: Sequence[Path],
    gates: StudyResults | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    summary : dict
        As `tefast.experiment.summary.build_summary` makes it.
    figures : sequence of Path
        Figures 2 and 3, and 4 of gates, PNG; they go into the page itself.
    results, gates : Results
        Of units, and of gates where these were removed as well.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tefast.experiment", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["spread"] = _shown
    environment.filters["points"] = _shown_change
    environment.filters["overlap"] = _overlap
    environment.filters["shell"] = shlex.join
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        config=summary["config"],
        dataset=named(summary["config"]["dataset"]),
        tables={"units": _table(results)} | ({"gates": _table(gates)} if gates else {}),
        caveats=caveats(summary),
        figures=[base64.b64encode(figure.read_bytes()).decode("ascii") for figure in figures],
        shuffled=_shuffled(summary["shuffled"]),
        names=REGULARIZER_NAMES,
    )
    write_text(path, page)


def caveats(summary: dict[str, Any]) -> list[str]:
    """What makes these numbers not comparable with the paper's, as far as it applies."""
    config, dataset = summary["config"], summary["dataset"]
    known = named(config["dataset"])
    found = known.caveats(summary)
    if config["hidden"] != 1024:
        found.append(f"The LSTM has {config['hidden']} units, 1024 in the paper.")
    if config["split"] == "random":
        shares = "; ".join(f"seed {part['seed']}: {_overlap(part)}" for part in dataset["splits"])
        found.append(
            "The split is random, as the paper's. So many test clips stand beside a training clip "
            f"of their own group, with which they share {known.shared_by_group}: {shares}. (With "
            "UCF101's own lists of clips it is 99.7%, with HMDB-51's 83%.) Numbers from a random "
            "split cannot be compared with results on the official splits or on held-out groups."
        )
    else:
        found.append(
            f"The split is '{config['split']}'; the paper's is random, which is an easier test."
        )
    found.append(
        "The paper does not state its learning rate, its number of epochs, the factors of its "
        "penalties or how it bins; here they are those of the settings below."
    )
    return found


def _overlap(part: dict[str, Any]) -> str:
    """The share of a split's test clips beside a training clip of their group, if it is known."""
    share = part["group_overlap"]
    return share if isinstance(share, str) else f"{100 * share:.1f}%"


def _table(results: StudyResults) -> dict[str, Any]:
    """Accuracies at a few fractions for every regulariser, criterion and order."""
    measured = sorted({row.removed_fraction for row in results.rows})
    wanted = {min(measured, key=lambda f: (abs(f - shown), f)) for shown in SHOWN_FRACTIONS}
    fractions = sorted(wanted)
    lines = []
    for regularizer in REGULARIZERS:
        for criterion in CRITERIA:
            for order in ORDERS:
                curve = Curve(regularizer, criterion, order)
                if results.fractions(curve):
                    cells = [percent(results.spread(curve, f)) for f in fractions]
                    lines.append((REGULARIZER_NAMES[regularizer], NAMES[criterion], order, cells))
    return {"fractions": fractions, "lines": lines}


def _shuffled(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean accuracies with frames in order and shuffled, by regulariser."""
    lines = []
    for regularizer in dict.fromkeys(one["regularizer"] for one in measured):
        mine = [one for one in measured if one["regularizer"] == regularizer]
        whole = [one["accuracy"] for one in mine]
        shuffled = [one["shuffled_accuracy"] for one in mine]
        change = [after - before for before, after in zip(whole, shuffled, strict=True)]
        lines.append(
            {
                "regularizer": REGULARIZER_NAMES[regularizer],
                "accuracy": percent(Spread.of(whole)),
                "shuffled_accuracy": percent(Spread.of(shuffled)),
                "change": percent(Spread.of(change)),
            }
        )
    return lines


def _shown(spread: dict[str, Any] | None) -> str:
    if spread is None:
        return "not measured"
    if spread["deviation"] is None:
        return f"{spread['mean']:.1f}"
    return f"{spread['mean']:.1f} ± {spread['deviation']:.1f}"


def _shown_change(spread: dict[str, Any] | None) -> str:
    return "not measured" if spread is None else f"{spread['mean']:+.1f}"
