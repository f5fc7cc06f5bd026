"""The summary and the report: whole, strict, and in the words of the data set."""

import datetime
import json
import math
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest
from made_rows import GATE_ROWS, ROWS

from tefast.experiment.class_results import ClassResults, ClassRow
from tefast.experiment.comparisons import accuracy_tables
from tefast.experiment.config import PRESETS
from tefast.experiment.findings import findings, gate_findings
from tefast.experiment.report import caveats, write_report
from tefast.experiment.results import Curve, StudyResults
from tefast.experiment.summary import build_summary, write_summary


def summarised(
    config=PRESETS["default"], problems=(), rows=ROWS, classes=("Left", "Right"), gates=None, **more
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
        **more,
    )


def test_summary_is_strict_json(tmp_path):
    summary = summarised()
    write_summary(tmp_path / "s.json", summary)
    read = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert read["config"]["hidden"] == 1024
    assert read["versions"].keys() >= {"python", "torch", "numpy", "av", "scipy", "FFmpeg"}
    assert datetime.date.fromisoformat(read["date"])
    assert len(read["answers"]) == 5
    assert read["tables"] == accuracy_tables(StudyResults(ROWS), 8, 2)
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


def reported(tmp_path, pictures=("figure2", "figure3", "size"), **options):
    picture = tmp_path / "p.png"
    picture.write_bytes(b"not looked at")
    write_report(tmp_path / "r.html", summarised(**options), dict.fromkeys(pictures, picture))
    return (tmp_path / "r.html").read_text()


def test_report_is_one_whole_page(tmp_path):
    text = reported(tmp_path)
    page = Page(text)
    assert [load.split(",")[0] for load in page.loads] == ["data:image/png;base64"] * 3
    summary = summarised()
    for sentence in [*summary["answers"], *findings(StudyResults(ROWS), 8, 2)]:
        assert sentence in text
    assert text.index(summary["answers"][0]) < text.index("<img") < text.index("<table")
    curve = StudyResults(ROWS).spread(Curve("l2", "entropy", "ascending"), 0.6)
    assert f"{100 * curve.mean:.1f} ± {100 * curve.deviation:.1f}" in text
    assert "60.0 ± 10.0" in text  # shuffled, over seeds
    assert "--out &#39;a b&#39;" in text
    assert "problem" not in text


def test_methods_say_what_the_paper_leaves_open(tmp_path):
    text = reported(tmp_path)
    methods = text[text.index("<h2>Methods") : text.index("<h2>What was run")]
    for words in (
        "16 bins of equal width", "probability of the true class", "learning rate of 0.002",
        "6 epochs", "L1: 1e-05", "ridge of 0.001", "10 random orders", "split &#39;random&#39;",
    ):  # fmt: skip
        assert words in methods, words
    assert "Fine-tuning" not in methods
    chosen = [{"regularizer": "l1", "seed": 0, "weight": 1e-4, "grid": []}]
    config = replace(PRESETS["complete"], regularizers=("none", "l1"), l1_weight="auto")
    text = reported(tmp_path, config=config, chosen_weights=chosen)
    assert "chosen 0.0001 (seed 0)" in text
    assert "Fine-tuning: 1 epoch of the training above, with 0.1 of its peak" in text


def test_settings_of_other_data_sets_are_left_out(tmp_path):
    assert "<code>clips_per_group=4</code>" in reported(tmp_path)
    text = reported(tmp_path, config=replace(PRESETS["default"], dataset="digits"))
    for name in ("clips_per_group", "groups", "frames", "backbone", "data_root", "data"):
        assert f"<code>{name}=" not in text
    assert "<code>hidden=1024</code>" in text
    text = reported(tmp_path, config=replace(PRESETS["paper"], data_root="x"))
    assert "<code>frames=25</code>" in text
    assert "<code>groups=" not in text


def test_samples_and_steps_are_called_as_the_data_set_calls_them(tmp_path):
    text = reported(tmp_path, config=replace(PRESETS["default"], dataset="digits", split="group"))
    page = text[text.index("<body>") : text.index("cannot be compared as they stand")]
    page += text[text.index("<h2>All acc") :]
    assert "images of handwritten digits" in page
    assert "Does the order of the rows matter?" in page
    for word in ("clips", "frames", "video"):
        assert f" {word}" not in page, word


def test_classes_are_listed_with_what_a_removal_changes(tmp_path):
    def rows(order, fraction, right):
        return [
            ClassRow("d", "s", 0, "none", "transfer_entropy", order, 0, "none", fraction, name,
                     right, 20)
            for name in ("Left", "Right")
        ]  # fmt: skip

    by_class = ClassResults([*rows("descending", 0.0, 18), *rows("descending", 0.5, 12)])
    none = replace(by_class.rows[0], class_name="Neither", right=0, total=0)
    by_class = ClassResults([*by_class.rows, none])
    summary = summarised(by_class=by_class)
    (line, _) = summary["classes"]
    assert (line["class"], line["samples"], line["whole"]["mean"]) == ("Left", 20, 90)
    (change,) = line["changes"]
    assert change["removed"] == 0.5
    assert change["change"]["mean"] == pytest.approx(-30)
    text = reported(tmp_path, by_class=by_class)
    Page(text)
    assert "transfer entropy (descending), 50%: -30.0" in text


def test_report_of_gates(tmp_path):
    gates = StudyResults(GATE_ROWS)
    summary = summarised(gates=gates)
    assert summary["gate_findings"] == gate_findings(StudyResults(ROWS), gates, 8)
    assert summary["gate_tables"] == accuracy_tables(gates, 8, 2)
    assert summary["findings"] == summarised()["findings"]
    text = reported(tmp_path, ("figure2", "figure3", "size", "figure4"), gates=gates)
    assert len(Page(text).loads) == 4
    for sentence in summary["gate_findings"]:
        assert sentence in text
    curve = gates.spread(Curve("l2", "entropy", "ascending"), 0.6)
    assert f"{100 * curve.mean:.1f} ± {100 * curve.deviation:.1f}" in text
    assert "Single gates" not in reported(tmp_path)


def test_report_names_clips_with_a_problem_and_escapes(tmp_path):
    problems = [{"name": "a<b>&.avi", "kind": "unreadable", "reason": "no <video>"}]
    text = reported(tmp_path, problems=problems, classes=("<script>", "Right"))
    Page(text)
    assert "a&lt;b&gt;&amp;.avi" in text
    assert "<script>" not in text
    assert "1 of 40 video clips" in text
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


def test_readings_have_their_table_and_why_the_order_flips(tmp_path):
    gain = {"mean": 1.5, "error": 0.5, "low": -0.5, "high": 3.5, "seeds": 3, "p": 0.01}
    readings = {
        "regularizer": "none",
        "fractions": [0.5],
        "findings": ["First.", "Second.", "Third."],
        "table": [{"label": "y = <rank>", "is_papers": True, "gains": [{**gain, "p_holm": 0.02}]}],
        "skipped": ["y = correct or not (seed 0)"],
        "facts": ["occupied bins", "L1 norm"],
        "correlations": [{"label": "a score", "correlations": [-0.25, None]}],
    }
    text = reported(tmp_path, readings=readings)
    Page(text)
    for words in (
        "<li>Second.</li>", "y = &lt;rank&gt; (the paper&#39;s, as read here)",
        "+1.5 (-0.5 to +3.5)", "0.020", "Left out: y = correct or not (seed 0).",
        "-0.25", "constant",
    ):  # fmt: skip
        assert words in text, words
    assert "Readings of the score" not in reported(tmp_path)
