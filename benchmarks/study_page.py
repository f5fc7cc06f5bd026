"""The tables of docs/study.md and of the README, from the runs in docs/study.

    python benchmarks/study_page.py

Each run is a folder of docs/study with the results.csv and summary.json that the study's command
left. Every number of these tables comes from there.
"""

import json
from pathlib import Path

from tefast.experiment.comparisons import differences, group, label, paper_curve, random_curve
from tefast.experiment.config import FROM_SCRATCH, NO_ORDER, RECOVERIES
from tefast.experiment.results import Curve, StudyResults, read_rows
from tefast.experiment.statistics import Tested, compared

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "study"
PAGE, README = ROOT / "docs" / "study.md", ROOT / "README.md"
SETS = ("rendered", "digits", "vowels")
ORDERS = {
    "transfer entropy, highest first": ("transfer_entropy", "descending"),
    "transfer entropy, lowest first": ("transfer_entropy", "ascending"),
    "L1 norm, lowest first": ("l1", "ascending"),
    "redundancy, lowest first": ("redundancy", "ascending"),
    "random": ("random", NO_ORDER),
}
HALF, MORE = 0.5, 0.6
SHOWN_READINGS = 6


class Run:
    """A committed run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.summary = json.loads((RUNS / name / "summary.json").read_text(encoding="utf-8"))
        self.results = StudyResults(read_rows(RUNS / name / "results.csv"))
        self.samples = min(part["test"] for part in self.summary["dataset"]["splits"])

    def shown(self, curve: Curve, fraction: float) -> str:
        """Return mean and standard deviation over seeds, in percent."""
        found = self.results.spread(curve, fraction)
        if found is None:
            return ""
        deviation = "" if found.deviation is None else f" ± {100 * found.deviation:.1f}"
        return f"{100 * found.mean:.1f}{deviation}"

    def changes(self, curve: Curve, fraction: float) -> dict[int, float]:
        """Return by seed what a removal changes."""
        before = self.results.accuracies(curve, 0.0)
        return {
            seed: after - before[seed]
            for seed, after in self.results.accuracies(curve, fraction).items()
        }


def gap(one: Tested | None, p: str = "corrected") -> str:
    """Return a difference in points, its 95 % interval and its p-value."""
    if one is None or one.low is None:
        return "not tested"
    value = getattr(one, p)
    return (
        f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f}), "
        f"p {'< 0.001' if value < 0.001 else f'= {value:.2g}'}"
    )


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a table of Markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def orders(runs: list[Run]) -> str:
    """Return accuracies without half of the units, in every order that was measured."""
    curves = group(runs[0].results, "none", "none")
    lines = [["whole network", *[run.shown(paper_curve("none"), 0.0) for run in runs]]]
    lines += [
        [label(curve), *[run.shown(curve, HALF) for run in runs]]
        for curve in curves
        if curve.criterion != FROM_SCRATCH
    ]
    return table(["half removed by", *[run.name for run in runs]], lines)


def claims(runs: list[Run]) -> str:
    """Return what transfer entropy, highest first, is beside the whole network and other orders."""
    lines = []
    for run in runs:
        mine = paper_curve("none")
        change = compared(
            run.results.accuracies(mine, HALF), run.results.accuracies(mine, 0.0), run.samples
        )
        curves = [c for c in group(run.results, "none", "none") if c.criterion != FROM_SCRATCH]
        gaps = dict(zip(curves, differences(run.results, curves, mine, HALF, run.samples),
                        strict=True))  # fmt: skip
        chance = gaps[random_curve("none")]
        best = max(
            (c for c in curves if c != mine),
            key=lambda c, run=run: run.results.spread(c, HALF).mean,
        )
        lines.append([
            run.name, gap(change, "p"), gap(mirrored(chance)), label(best),
            gap(mirrored(gaps[best])),
        ])  # fmt: skip
    head = ["data", "less the whole network", "less random orders", "best other order",
            "less that order"]  # fmt: skip
    return table(head, lines)


def mirrored(one: Tested | None) -> Tested | None:
    """Return a difference the other way round."""
    if one is None or one.low is None:
        return one
    return Tested(-one.mean, one.seeds, one.error, -one.high, -one.low, one.p, one.corrected)


def penalties(runs: list[Run]) -> str:
    """Return what removing 60 % by transfer entropy costs under each penalty."""
    lines = []
    for run in runs:
        l1, l2 = (run.changes(paper_curve(name), MORE) for name in ("l1", "l2"))
        zero = dict.fromkeys(l1, 0.0)
        cells = [compared(each, zero, run.samples) for each in (l1, l2)]
        lines.append(
            [run.name, *[gap(cell, "p") for cell in cells], gap(compared(l2, l1, run.samples), "p")]
        )
    return table(["data", "change with L1", "change with L2", "L2 less L1"], lines)


def recoveries(runs: list[Run]) -> str:
    """Return accuracies after reconstruction and fine-tuning, and of small networks."""
    lines = []
    for run in runs:
        for fraction in (HALF, MORE):
            small = run.shown(Curve("none", FROM_SCRATCH, NO_ORDER), fraction)
            for name, (criterion, order) in ORDERS.items():
                cells = [
                    run.shown(Curve("none", criterion, order, recovery), fraction)
                    for recovery in RECOVERIES
                ]
                lines.append([run.name, f"{fraction:.0%}", name, *cells, small])
    head = ["data", "removed", "order", "as it is", "reconstructed", "fine-tuned",
            "trained small from scratch"]  # fmt: skip
    return table(head, lines)


def readings(runs: list[Run]) -> str:
    """Return the best reading of every data set beside the paper's."""
    lines = []
    for run in runs:
        every = run.summary["readings"]["table"]
        papers = next(i for i, one in enumerate(every) if one["is_papers"])
        plain = [one["gains"][0] for one in every if one["gains"][0]["p"] < 0.05]
        higher = sum(one["mean"] > 0 for one in plain)
        shown = [f"{one['label']}: {points(one['gains'][0])}" for one in (every[0], every[papers])]
        counts = f"{higher} and {len(plain) - higher} of {len(every)}"
        held = sum(one["gains"][0]["p_holm"] < 0.05 for one in every)
        lines.append([run.name, shown[0], f"rank {papers + 1}: {points(every[papers]['gains'][0])}",
                      counts, str(held)])  # fmt: skip
    head = ["data", "best reading, less random orders", "the paper's reading",
            "above and below at p < 0.05, uncorrected", "after Holm's correction"]  # fmt: skip
    return table(head, lines)


def points(one: dict) -> str:
    """Return a gain in points and its interval."""
    return f"{one['mean']:+.1f} ({one['low']:+.1f} to {one['high']:+.1f})"


def everywhere(runs: list[Run]) -> str:
    """Return the readings whose least gain over random orders, among all data sets, is highest."""
    each = [{one["label"]: one["gains"][0] for one in run.summary["readings"]["table"]}
            for run in runs]  # fmt: skip
    common = [name for name in each[0] if all(name in found for found in each)]
    common.sort(key=lambda name: -min(found[name]["mean"] for found in each))
    above = sum(min(found[name]["mean"] for found in each) > 0 for name in common)
    lines = [[name, *[points(found[name]) for found in each]] for name in common[:SHOWN_READINGS]]
    note = f"{above} of {len(common)} readings are above random orders on all data sets on average."
    return f"{table(['reading', *[run.name for run in runs]], lines)}\n\n{note}"


def paper(runs: list[Run]) -> str:
    """Return the paper's figures beside those of the run that makes its own clips."""
    lines = []
    for row in runs[0].summary["beside_the_paper"]:
        here = [f"{row[name]['mean']:.1f} ± {row[name]['deviation']:.1f}"
                for name in ("here_before", "here_after")]  # fmt: skip
        lines.append([row["what"], f"{row['paper_before']}", f"{row['paper_after']}",
                      f"{row['removed']:.0%}".replace("%", " %"), *here])  # fmt: skip
    return table(["paper", "before", "after", "removed", "here, before", "here, after"], lines)


TABLES = {
    "paper": paper, "orders": orders, "claims": claims, "penalties": penalties,
    "recoveries": recoveries, "readings": readings, "everywhere": everywhere,
}  # fmt: skip


def filled(text: str, runs: list[Run], names: list[str]) -> str:
    """Return a page with these tables made anew, each between its name in a comment and `end`."""
    for name in names:
        begin, end = f"<!-- {name} -->\n", "<!-- end -->\n"
        before, found, rest = text.partition(begin)
        if not found:
            raise ValueError(f"the page has no place for {name!r}")
        text = before + begin + "\n" + TABLES[name](runs) + "\n\n" + rest[rest.index(end) :]
    return text


def pages() -> dict[Path, str]:
    """Return the pages as they should be."""
    runs = [Run(name) for name in SETS]
    return {
        PAGE: filled(PAGE.read_text(encoding="utf-8"), runs, list(TABLES)),
        README: filled(README.read_text(encoding="utf-8"), runs, ["paper"]),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8", newline="\n")
