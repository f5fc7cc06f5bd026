"""What the sweep measures, against the same done step by step, and what it goes on with."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tefast.experiment import scoring, sweep
from tefast.experiment.class_results import ClassResults, ClassRow, read_class_rows
from tefast.experiment.config import PRESETS, ConfigError
from tefast.experiment.criteria import criteria_of, digest_of, seed_of_draw
from tefast.experiment.measuring import calibration_error, last_logits, measure
from tefast.experiment.plan import curves_of
from tefast.experiment.results import Curve, read_rows
from tefast.experiment.sweep import ModelSweep, Trained, sizes_from_scratch
from tefast.experiment.training import Material
from tefast.nn import (
    SequenceClassifier,
    accuracy,
    criteria,
    fit,
    moments,
    prune,
    score,
    select_units,
)

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS, CLASSES = 12, ["walk", "run", 'say "hello", then go']
CONFIG = replace(
    PRESETS["smoke"],
    hidden=UNITS,
    fc=6,
    epochs=2,
    lr=0.05,
    regularizers=("l2", "none"),
    criteria=("l1", "spectral", "random"),
    removed=(0.0, 0.25, 0.5),
    random_orders=4,
    recoveries=("reconstruction", "fine_tuning"),
    from_scratch=True,
    tuned=(0.5, 0.75),
)


def data(seed=0, n=40):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=generator)
    return torch.randn(n, 7, 5, generator=generator) + 0.5 * labels[:, None, None], labels


@pytest.fixture(scope="module")
def trained(one_thread):
    torch.manual_seed(0)
    material = Material(*data(), *data(1, 33))
    model = SequenceClassifier(5, 3, UNITS, 6)
    fit(model, material.train_x, material.train_labels, epochs=5, batch_size=8, lr=0.01)
    small = {units: SequenceClassifier(5, 3, units, 6) for units in (6, 3)}
    names = ("l1", "spectral")
    scores = {name: score(model, material.batches(), name)[0, 0] for name in names}
    return Trained("none", 3, 0.0, model, material, {"unit": scores}, small)


def all_curves(trained, folder, config=CONFIG):
    sweep_of_it = ModelSweep(config, trained, CLASSES, "unit")
    rows = []
    for number, planned in enumerate(curves_of(config, trained.regularizer, "unit")):
        paths = folder / f"{number}.csv", folder / f"{number}-classes.csv"
        sweep_of_it.curve(planned, *paths)
        rows += planned.of_rows(read_rows(paths[0]))
    return rows


def test_every_row_is_what_the_same_steps_give(trained, tmp_path):
    model, material = trained.model, trained.material
    expected = {}
    for criterion, order, recovery in itertools.product(
        ("l1", "spectral", "random"), ("descending", "ascending", "none"),
        ("none", "reconstruction", "fine_tuning"),
    ):  # fmt: skip
        if (criterion == "random") != (order == "none"):
            continue
        for draw in range(0 if order != "none" else 4) or [0]:
            if criterion == "random":
                scores = score(model, [], "random", seed=seed_of_draw(3, draw))[0, 0]
                if recovery == "fine_tuning" and draw == 3:
                    continue
            else:
                scores = trained.scores["unit"][criterion]
            for fraction in (0.0, 0.5, 0.75) if recovery == "fine_tuning" else CONFIG.removed:
                units = select_units(scores, fraction, descending=order == "descending")
                smaller = model
                if len(units):
                    given = moments(model, material.batches())
                    given = given if recovery == "reconstruction" else None
                    smaller = prune(model, units, moments=given)
                    if recovery == "fine_tuning":
                        fit(
                            smaller, material.train_x, material.train_labels,
                            epochs=CONFIG.tuning_epochs, batch_size=CONFIG.batch_size, lr=0.005,
                            seed=3,
                        )  # fmt: skip
                expected[criterion, order, draw, recovery, fraction] = smaller
    for fraction, units in ((0.0, UNITS), (0.5, 6), (0.75, 3)):
        key = "from_scratch", "none", 0, "none", fraction
        expected[key] = model if units == UNITS else trained.small[units]
    rows = all_curves(trained, tmp_path)
    found = {(r.criterion, r.order, r.draw, r.recovery, r.removed_fraction): r for r in rows}
    assert len(found) == len(rows)
    assert set(found) == set(expected)
    x, labels = material.test_x, material.test_labels
    for key, network in expected.items():
        row = found[key]
        assert row.accuracy == accuracy(network, x, labels), key
        assert row.removed_units == UNITS - network.rnn.hidden_size
        assert row.parameters == sum(p.numel() for p in network.parameters())
        probabilities = last_logits(network, x).double().softmax(1)
        assert row.calibration_error == calibration_error(probabilities, labels)
    assert len({row.accuracy for row in rows}) > 5
    one = {row.seconds_per_clip for row in rows if row.removed_fraction == 0}
    assert len(one) == 1  # the whole model is measured once


def test_other_models_have_no_recoveries_and_gates_neither(trained):
    l2 = list(curves_of(CONFIG, "l2", "unit"))
    assert {one.recovery for one in l2} == {"none"}
    assert "from_scratch" not in {one.criterion for one in l2}
    assert list(curves_of(CONFIG, "none", "gate")) == l2
    without = replace(CONFIG, regularizers=("l1", "l2"), from_scratch=False)
    assert {one.recovery for one in curves_of(without, "l1", "unit")} == {
        "none", "reconstruction", "fine_tuning",
    }  # fmt: skip
    assert "from_scratch" not in {one.criterion for one in curves_of(without, "l1", "unit")}
    assert sizes_from_scratch(CONFIG) == [6, 3]
    assert sizes_from_scratch(replace(CONFIG, tuned=(0.0, 0.01, 0.5, 0.51))) == [6]


def test_stopped_anywhere_nothing_is_measured_twice(trained, tmp_path, monkeypatch):
    measured = []

    def counted(model, *rest):
        measured.append(model)
        if len(measured) in (5, 12, 20, 30, 31):
            raise KeyboardInterrupt
        return measure(model, *rest)

    whole = all_curves(trained, tmp_path / "whole")
    monkeypatch.setattr(sweep, "measure", counted)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            all_curves(trained, tmp_path / "part")
    part = all_curves(trained, tmp_path / "part")
    assert [replace(row, seconds_per_clip=0.0) for row in part] == [
        replace(row, seconds_per_clip=0.0) for row in whole
    ]
    assert len({row.seconds_per_clip for row in part if row.removed_fraction == 0}) == 1
    before = len(measured)
    assert all_curves(trained, tmp_path / "part") == part
    assert len(measured) == before


def test_a_fine_tuned_point_is_kept_as_soon_as_it_is_measured(trained, tmp_path, monkeypatch):
    planned = next(
        one for one in curves_of(CONFIG, "none", "unit") if one.recovery == "fine_tuning"
    )
    paths = tmp_path / "one.csv", tmp_path / "classes.csv"
    calls = []

    def tuned(*given, **how):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "train", tuned)
    with pytest.raises(KeyboardInterrupt):
        ModelSweep(CONFIG, trained, CLASSES, "unit").curve(planned, *paths)
    assert len(paths[0].read_text().splitlines()) == 1 + 2
    ModelSweep(CONFIG, trained, CLASSES, "unit").curve(planned, *paths)
    assert len(calls) == 3
    assert len(paths[0].read_text().splitlines()) == 1 + 3


def test_fine_tuning_keeps_the_penalty_of_the_training(trained, tmp_path, monkeypatch):
    config = replace(CONFIG, regularizers=("l1",), tuning_epochs=3, batch_size=7)
    one = replace(trained, regularizer="l1", weight=0.25)
    given = []
    monkeypatch.setattr(sweep, "train", lambda *them, **_: given.append(them))
    for planned in curves_of(config, "l1", "unit"):
        if planned.recovery == "fine_tuning" and planned.order == "ascending":
            ModelSweep(config, one, CLASSES, "unit").curve(
                planned, tmp_path / "rows.csv", tmp_path / "classes.csv"
            )
            break
    assert [them[1].rnn.hidden_size for them in given] == [6, 3]
    for used, _, material, kind, weight, seed in given:
        assert (used.epochs, used.batch_size, used.lr) == (3, 7, pytest.approx(0.005))
        assert (kind, weight, seed) == ("l1", 0.25, 3)
        assert material is trained.material


def test_the_same_network_is_measured_once(trained, tmp_path, monkeypatch):
    twice = replace(trained, scores={"unit": {"l1": trained.scores["unit"]["l1"]} | {
        "l2": trained.scores["unit"]["l1"]
    }})  # fmt: skip
    measured = []
    monkeypatch.setattr(sweep, "measure", lambda *given: measured.append(1) or measure(*given))
    config = replace(CONFIG, criteria=("l1", "l2"), recoveries=("none",), from_scratch=False)
    rows = all_curves(twice, tmp_path, config)
    assert len(rows) == 2 * 2 * 3
    assert len(measured) == 1 + 2 * 2


def test_calibration_error_bin_by_bin():
    torch.manual_seed(0)
    probabilities = (3 * torch.randn(200, 4)).softmax(1).double()
    probabilities[:3] = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.2, 0.2, 0], [0.4, 0.2, 0.2, 0.2]])
    labels = torch.randint(0, 4, (200,))
    expected = 0.0
    for number in range(15):
        rows = [
            (float(p.max()), int(p.argmax()) == int(label))
            for p, label in zip(probabilities, labels, strict=True)
            if number / 15 < float(p.max()) <= (number + 1) / 15
        ]
        if rows:
            share = sum(right for _, right in rows) / len(rows)
            expected += len(rows) / 200 * abs(share - sum(p for p, _ in rows) / len(rows))
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    sure = torch.eye(2)[[0, 0, 1]]
    assert calibration_error(sure, torch.tensor([0, 0, 1])) == 0
    assert calibration_error(sure, torch.tensor([1, 1, 0])) == 1


def test_measured_at_the_last_valid_step():
    model = SequenceClassifier(5, 3, 4, 4)
    x, labels = data(n=300)
    lengths = torch.arange(300) % 7 + 1
    expected = torch.stack([model(x[i : i + 1, :n])[0, -1] for i, n in enumerate(lengths.tolist())])
    torch.testing.assert_close(last_logits(model, x, lengths), expected.detach())
    torch.testing.assert_close(last_logits(model, x), model(x)[:, -1].detach())
    measured = measure(model, Material(x, labels, x, labels, lengths, lengths), 4)
    told = expected.argmax(1)
    assert measured.right == tuple(int(((told == c) & (labels == c)).sum()) for c in range(4))
    assert measured.accuracy == int((told == labels).sum()) / 300


def test_rows_of_classes_add_up_to_the_accuracy(trained, tmp_path):
    config = replace(CONFIG, removed=(0.0, 0.3, 0.45, 0.55, 0.9))
    sweep_of_it = ModelSweep(config, trained, CLASSES, "unit")
    every = []
    for planned in curves_of(config, "none", "unit"):
        sweep_of_it.curve(planned, tmp_path / "rows.csv", tmp_path / "classes.csv")
        rows = read_rows(tmp_path / "rows.csv")
        by_class = read_class_rows(tmp_path / "classes.csv")
        for row in rows:
            mine = [one for one in by_class if one.removed_fraction == row.removed_fraction]
            assert [one.class_name for one in mine] == CLASSES
            assert sum(one.right for one in mine) / sum(one.total for one in mine) == row.accuracy
        kept = planned.of_classes(by_class)
        tuned = planned.recovery == "fine_tuning" or planned.criterion == "from_scratch"
        expected = {0.0, 0.5} if tuned else {0.0, 0.45, 0.55}
        assert {one.removed_fraction for one in kept} == expected
        every += kept
        for path in tmp_path.iterdir():
            path.unlink()
    found = ClassResults(every)
    curve = Curve("none", "l1", "descending")
    assert found.fractions(curve) == [0.0, 0.45, 0.55]
    assert list(found.change(curve, 0.55)) == CLASSES
    assert all(change.mean == 0 for change in found.change(curve, 0.0).values())


def test_the_change_of_a_class_by_hand():
    def row(seed, draw, fraction, name, right, total):
        of = ("d", "random", seed, "none", "random", "none", draw, "none", fraction)
        return ClassRow(*of, name, right, total)

    rows = [
        row(0, 0, 0.0, "a", 4, 4), row(0, 1, 0.0, "a", 4, 4),
        row(1, 0, 0.0, "a", 2, 4), row(1, 1, 0.0, "a", 2, 4),
        row(0, 0, 0.5, "a", 1, 4), row(0, 1, 0.5, "a", 3, 4),
        row(1, 0, 0.5, "a", 2, 4), row(1, 1, 0.5, "a", 2, 4),
        row(0, 0, 0.0, "b", 0, 0), row(0, 0, 0.5, "b", 0, 0),
    ]  # fmt: skip
    found = ClassResults(rows)
    assert found.classes == ["a", "b"]
    change = found.change(Curve("none", "random", "none"), 0.5)
    assert list(change) == ["a"]  # of b there are no test samples
    assert change["a"].mean == pytest.approx((-0.5 + 0.0) / 2)
    assert change["a"].seeds == 2
    assert found.change(Curve("none", "l1", "ascending"), 0.5) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("d,random,0,none,l1,ascending,0,none,0.5,walk,3", "line 2: expected 12 values, got 11"),
        ("d,random,0,none,l1,ascending,0,none,0.5,walk,3,2", r"right must be in \[0, 2\], got 3"),
        ("d,random,0,none,l1,ascending,0,none,0.5,walk,x,2", "line 2: .*'x'"),
    ],
)
def test_files_of_other_rows_of_classes_are_refused(tmp_path, line, message):
    header = "dataset,split,seed,regularizer,criterion,order,draw,recovery,removed_fraction"
    (tmp_path / "c.csv").write_text(f"{header},class,right,total\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_class_rows(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text(line)
    with pytest.raises(ValueError, match=r"c.csv: expected the header dataset,.*,class,right"):
        read_class_rows(tmp_path / "c.csv")


def test_seeds_of_draws_differ_and_stay():
    seeds = [seed_of_draw(seed, draw) for seed in (0, 1, 2**62) for draw in range(20)]
    assert len(set(seeds)) == 60
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of_draw(3, 1) == int(np.random.SeedSequence([3, 1]).generate_state(1, "u8")[0]) // 2


def spread(context):
    return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).std(0)


def test_scores_are_kept_by_criterion_and_each_is_taken_once(trained, tmp_path, monkeypatch):
    taken = []

    def recorded(model, batches, criterion, **how):
        taken.append(criterion)
        return score(model, batches, criterion, **how)

    monkeypatch.setattr(scoring, "score", recorded)

    def scores_for(own=None, *names):
        config = replace(CONFIG, criteria=names)
        return scoring.scores_of(
            config, criteria_of(config, own), trained.model, trained.material, 3, "unit",
            lambda name: tmp_path / f"{name}.safetensors",
        )  # fmt: skip

    first = scores_for(None, "entropy", "transfer_entropy", "l1", "random")
    assert list(first) == ["entropy", "transfer_entropy", "l1"]
    assert taken == [["entropy", "transfer_entropy"], "l1"]
    taken.clear()
    names = ("l1", "mine", "taylor", "entropy", "random")
    second = scores_for({"mine": spread}, *names)
    assert taken == [spread, "taylor"]
    assert torch.equal(first["entropy"], second["entropy"])
    expected = score(trained.model, trained.material.batches(), spread)[0, 0]
    assert torch.equal(second["mine"], expected)
    (tmp_path / "l1.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"l1.safetensors cannot be read .*; delete it to score"):
        scores_for(None, "l1")
    with pytest.raises(ValueError, match="criterion 'wrong': ZeroDivisionError: division by zero"):
        scores_for({"wrong": lambda context: 1 / 0}, "wrong")


MODULE = """
import torch
number = 3
def spread(context):
    return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).std(0)
"""


def test_criteria_of_ones_own_are_imported_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "own_criteria_here.py").write_text(MODULE)
    (tmp_path / "own_criteria_broken.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    name = "own_criteria_here:spread"
    found = criteria_of(replace(CONFIG, criteria=("l1", name)))
    assert found["l1"] == "l1"
    assert found[name].__name__ == "spread"
    for wrong, message in {
        "own_criteria_here:no": "module 'own_criteria_here' has no 'no'",
        "own_criteria_here:number": r"expected a function of a tefast.nn.Context, got int",
        "own_criteria_nowhere:f": "there is no module 'own_criteria_nowhere' in the current folder",
        "own_criteria_broken:f": "importing own_criteria_broken failed: No module named 'no_such_m",
        "magic": "unknown criteria 'magic'; known are transfer_entropy, .*module:function",
    }.items():
        with pytest.raises(ConfigError, match=message):
            criteria_of(replace(CONFIG, criteria=(wrong,)))


def test_criteria_given_as_functions_and_for_gates():
    config = replace(CONFIG, criteria=("l1", "mine"))
    assert criteria_of(config, {"mine": spread}) == {"l1": "l1", "mine": spread}
    for own, message in (
        ({"other": spread}, "'other' is given as a function, but is not among the run's criteria"),
        ({"l1": spread}, "the name 'l1' is taken"),
        ({"from_scratch": spread}, "the name 'from_scratch' is taken"),
        ({"mine": 3}, "criterion 'mine': expected a function .* got int"),
    ):
        with pytest.raises(ConfigError, match=message):
            criteria_of(config, own)
    gates = replace(CONFIG, granularity="gate")
    with pytest.raises(ConfigError, match=r"gate: .*, and taylor, spectral score whole units"):
        criteria_of(replace(gates, criteria=("l1", "taylor", "spectral")))
    fine = ("transfer_entropy", "entropy", "active_information", "l1", "l2", "random")
    fine += ("activation_magnitude",)
    assert list(criteria_of(replace(gates, criteria=fine))) == list(fine)
    model = SequenceClassifier(5, 3, 4, 4)
    for name in fine:
        assert score(model, [data()], name, of="gates")[0, 0].shape == (4, 4)


def test_other_lines_of_a_criterion_have_another_digest():
    assert digest_of(spread) != digest_of(data)
    assert digest_of(spread) == digest_of(criteria.criterion(descending=True)(spread))
    assert digest_of(partial(spread, k=1)) != digest_of(partial(spread, k=2))
    assert digest_of(partial(spread, k=data)) == digest_of(partial(spread, k=data))
    assert digest_of(np.std)  # whatever it is written in
    assert len(digest_of(np.add)) == 64
