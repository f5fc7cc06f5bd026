"""The scripts of the gallery run, and what their pictures say holds."""

import re
import runpy
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

DOCS = Path(__file__).parents[2] / "docs"
SCRIPTS = sorted(path.stem for path in (DOCS / "gallery").glob("*.py"))


@pytest.fixture
def drawn(monkeypatch):
    """Run a script of the gallery as the guide does, and give its names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(DOCS / "gallery")
    yield lambda name: runpy.run_path(f"{name}.py")
    pyplot.close("all")


def test_the_page_shows_every_script():
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"plot:: gallery/(\w+)\.py", page)) == SCRIPTS
    assert len(SCRIPTS) == 6


def test_the_signal_comes_later_in_each_part_of_the_layer(drawn):
    te = drawn("layer")["te"]
    latest = [te[:, part : part + 30].mean(1).argmax() for part in range(0, 150, 30)]
    assert latest == sorted(latest)
    assert latest[-1] >= latest[0] + 4


def test_the_synapses_are_found_with_their_delays(drawn):
    names = drawn("neurons")
    assert set(names["edges"]) == set(names["synapses"])


def test_the_cascades_are_found(drawn):
    names = drawn("genes")
    genes, direct = names["genes"], names["direct"]
    found = {(genes[s], genes[t]) for s, t in zip(*direct.nonzero(), strict=True)}
    assert found == set(names["drives"])


@pytest.mark.usefixtures("one_thread")
def test_what_stands_in_keeps_accuracy(drawn):
    names = drawn("pruned")
    curves = {line.get_label(): line.get_ydata() for line in names["axes"].lines}
    third = list(names["counts"]).index(16)
    assert curves["what the rest can stand in for"][third] > curves["at random"][third] + 5
    assert all(curve[0] > 80 for curve in curves.values())


def test_most_coupled_units_are_told_from_chance(drawn):
    names = drawn("chance")
    assert 15 <= names["true"].sum() <= 20
    assert names["coupled"].sum() - names["true"].sum() <= 2


def test_speed_is_what_was_measured(drawn):
    names = drawn("speed")
    widths = [bar.get_width() for bar in names["bars"]]
    assert widths[0] == 1
    measured = [row["ratio"] for row in names["measured"].values()]
    assert all(width in measured for width in widths[1:])
    assert len(widths) > 3
