"""report.html: one self-contained page with the answer, figures, tables and methods."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from tefast._support.files import write_text
from tefast.experiment.comparisons import percent
from tefast.experiment.config import REGULARIZER_NAMES
from tefast.experiment.datasets import named, names
from tefast.experiment.methods import methods
from tefast.experiment.results import Spread
from tefast.experiment.statistics import signed

CAPTIONS = {
    "figure2": (
        "Accuracy against the fraction of units removed, by criterion and order",
        "Figure 2. Accuracy after removing units in the order of their scores. Shaded: 95% "
        "intervals over seeds; grey: random orders, from the lowest to the highest.",
    ),
    "figure3": (
        "Accuracy against the fraction of units removed, by regularisation",
        "Figure 3. The same for transfer entropy, by the penalty in training; dotted: the mean of "
        "random orders.",
    ),
    "recoveries": (
        "Accuracy by what is done after the removal, for each criterion",
        "What is done after the removal, by criterion. Diamonds: networks of that size, trained "
        "from scratch.",
    ),
    "size": (
        "Accuracy against parameters, and against the time of a forward pass",
        "The same networks by their size and by the measured time of a forward pass.",
    ),
    "maps": (
        "Transfer entropy of every unit against its L1 norm, entropy and occupied bins",
        "Every unit of one network: its transfer entropy beside its L1 norm, its entropy and the "
        "bins that it occupies. Orange: units that go first, half of all. Grey crosses: the "
        "transfer entropy that independent series of the same counts would seem to have.",
    ),
    "readings": (
        "Accuracy less that of random orders, for every reading of the score",
        "Every reading of the paper's definition: accuracy at half of the units removed less that "
        "of random orders, sorted; lines are 95% intervals over seeds.",
    ),
    "training": (
        "Loss against the epoch",
        "Loss in training, the penalty included; shaded: from the lowest to the highest seed.",
    ),
    "figure4": (
        "Accuracy against the fraction of units, and of gates, removed",
        "Figure 4. Accuracy after removing units (left) and single gates (right).",
    ),
}
"""What each figure shows: for those who do not see it, and below it."""


def write_report(path: Path, summary: dict[str, Any], figures: Mapping[str, Path]) -> None:
    """Write the page.

    Parameters
    ----------
    summary : dict
        As `tefast.experiment.summary.build_summary` makes it.
    figures : mapping of str to Path
        PNG files by the names in `CAPTIONS`; they go into the page itself.
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
    environment.filters["p"] = _shown_p
    environment.filters["overlap"] = _overlap
    environment.filters["shell"] = shlex.join
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        config=summary["config"],
        settings=own_settings(summary["config"]),
        dataset=named(summary["config"]["dataset"]),
        caveats=caveats(summary),
        methods=methods(summary),
        captions=CAPTIONS,
        figures={
            name: base64.b64encode(figures[name].read_bytes()).decode("ascii")
            for name in CAPTIONS
            if name in figures
        },
        shuffled=_shuffled(summary["shuffled"]),
        names=REGULARIZER_NAMES,
    )
    write_text(path, page)


def own_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The settings without those that only other data sets have."""
    mine = set(named(config["dataset"]).own_settings)
    others = {setting for name in names() for setting in named(name).own_settings} - mine
    return {name: value for name, value in config.items() if name not in others}


def caveats(summary: dict[str, Any]) -> list[str]:
    """What makes these numbers not comparable with the paper's, as far as it applies."""
    config, dataset = summary["config"], summary["dataset"]
    known = named(config["dataset"])
    found = known.caveats(summary)
    if config["hidden"] != 1024:
        found.append(f"The LSTM has {config['hidden']} units, 1024 in the paper.")
    if config["split"] == "random" and not dataset.get("grouped", True):
        found.append(
            "The split is random, as the paper's. What the samples have in common is not known."
        )
    elif config["split"] == "random":
        shares = "; ".join(f"seed {part['seed']}: {_overlap(part)}" for part in dataset["splits"])
        found.append(
            "The split is random, as the paper's. So many of the test samples stand beside a "
            f"training sample of their own group, with which they share {known.shared_by_group}: "
            f"{shares}. (With UCF101's own lists of clips it is 99.7%, with HMDB-51's 83%.) "
            "Numbers from a random split cannot be compared with results on the official splits or "
            "on held-out groups."
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
    """The share of a split's test samples beside a training one of their group, if it is known."""
    share = part["group_overlap"]
    return share if isinstance(share, str) else f"{100 * share:.1f}%"


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


def _shown_change(change: dict[str, Any] | None) -> str:
    """A difference, with its 95 % interval where there is one."""
    if change is None:
        return "not measured"
    if change.get("low") is None:
        return signed(change["mean"])
    return f"{signed(change['mean'])} ({signed(change['low'])} to {signed(change['high'])})"


def _shown_p(change: dict[str, Any] | None) -> str:
    """The p-value of a difference, corrected where it was one of several."""
    if change is None:
        return ""
    p = change["p"] if change["p_holm"] is None else change["p_holm"]
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
