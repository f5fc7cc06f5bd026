"""Readings of the score: scores by hand, what is removed, resuming, and what they come to."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import tefast
from tefast.experiment import readings as module
from tefast.experiment.captured import captured, series_of
from tefast.experiment.config import PRESETS
from tefast.experiment.looking import look_at_units
from tefast.experiment.reading_results import (
    PAPERS_CASE,
    correlations,
    described,
    gains,
    name_of,
    shares,
)
from tefast.experiment.reading_rows import ReadingRow, read_reading_rows, write_reading_rows
from tefast.experiment.readings import PAPERS, Reading, ReadingSweep, every_reading, undefined
from tefast.experiment.sweep import Trained
from tefast.experiment.training import Material
from tefast.experiment.unit_facts import (
    EXPLAINED,
    facts,
    facts_of_model,
    first_half,
    of_paper,
    settings,
    write_maps,
)
from tefast.experiment.unit_figures import build_maps, build_readings, build_training, losses
from tefast.experiment.workspace import Workspace
from tefast.nn import SequenceClassifier, accuracy, prune, score, select_units

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = replace(PRESETS["smoke"], hidden=10, random_orders=3)
FEW = [
    PAPERS,
    Reading("correct", "unit_to_y", "quantile", 4, "miller_madow", 2),
    Reading("rank", "y_to_unit", "own_range", 8, "none", 1),
]


def trained(seed=0, lengths=True):
    torch.manual_seed(seed)
    model = SequenceClassifier(3, 4, 10, 5, cell="lstm")
    x, labels = torch.randn(30, 7, 3), torch.randint(0, 4, (30,))
    long = torch.randint(3, 8, (30,)) if lengths else None
    part = (slice(0, 20), slice(20, 30))
    material = Material(
        x[part[0]], labels[part[0]], x[part[1]], labels[part[1]],
        None if long is None else long[part[0]], None if long is None else long[part[1]],
    )  # fmt: skip
    return Trained("none", seed, 0.0, model, material, {}, {})


def test_what_y_may_be():
    logits = torch.tensor([[[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]])
    found = series_of(logits, torch.tensor([1]))
    share = float(torch.tensor([2.0, 1.0, 0.0]).softmax(0)[1])
    assert found["probability"][0].tolist() == pytest.approx([share, share])
    assert found["loss"][0].tolist() == pytest.approx([-np.log(share)] * 2)
    assert found["rank"].tolist() == [[1, 1]]
    assert found["correct"].tolist() == [[0, 0]]
    assert series_of(logits, torch.tensor([2]))["correct"].tolist() == [[0, 1]]


@pytest.mark.parametrize("lengths", [True, False])
def test_the_papers_reading_is_the_studys_own_score(lengths):
    one = trained(lengths=lengths)
    of = captured(one, "rnn")
    expected = score(one.model, one.material.batches(), "transfer_entropy", bins=16)[0, 0]
    np.testing.assert_allclose(PAPERS.scores(of), expected, atol=1e-12)


def test_symbols_are_not_binned():
    of = captured(trained(lengths=False), "rnn")
    codes = tefast.encode(of.h, 8, binning="uniform")
    rank = of.series["rank"]
    assert set(np.unique(rank)) <= set(range(4))
    expected = tefast.transfer_entropy(codes, rank, 8)
    found = Reading("rank", "y_to_unit", "own_range", 8, "none", 1).scores(of)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    codes = tefast.encode(of.h, 4, binning="quantile")
    expected = tefast.reverse_transfer_entropy(
        codes, of.series["correct"], 4, target_history=2, source_history=2, bias="miller_madow"
    )
    np.testing.assert_allclose(FEW[1].scores(of), expected, atol=1e-12)


def test_every_reading_is_there_once():
    every = list(every_reading())
    assert len(every) == len(set(every)) == 4 * 2 * 3 * 2 * 7
    assert PAPERS in every
    assert set(EXPLAINED) <= set(every)


def test_a_y_that_never_changes_gives_no_reading():
    of = captured(trained(), "rnn")
    assert undefined(of) == {}
    outside = np.arange(7) >= of.lengths[:, None]
    of.series["correct"][:] = 1
    of.series["correct"][outside] = 0  # what lies beyond the lengths does not count
    assert undefined(of) == {"correct": "y = correct, which is the same at all steps"}


def swept(one, path, monkeypatch, readings=FEW):
    monkeypatch.setattr(module, "every_reading", lambda: iter(readings))
    return ReadingSweep(CONFIG, one).measure(lambda: captured(one, "rnn"), path, lambda *_: None)


def test_rows_say_what_removal_leaves(tmp_path, monkeypatch):
    one = trained(lengths=False)
    rows = swept(one, tmp_path / "r.csv", monkeypatch)
    assert read_reading_rows(tmp_path / "r.csv") == rows
    assert len(rows) == len(FEW) * 2 * 2
    scores = torch.from_numpy(FEW[2].scores(captured(one, "rnn")))
    for row in rows[-4:]:
        units = select_units(scores, row.removed_fraction, descending=row.order == "descending")
        smaller = prune(one.model, units)
        assert row.removed_units == len(units)
        assert row.accuracy == accuracy(smaller, one.material.test_x, one.material.test_labels)
    draws = {(row.removed_fraction, row.random_mean, row.random_deviation) for row in rows}
    assert len(draws) == 2  # the same for all readings


def test_stopped_anywhere_it_goes_on_to_the_same_rows(tmp_path, monkeypatch):
    one = trained()
    whole = swept(one, tmp_path / "a.csv", monkeypatch)
    write_reading_rows(tmp_path / "b.csv", whole[:4])
    assert swept(one, tmp_path / "b.csv", monkeypatch) == whole
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    again = ReadingSweep(CONFIG, one).measure(
        pytest.fail, tmp_path / "a.csv", lambda *_: None
    )  # nothing is missing, so nothing is captured
    assert again == whole


def test_files_of_other_rows_are_refused(tmp_path, monkeypatch):
    swept(trained(), tmp_path / "r.csv", monkeypatch)
    text = (tmp_path / "r.csv").read_text()
    (tmp_path / "r.csv").write_text(text + "a,b\n")
    with pytest.raises(ValueError, match=r"r.csv, line 14: expected 15 values, got 2"):
        read_reading_rows(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="expected the header dataset,split"):
        read_reading_rows(tmp_path / "r.csv")


def made(gain, seeds=(0, 1, 2)):
    """Rows in which a reading gains gain(reading, order) over random orders."""
    return [
        ReadingRow("d", "s", seed, *settings(one), order, at, 5, 0.5 + gain(one, order), 0.5, 0.02)
        for seed in seeds
        for one in every_reading()
        for order in ("descending", "ascending")
        for at in (0.5, 0.6)
    ]


def sided(one, order):
    sign = 1 if (order == "ascending") == (one.direction == "y_to_unit") else -1
    return 0.1 * sign + (0.05 if one.y == "correct" and one.bins == 8 else 0)


def test_the_table_is_ordered_and_corrected():
    rows = made(sided)
    found = described(rows, [], regularizer="none", samples=10**6)
    assert len(found["table"]) == 672
    firsts = [line["gains"][0]["mean"] for line in found["table"]]
    assert firsts == sorted(firsts, reverse=True)
    assert firsts[0] == pytest.approx(15)
    top = found["table"][0]
    assert (top["y"], top["bins"]) == ("correct", 8)
    assert top["gains"][0]["p_holm"] == pytest.approx(
        min(1, 672 * min(line["gains"][0]["p"] for line in found["table"])), rel=1e-6
    )
    (papers,) = [line for line in found["table"] if line["is_papers"]]
    assert papers["gains"][0]["mean"] == pytest.approx(-10)
    best, counts, decides = found["findings"]
    assert "the best of 672 readings is" in best
    assert "correct or not" in best
    assert "8 bins" in best
    assert "-10.0 points" in best
    assert "336 of them are above random orders and 336 below" in counts
    assert "the pair that does is order x direction" in decides


def test_one_seed_tests_no_reading():
    found = described(made(sided, seeds=[0]), [], regularizer="none", samples=10**6)
    best, counts, _ = found["findings"]
    assert "(one seed)" in best
    assert counts == "With one seed none of them is tested."


def test_shares_of_the_variance_by_hand():
    first = gains(made(lambda one, order: 0.1 * (one.bias == "none")), 0.5, 10**6)
    found = shares(first)
    assert found["bias"] == pytest.approx(1)
    assert found["order x bias"] == pytest.approx(1)
    assert found["order"] == pytest.approx(0, abs=1e-9)
    assert shares(gains(made(lambda *_: 0.1), 0.5, 10**6)) == {}


def test_missing_readings_are_named():
    rows = [row for row in made(sided) if (row.seed, row.y) != (1, "correct")]
    found = described(rows, [], regularizer="none", samples=100)
    assert found["skipped"] == [
        "y = correct or not (seed 1), which is the same at all steps of the training samples"
    ]


def test_readings_in_words():
    assert name_of(PAPERS_CASE) == (
        "y = probability → unit, 16 bins, uniform over (-1, 1), highest first"
    )
    assert name_of(settings(FEW[1])) == (
        "unit → y = correct or not, 4 bins, quantile, bias corrected, 2 steps of history"
    )


def test_what_is_known_of_units_by_hand():
    one = trained(lengths=False)
    of = captured(one, "rnn")
    known = facts(of, one, PAPERS, "rnn")
    h = of.h[:, :, 4]
    codes = np.clip(np.floor((h + 1) * 8), 0, 15).astype(int)
    assert known["occupied_bins"][4] == len(np.unique(codes))
    assert known["saturation"][4] == (np.abs(h) > 0.9).mean()
    y = np.clip(np.floor(of.series["probability"] * 16), 0, 15).astype(int)
    now, past, source = codes[:, 1:].ravel(), codes[:, :-1].ravel(), y[:, :-1].ravel()

    def cells(*parts):
        return len({*zip(*parts, strict=True)})

    bias = cells(now, past, source) - cells(now, past) - cells(past, source) + cells(past)
    assert known["null_bias"][4] == pytest.approx(bias / (2 * len(now) * np.log(2)))
    own = [p for name, p in one.model.rnn.named_parameters() if name == "weight_ih_l0"]
    assert known["l1"][4] > own[0].view(4, 10, 3)[:, 4].abs().sum()


def test_facts_are_kept(tmp_path):
    one = trained()

    def capture():
        return captured(one, "rnn")

    path = tmp_path / "f.json"
    (few,) = facts_of_model(capture, one, "rnn", path, every=False)
    every = facts_of_model(capture, one, "rnn", path, every=True)
    assert len(every) == 6
    assert of_paper(every) == few["facts"]
    assert facts_of_model(pytest.fail, one, "rnn", path, every=False) == [few]
    write_maps(tmp_path / "m.csv", [(one, few["facts"])], dataset="d", split="s")
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert len(lines) == 11
    assert sum(line.endswith(",1") for line in lines) == 5


def test_rank_correlations_are_means_over_models():
    def model(score, l1):
        known = {name: [1.0, 1.0, 1.0] for name in ("occupied_bins", "saturation", "entropy")}
        known |= {"score": score, "l1": l1, "null_bias": [3.0, 2.0, 1.0]}
        return [{"reading": settings(PAPERS), "facts": known}]

    (line,) = correlations([model([1, 2, 3], [1, 2, 9]), model([1, 2, 3], [3, 1, 2])])
    bins, bias, saturation, l1, entropy = line["correlations"]
    assert (bins, saturation, entropy) == (None, None, None)
    assert bias == pytest.approx(-1)
    assert l1 == pytest.approx((1 - 0.5) / 2)


def test_half_of_the_units_go_highest_first():
    assert first_half([0.1, 0.7, 0.3, 0.7]).tolist() == [False, True, False, True]
    assert first_half([1.0, 1.0, 1.0]).tolist() == [True, True, False]


def test_the_figure_of_readings_marks_the_papers():
    first = gains(made(sided), 0.5, 1000)
    (axes,) = build_readings(first, 0.5).axes
    (star,) = [line for line in axes.lines if line.get_marker() == "*"]
    assert star.get_ydata() == pytest.approx([-10])
    points = [y for one in axes.collections for _, y in one.get_offsets()]
    assert sorted(points) == pytest.approx(sorted(100 * one.mean for one in first.values()))


def test_maps_show_which_units_go_and_the_null_bias():
    one = trained()
    known = facts(captured(one, "rnn"), one, PAPERS, "rnn")
    for axes in build_maps(known, "a model").axes:
        stay, go, bias = axes.collections
        assert len(stay.get_offsets()) == len(go.get_offsets()) == 5
        assert min(y for _, y in go.get_offsets()) >= max(y for _, y in stay.get_offsets())
        np.testing.assert_allclose(bias.get_offsets()[:, 1], known["null_bias"])


def test_losses_are_read_beside_the_models(tmp_path):
    (tmp_path / "a.losses.json").write_text("[3.0, 1.0]\n")
    (tmp_path / "b.losses.json").write_text("[2.0, 2.0]\n")
    paths = [tmp_path / f"{name}.safetensors" for name in ("a", "b", "missing")]
    found = losses({"l1": paths, "none": [paths[2]]})
    assert found == {"l1": [[3.0, 1.0], [2.0, 2.0]]}
    (line,) = build_training(found).axes[0].lines
    assert line.get_ydata() == pytest.approx([2.5, 1.5])


def test_the_stage_writes_maps_and_readings_and_takes_stale_ones_away(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "every_reading", lambda: iter(FEW))
    space, models = Workspace(tmp_path), [trained(0), trained(1)]
    config = replace(CONFIG, readings=True)

    def look(config):
        return look_at_units(config, space, models, lambda *_: None, samples=10)

    figures, found = look(config)
    assert set(figures) == {"maps", "readings"}
    assert len(found["table"]) == 2 * len(FEW)
    assert len(found["findings"]) == 3
    assert len(found["correlations"]) == len(EXPLAINED)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(read_reading_rows(space.readings)) == 2 * 4 * len(FEW)
    assert len(space.maps.read_text().splitlines()) == 1 + 2 * 10
    before = {path: path.read_bytes() for path in sorted(tmp_path.glob("*.*"))}
    look(config)
    assert {path: path.read_bytes() for path in sorted(tmp_path.glob("*.*"))} == before
    figures, found = look(CONFIG)
    assert (set(figures), found) == ({"maps"}, None)
    assert not space.readings.exists()
    assert not (tmp_path / "readings.png").exists()
    assert space.maps.read_bytes() == before[space.maps]
