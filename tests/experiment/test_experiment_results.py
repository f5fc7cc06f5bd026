"""Rows, figures, findings and the report: each says what the measurements say."""

import json
import math
import statistics
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from tefast.experiment.config import CRITERIA, NAMES, ORDERS, PRESETS, REGULARIZERS
from tefast.experiment.figures import build_figure2, build_figure3, build_figure4, figure2, figure4
from tefast.experiment.findings import findings, gate_findings, paper_table
from tefast.experiment.report import caveats, write_report
from tefast.experiment.results import COLUMNS, Curve, Row, StudyResults, read_rows, write_rows
from tefast.experiment.summary import build_summary, write_summary

FRACTIONS = (0.0, 0.25, 0.5, 0.6)
CLIPS = 1000


def measured(accuracy, seeds=(0, 1, 2)):
    """A row for every combination, with accuracy(seed, regularizer, criterion, order, fraction)."""
    return [
        Row("rendered", "random", s, r, c, o, f, round(64 * f), accuracy(s, r, c, o, f), 1000, 1e-3)
        for s in seeds
        for r in REGULARIZERS
        for c in CRITERIA
        for o in ORDERS
        for f in FRACTIONS
    ]


def noisy(s, r, c, o, f):
    rng = np.random.default_rng([s, REGULARIZERS.index(r), CRITERIA.index(c), ORDERS.index(o)])
    return float(np.clip(0.95 - 0.5 * f + rng.normal(0, 0.02), 0, 1)) if f else 0.95 + 0.001 * s


ROWS = measured(noisy)


def test_rows_round_trip(tmp_path):
    rows = [replace(ROWS[0], accuracy=1 / 3, seconds_per_clip=1e-17), *ROWS[1:]]
    write_rows(tmp_path / "r.csv", rows)
    assert read_rows(tmp_path / "r.csv") == rows
    header = (tmp_path / "r.csv").read_text().splitlines()[0]
    assert header == (
        "dataset,split,seed,regularizer,criterion,order,removed_fraction,removed_units,accuracy,"
        "parameters,seconds_per_clip"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the header dataset,split"),
        ("a,b\n", "expected the header"),
        (",".join(COLUMNS) + "\nrendered,random,0\n", "line 2: expected 11 values, got 3"),
        (",".join(COLUMNS) + "\nr,r,zero,none,l1,ascending,0,0,1,1,1\n", "line 2: .*'zero'"),
        (",".join(COLUMNS) + "\nr,r,0,none,magic,ascending,0,0,1,1,1\n", "line 2: criterion must"),
        (",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,0,nan,1,1\n", "accuracy .*got nan"),
        (",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,0,90,1,1\n", "accuracy .*got 90"),
        (",".join(COLUMNS) + "\nr,r,0,none,l1,ascending,0,0,1,1,1" * 2, "line 3: a second"),
    ],
)
def test_files_of_other_rows_are_refused(tmp_path, text, message):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rows(tmp_path / "r.csv")


def test_spread_and_difference():
    results = StudyResults(ROWS)
    curve, other = Curve("l1", "entropy", "ascending"), Curve("l1", "random", "descending")
    mine = [noisy(s, "l1", "entropy", "ascending", 0.5) for s in range(3)]
    theirs = [noisy(s, "l1", "random", "descending", 0.25) for s in range(3)]
    spread = results.spread(curve, 0.5)
    assert spread.mean == pytest.approx(statistics.mean(mine))
    assert spread.deviation == pytest.approx(statistics.stdev(mine))
    gap = results.difference((curve, 0.5), (other, 0.25))
    pairs = [a - b for a, b in zip(mine, theirs, strict=True)]
    assert (gap.mean, gap.deviation) == pytest.approx(
        (statistics.mean(pairs), statistics.stdev(pairs))
    )
    assert results.spread(curve, 0.3) is None
    assert results.nearest(curve, 0.4) == 0.5
    assert StudyResults(measured(noisy, seeds=[4])).spread(curve, 0.5).deviation is None


@pytest.mark.parametrize("build", [build_figure2, build_figure3])
def test_figures_show_what_the_rows_say(build):
    results = StudyResults(ROWS)
    axes = build(ROWS, classes=10).axes[0]
    lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
    expected = {}
    for curve in results.curves:
        if build is build_figure2 and curve.regularizer == "none":
            expected[f"{NAMES[curve.criterion]}, {curve.order}"] = curve
        elif build is build_figure3 and curve.criterion == "transfer_entropy":
            name = {"none": "no regularisation", "l1": "L1", "l2": "L2"}[curve.regularizer]
            expected[f"{name}, {curve.order}"] = curve
            baseline = replace(curve, criterion="random", order="descending")
            expected[f"{name}, random order"] = baseline
    assert lines.keys() == expected.keys()
    for label, line in lines.items():
        curve = expected[label]
        np.testing.assert_allclose(line.get_xdata(), [100 * f for f in FRACTIONS])
        means = [100 * results.spread(curve, f).mean for f in FRACTIONS]
        np.testing.assert_allclose(line.get_ydata(), means)
        solid = {"descending": "-", "ascending": "--"}[curve.order]
        assert line.get_linestyle() == (":" if "random order" in label.split(", ")[1:] else solid)
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] >= 100


def better(s, r, c, o, f):
    return min(1.0, noisy(s, r, c, o, f) + 0.3 * f)


GATE_ROWS = [replace(row, removed_units=4 * row.removed_units) for row in measured(better)]


def test_the_figure_of_gates_shows_them_beside_units():
    panels = build_figure4(ROWS, GATE_ROWS, classes=10).axes
    assert [axes.get_xlabel() for axes in panels] == ["units removed [%]", "gates removed [%]"]
    for axes, rows in zip(panels, (ROWS, GATE_ROWS), strict=True):
        results, shown = StudyResults(rows), {}
        for line in axes.lines:
            shown[line.get_label()] = line
        for criterion in CRITERIA:
            for order in ORDERS:
                curve = Curve("none", criterion, order)
                means = [100 * results.spread(curve, f).mean for f in FRACTIONS]
                line = shown[f"{NAMES[criterion]}, {order}"]
                np.testing.assert_allclose(line.get_ydata(), means)
                np.testing.assert_allclose(line.get_xdata(), [100 * f for f in FRACTIONS])
    only = [[row for row in rows if row.regularizer == "l2"] for rows in (ROWS, GATE_ROWS)]
    assert "(L2)" in build_figure4(*only, classes=10).get_suptitle()


def test_gates_are_compared_with_chance_and_with_units():
    def gates(gap, chance=0.0, noise=0.0):
        def accuracy(s, r, c, o, f):
            mine = gap if c == "transfer_entropy" and o == "descending" else 0.0
            random = chance if c == "random" else 0.0
            return 0.9 if not f else 0.5 + mine + random + noise * (s - 1)

        return StudyResults(measured(accuracy))

    first, second = gate_findings(gates(0.0), gates(0.2), CLIPS)
    assert first.startswith(
        "Removing 50% of the gates by transfer entropy, descending, leaves 70.0"
    )
    assert "more than as many gates in random order (50.0 ± 0.0%; difference +20.0" in first
    assert "more than the same fraction of units by the same criterion (50.0" in first
    assert "ascending, leaves 50.0" in second
    assert second.count("not shown to differ from") == 2
    first, _ = gate_findings(gates(0.4), gates(0.2, chance=0.3), CLIPS)
    assert first.count("less than") == 2
    first, _ = gate_findings(gates(0.0), gates(0.02, noise=0.1), CLIPS)
    assert "not shown to differ from the same fraction" in first
    assert "more than as many gates" in first  # pairs of a seed differ by the same
    few = StudyResults([row for row in ROWS if row.criterion == "l1"])
    assert gate_findings(few, few, CLIPS) == []


def test_figures_of_few_rows_are_drawn_and_the_same_bytes(tmp_path):
    rows = [row for row in measured(noisy, seeds=[1]) if row.criterion == "l1"]
    for part in (rows, [row for row in rows if row.regularizer == "l2"][:1]):
        figure2(part, tmp_path / "a.png", classes=3)
        figure2(part, tmp_path / "b.png", classes=3)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def fixed(best=0.0, l1=0.0, l2=0.0, noise=0.0):
    """Transfer entropy, descending, is `best` above the rest, the penalties change by l1, l2."""

    def accuracy(s, r, c, o, f):
        if not f:
            return 0.9
        mine = c == "transfer_entropy" and o == "descending"
        change = {"none": best if mine else 0.0, "l1": l1, "l2": l2}[r]
        return 0.8 + change + noise * (s - 1) * (1 if mine else -1)

    return findings(StudyResults(measured(accuracy)), CLIPS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"best": 0.05}, "transfer entropy, descending, is above random order, descending: +5.0"),
        ({"best": -0.05}, "transfer entropy, descending, is below L1 norm, ascending: -5.0"),
        ({"best": 0.0}, "is not told apart from entropy, descending: +0.0 points"),
        ({"best": 0.05, "noise": 0.1}, "is not told apart from random order, descending: +5.0"),
        ({"l1": -0.1, "l2": 0.1}, "L2 keeps more than L1, as the paper says (L2 less L1: +20.0"),
        ({"l1": 0.1, "l2": -0.1}, "L1 keeps more than L2, against the paper (L2 less L1: -20.0"),
        ({"l1": 0.0, "l2": 0.0}, "the difference between the two is within the spread"),
        ({"best": 0.05}, "leaves 85.0 ± 0.0%, a change of -5.0 points"),
    ],
)
def test_findings_follow_the_measurements(options, words):
    assert any(words in sentence for sentence in fixed(**options)), fixed(**options)


@pytest.mark.parametrize(
    ("best", "noise", "words"),
    [
        (0.05, 0.0, "It is the best of the compared orders, as the paper finds."),
        (-0.05, 0.0, "here it is not: better are transfer entropy, ascending; entropy, desc"),
        (0.0, 0.01, "no other is shown to be better, nor are all shown to be worse"),
    ],
)
def test_the_papers_claim_is_judged_either_way(best, noise, words):
    sentences = fixed(best=best, noise=noise)
    assert any(words in sentence for sentence in sentences), sentences


@pytest.mark.parametrize(("gaps", "verdict"), [((2, 3, 9), "not told apart"), ((4, 5, 6), "above")])
def test_few_seeds_are_judged_by_students_t(gaps, verdict):
    # 4.7 points with a standard error of 2.2: beyond two of them, within t(2 degrees) = 4.3.
    def accuracy(s, r, c, o, f):
        mine = c == "transfer_entropy" and o == "descending" and f
        return 0.8 + (gaps[s] / 100 if mine else 0.0)

    sentences = findings(StudyResults(measured(accuracy)), CLIPS)
    (compared,) = [one for one in sentences if "random order, descending:" in one]
    assert f"is {verdict}" in compared


@pytest.mark.parametrize(("clips", "verdict"), [(96, "not told apart"), (1000, "above")])
def test_seeds_that_agree_to_a_clip_are_not_taken_for_exact(clips, verdict):
    def accuracy(s, r, c, o, f):
        return 0.8 + (0.01 if c == "transfer_entropy" and o == "descending" and f else 0.0)

    sentences = findings(StudyResults(measured(accuracy)), clips)
    (compared,) = [one for one in sentences if "random order, descending:" in one]
    assert f"is {verdict}" in compared


def test_a_figure_without_transfer_entropy_says_so():
    rows = [row for row in ROWS if row.criterion == "entropy"]
    (text,) = build_figure3(rows, classes=10).axes[0].texts[:1]
    assert text.get_text() == "transfer entropy was not measured"


def test_one_seed_tells_nothing_apart():
    rows = measured(lambda s, r, c, o, f: 0.9 if c == "transfer_entropy" else 0.1, seeds=[0])
    sentences = findings(StudyResults(rows), CLIPS)
    compared = [sentence for sentence in sentences if "At 50% removed, " in sentence]
    assert len(compared) == 7
    assert all("not told apart" in sentence and "one seed" in sentence for sentence in compared)


def test_table_beside_the_paper():
    table = paper_table(StudyResults(ROWS))
    papers = [(row["paper_before"], row["paper_after"], row["removed"]) for row in table]
    assert papers == [(89.4, 89.6, 0.5), (98.3, 98.3, 0.5), (90.5, 87.8, 0.6), (89.8, 89.9, 0.6)]
    results = StudyResults(ROWS)
    curve = Curve("l2", "transfer_entropy", "descending")
    last = table[-1]
    assert last["here_after"]["mean"] == 100 * results.spread(curve, 0.6).mean
    assert last["here_removed"] == 0.6
    only = [row for row in ROWS if row.regularizer == "l1"]
    assert paper_table(StudyResults(only))[0]["here_after"] is None


def test_the_papers_other_data_set_is_left_out():
    rows = [replace(row, dataset="ucf101") for row in ROWS]
    named = [row["what"] for row in paper_table(StudyResults(rows))]
    assert named == ["UCF101 (figure 2)", "with L1 (figure 3)", "with L2 (figure 3)"]


def summarised(
    config=PRESETS["default"], problems=(), rows=ROWS, classes=("Left", "Right"), gates=None
):
    return build_summary(
        config,
        StudyResults(rows),
        gates,
        command=["python", "-m", "tefast.experiment", "--out", "a b"],
        backbone="random weights (seed 0)",
        dataset={
            "name": config.dataset,
            "classes": list(classes),
            "clips": 40,
            "usable": 40 - len(problems),
            "missing": 0,
            "splits": [{"seed": 0, "train": 32, "test": 8, "group_overlap": 0.75}],
        },
        shuffled=[
            {"seed": s, "regularizer": "none", "accuracy": 0.9, "shuffled_accuracy": 0.5 + s / 10}
            for s in range(3)
        ],
        problems=list(problems),
        seconds={"training": 12.34},
    )


def test_summary_is_strict_json(tmp_path):
    summary = summarised()
    write_summary(tmp_path / "s.json", summary)
    read = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert read["config"]["hidden"] == 1024
    assert read["versions"].keys() >= {"python", "torch", "numpy", "av"}
    assert read["before_removal"]["l1"]["seeds"] == 3
    assert read["hardware"]["cores"] >= 1
    assert read["seconds"] == {"training": 12.3}
    summary["seconds"]["x"] = math.nan
    with pytest.raises(ValueError, match="JSON compliant"):
        write_summary(tmp_path / "s.json", summary)
    assert json.loads((tmp_path / "s.json").read_text()) == read  # the old file is still whole


def test_summary_does_not_name_the_users_home(monkeypatch):
    monkeypatch.setenv("HOME", "/people/ann")
    config = replace(PRESETS["paper"], data_root="/people/ann/clips")
    problem = {"name": "a.avi", "kind": "unreadable", "reason": "no '/people/ann/a.avi'"}
    summary = summarised(config=config, problems=[problem])
    assert summary["config"]["data_root"] == "~/clips"
    assert "/people/ann" not in json.dumps(summary)
    assert summarised(config=replace(config, data_root="/people/anna"))["config"]["data_root"] == (
        "/people/anna"
    )


class Page(HTMLParser):
    """Checks that tags nest, and collects what a page would load."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.loads = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def reported(tmp_path, **options):
    summary = summarised(**options)
    for name in ("2.png", "3.png"):
        figure2(ROWS, tmp_path / name, classes=2)
    pictures = [tmp_path / "2.png", tmp_path / "3.png"]
    write_report(tmp_path / "r.html", summary, StudyResults(ROWS), pictures)
    return (tmp_path / "r.html").read_text()


def test_report_is_one_whole_page(tmp_path):
    text = reported(tmp_path)
    page = Page(text)
    assert [load.split(",")[0] for load in page.loads] == ["data:image/png;base64"] * 2
    for sentence in findings(StudyResults(ROWS), 8):
        assert sentence in text
    curve = StudyResults(ROWS).spread(Curve("l2", "entropy", "ascending"), 0.6)
    assert f"{100 * curve.mean:.1f} ± {100 * curve.deviation:.1f}" in text
    assert "60.0 ± 10.0" in text  # shuffled, over seeds
    assert "--out &#39;a b&#39;" in text
    assert "problem" not in text


def test_report_of_gates(tmp_path):
    gates = StudyResults(GATE_ROWS)
    summary = summarised(gates=gates)
    assert summary["gate_findings"] == gate_findings(StudyResults(ROWS), gates, 8)
    assert summary["findings"] == summarised()["findings"]
    figure4(ROWS, GATE_ROWS, tmp_path / "4.png", classes=2)
    write_report(tmp_path / "r.html", summary, StudyResults(ROWS), [tmp_path / "4.png"] * 3, gates)
    text = (tmp_path / "r.html").read_text()
    assert len(Page(text).loads) == 3
    for sentence in summary["gate_findings"]:
        assert sentence in text
    assert "order: units</h2>" in text
    assert "order: gates</h2>" in text
    curve = gates.spread(Curve("l2", "entropy", "ascending"), 0.6)
    assert f"{100 * curve.mean:.1f} ± {100 * curve.deviation:.1f}" in text
    assert "Single gates" not in reported(tmp_path)


def test_report_names_clips_with_a_problem_and_escapes(tmp_path):
    problems = [{"name": "a<b>&.avi", "kind": "unreadable", "reason": "no <video>"}]
    text = reported(tmp_path, problems=problems, classes=("<script>", "Right"))
    Page(text)
    assert "a&lt;b&gt;&amp;.avi" in text
    assert "<script>" not in text
    assert "1 of 40 clips" in text
    assert "39 were used" in text


def test_what_is_not_comparable_is_said_where_it_applies():
    here = caveats(summarised())
    assert any("rendered" in text for text in here)
    assert any("random weights (seed 0)" in text for text in here)
    assert any("48 x 64 pixels" in text for text in here)
    assert any("seed 0: 75.0%" in text and "99.7%" in text for text in here)
    paper = replace(PRESETS["paper"], data_root="clips", split="official-1")
    there = caveats(summarised(config=paper))
    assert len(there) == 2
    assert "The split is 'official-1'" in there[0]
    assert asdict(paper)["weights"] == "imagenet"
