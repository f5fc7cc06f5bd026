"""Examples in the README and in docstrings run and print what they say."""

import doctest
import json
import math
import re
import runpy
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import tefast
from tefast.experiment.answers import answers
from tefast.experiment.findings import findings, paper_table
from tefast.experiment.results import StudyResults, read_rows

README = Path(__file__).parents[2] / "README.md"


MODULES = (
    "tefast.by_definition", "tefast._streaming.by_definition", "tefast.measures",
    "tefast.encoding", "tefast.history_choice", "tefast.interop", "tefast.larger_than_memory",
    "tefast.ordinal", "tefast.pairwise", "tefast.spikes", "tefast.windowed",
    "tefast._streaming.transfer", "tefast.transfer",
    "tefast._significance.significance",
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module):
    failed, tried = doctest.testmod(import_module(module))
    assert tried > 0
    assert failed == 0


def blocks(language, page=README):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def test_first_example_prints_what_the_readme_says(capsys):
    first, printed = blocks("python")[0], blocks("text")[0]
    assert len(first.strip().splitlines()) <= 6
    exec(first, {})
    assert capsys.readouterr().out == printed


def test_other_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {}
    for block in blocks("python")[1:]:
        exec(block, space)
    assert len(blocks("python")) > 1


PAGES = sorted(
    page.name
    for page in (README.parent / "docs").glob("*.md")
    if re.search(r"```python|\.\. plot::", page.read_text(encoding="utf-8"))
    # Those have tests of their own.
    and page.name
    not in (
        "cuda.md",
        "own-data.md",
        "prune.md",
        "prune-classifier.md",
        "real-models.md",
        "score.md",
    )
)


def examples(page):
    """The code of a page in its order: blocks of Python, and what draws its pictures."""
    text = page.read_text(encoding="utf-8")
    plot = r"```\{eval-rst\}\n\.\. plot::\n\n(.*?)```"
    for code, drawn in re.findall(rf"```python\n(.*?)```|{plot}", text, re.S):
        yield code or textwrap.dedent(drawn)


@pytest.mark.parametrize("name", PAGES)
def test_examples_of_the_guide_run(name, tmp_path, monkeypatch):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    space = {}
    for code in examples(README.parent / "docs" / name):
        exec(code, space)
    pyplot.close("all")


def test_the_picture_of_layouts_is_what_its_script_draws():
    from matplotlib.image import imread

    docs = README.parent / "docs"
    script = runpy.run_path(str(docs / "shapes.py"))
    figure = script["draw"]()
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())
    assert imread(docs / "shapes.png").shape == drawn.shape
    for (layout, _), axes in zip(script["PANELS"][:-1], figure.axes, strict=False):
        h, y = (
            np.zeros([script["SIZES"][letter] for letter in letters])
            for letters in (layout, layout.replace("U", ""))
        )
        te = tefast.transfer_entropy(h, y, 2, layout=layout)
        score = f"scores {te.shape}" if te.shape else "score: a scalar"
        text = f"h {h.shape}\ny {y.shape}\n{score}"
        assert text in [each.get_text() for each in axes.texts]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["prune.md", "prune-classifier.md"])
def test_the_pages_on_pruning_run(name, tmp_path, monkeypatch, capsys):
    page = README.parent / "docs" / name
    monkeypatch.chdir(tmp_path)
    space = {}
    for block in blocks("python", page):
        exec(block, space)
    out = capsys.readouterr().out
    assert blocks("text", page)
    for printed in blocks("text", page):
        assert printed in out


def test_the_page_on_classifiers_names_all_series_and_losses():
    from tefast.nn import series

    text = (README.parent / "docs" / "prune-classifier.md").read_text(encoding="utf-8")
    for name in (*series.SOURCES, *series.LOSSES):
        assert f'`"{name}"`' in text


def test_the_page_on_pruning_names_all_criteria():
    from tefast.nn import criteria

    text = (README.parent / "docs" / "prune.md").read_text(encoding="utf-8")
    for name in criteria.NAMED:
        family = f"{name.partition('_')[0]}_..."  # such as corrected_...
        assert f"`{name}`" in text or (name.endswith("transfer_entropy") and family in text)


def test_the_page_on_files_runs(tmp_path, monkeypatch, capsys):
    import shlex

    from tefast import _cli

    for package in ("pandas", "matplotlib"):
        pytest.importorskip(package)
    page = README.parent / "docs" / "score.md"
    monkeypatch.chdir(tmp_path)
    space, printed, ran = {}, "", 0
    text = page.read_text(encoding="utf-8")
    for language, block in re.findall(r"```(python|sh|text)\n(.*?)```", text, re.S):
        if language == "python":
            exec(block, space)
        elif language == "text":
            assert printed == block
        else:
            for line in block.strip().splitlines():
                assert _cli.main(shlex.split(line.removeprefix("tefast "))) == 0
                printed = capsys.readouterr().out
                ran += 1
    assert ran > 5
    written = {"scores.csv", "scores.png", "delays.png", "edges.csv", "network.png", "found.json"}
    assert written < {path.name for path in tmp_path.iterdir()}


def test_the_page_on_files_names_all_kinds():
    from tefast._cli.recordings import SUFFIXES

    text = (README.parent / "docs" / "score.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"`(\.\w+)`", text))
    others = {".nc4", ".cdf", ".pq", ".arrow", ".ipc", ".xlsm", ".txt", ".dat", ".asc"}
    assert set(SUFFIXES) - others <= shown


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_page_on_data_of_ones_own_runs(tmp_path, monkeypatch):
    import shlex

    from tefast.experiment import cli
    from tefast.experiment.datasets.sequences import Sequences

    page = README.parent / "docs" / "own-data.md"
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    space = {}
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", text, re.S):
        if language == "python":
            exec(block, space)
            continue
        for line in block.strip().splitlines():
            assert cli.main(shlex.split(line.removeprefix("python -m tefast.experiment "))) == 0
    for name in ("mine", "first", "tagger", "criteria"):
        assert (tmp_path / "runs" / name / "report.html").exists()
    for name in Sequences.__dataclass_fields__:
        assert f"| `{name}` |" in text


@pytest.mark.cuda
def test_examples_on_a_gpu_run():
    import torch

    space = {}
    for block in blocks("python", README.parent / "docs" / "cuda.md"):
        exec(block, space)
    torch.testing.assert_close(space["nats"] / math.log(2), space["te"], rtol=0, atol=0)


def test_commands_of_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make (\w+)", text, re.M)):
        assert f"\n{target}:" in makefile
    assert {"experiment", "test"} <= set(re.findall(r"^make (\w+)", text, re.M))
    commands = (["tefast.experiment", "--help"], ["tefast", "score", "--help"])
    shown = [
        subprocess.run([sys.executable, "-m", *each], capture_output=True, text=True).stdout
        for each in commands
    ]
    for option in set(re.findall(r"`(--[a-z-]+)", text)):
        assert any(option in each for each in shown)
    for option in set(re.findall(r" (--[a-z-]+)", " ".join(re.findall("tefast score.*", text)))):
        assert option in shown[1]


def test_the_table_of_benchmarks_is_the_committed_results(monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "benchmarks")
    import report

    text = README.read_text(encoding="utf-8")
    assert report.table(report.committed()) in text
    assert report.readme(text, report.committed()) == text


def test_tables_of_the_study_are_made_from_the_committed_runs(monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "benchmarks")
    import study_page

    for path, text in study_page.pages().items():
        assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["rendered", "digits", "vowels"])
def test_committed_summaries_are_those_of_the_committed_rows(name):
    study = README.parent / "docs" / "study" / name
    results = StudyResults(read_rows(study / "results.csv"))
    summary = json.loads((study / "summary.json").read_text())
    assert len(summary["config"]["seeds"]) == 5
    samples = min(part["test"] for part in summary["dataset"]["splits"])
    classes = len(summary["dataset"]["classes"])
    assert paper_table(results, samples) == summary["beside_the_paper"]
    assert findings(results, samples, classes) == summary["findings"]
    assert answers(results, samples, classes) == summary["answers"]


def test_the_page_on_gates_shows_the_committed_rows():
    import csv
    import statistics

    docs = README.parent / "docs"
    text = (docs / "gates.md").read_text(encoding="utf-8")
    names = {
        ("transfer_entropy", "descending"): "transfer entropy, descending",
        ("transfer_entropy", "ascending"): "transfer entropy, ascending",
        ("entropy", "descending"): "entropy, descending",
        ("entropy", "ascending"): "entropy, ascending",
        ("l1", "descending"): "L1 norm, descending",
        ("l1", "ascending"): "L1 norm, ascending",
        ("random", "descending"): "random, one order",
        ("random", "ascending"): "random, its reverse",
    }
    tables = []
    for file in ("units.csv", "results.csv"):
        with (docs / "gates" / file).open(newline="") as rows:
            tables.append(list(csv.DictReader(rows)))
    for (criterion, order), name in names.items():
        shown = []
        for rows in tables:
            found = [
                100 * float(row["accuracy"])
                for row in rows
                if (row["criterion"], row["order"], row["removed_fraction"])
                == (criterion, order, "0.5")
            ]
            assert len(found) == 3
            shown.append(f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}")
        assert f"| {name} | {' | '.join(shown)} |" in text


def test_the_page_on_what_removal_gains_shows_the_committed_results(monkeypatch):
    benchmarks = README.parent / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)
    import removal

    results = json.loads((benchmarks / "results" / "removal.json").read_text(encoding="utf-8"))
    text = removal.PAGE.read_text(encoding="utf-8")
    assert removal.table(results) in text
    assert removal.page(text, results) == text


def test_the_tables_of_reconstruction_are_the_committed_results():
    benchmarks = README.parent / "benchmarks"
    script = runpy.run_path(str(benchmarks / "reconstruction.py"), run_name="reconstruction")
    rows = json.loads((benchmarks / "results" / "reconstruction.json").read_text())["rows"]
    page = (README.parent / "docs" / "reconstruction.md").read_text(encoding="utf-8")
    for table in script["tables"](rows).values():
        assert table in page


def test_the_page_on_performance_shows_the_committed_results(monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "benchmarks")
    import performance

    results = json.loads(performance.PATH.read_text(encoding="utf-8"))
    text = performance.PAGE.read_text(encoding="utf-8")
    assert performance.page(text, results) == text
    for name, rows in results["tables"].items():
        assert performance.table(rows, name) in text


def test_the_tables_of_all_pairs_are_the_committed_results(monkeypatch):
    benchmarks = README.parent / "benchmarks"
    monkeypatch.syspath_prepend(benchmarks)
    from pairs import page

    text = page.PAGE.read_text(encoding="utf-8")
    results = page.committed()
    assert page.tables(results) in text
    assert page.with_tables(text, results) == text
    shown = re.findall(r"^\| (\w+) \| [\d,]+ (?:cells|genes) x", text, re.M)
    assert shown == ["Ito", "ChaLearn", "mESC", "Skin"]
