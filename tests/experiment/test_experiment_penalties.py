"""The choice of a penalty's factor: on held-out training samples alone, and gone on with."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tefast.experiment import penalties
from tefast.experiment.config import PRESETS
from tefast.experiment.penalties import GRIDS, Choice, Figure, choose, held_out
from tefast.experiment.training import Material
from tefast.nn import SequenceClassifier, fit

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = replace(PRESETS["smoke"], hidden=6, fc=4, epochs=2, lr=0.02, l1_weight="auto")


def material(test=0.0):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    x = torch.randn(60, 5, 4, generator=generator) + 0.4 * labels[:, None, None]
    return Material(x, labels, torch.full((9, 5, 4), test), torch.zeros(9, dtype=torch.int64))


def chosen(folder, regularizer="l1", *, seed=3, of=None, groups=None, told=None):
    return choose(
        CONFIG, regularizer, seed, of or material(), groups, 3, folder / "choice.json",
        lambda name: folder / f"{name}.pt", told or (lambda done, total: None),
    )  # fmt: skip


@pytest.mark.parametrize("regularizer", GRIDS)
def test_each_factor_is_trained_on_four_fifths_and_measured_on_the_rest(tmp_path, regularizer):
    whole = material()
    told = []
    choice = chosen(tmp_path, regularizer, told=lambda *given: told.append(given))
    assert told == [(done, 6) for done in range(1, 7)]
    held = torch.from_numpy(held_out(whole.train_labels.numpy(), None, 3))
    assert int(held.sum()) == 12
    assert [figure.weight for figure in choice.figures] == list(GRIDS[regularizer])
    for figure in choice.figures:
        torch.manual_seed(3)
        model = SequenceClassifier(4, 3, 6, 4)
        fit(
            model, whole.train_x[~held], whole.train_labels[~held], epochs=2,
            batch_size=CONFIG.batch_size, lr=0.02, penalty=regularizer, weight=figure.weight,
            seed=3,
        )  # fmt: skip
        logits = model(whole.train_x[held])[:, -1].double()
        labels = whole.train_labels[held]
        assert figure.accuracy == int((logits.argmax(1) == labels).sum()) / 12
        expected = torch.nn.functional.cross_entropy(logits, labels).item()
        assert figure.cross_entropy == pytest.approx(expected, rel=1e-6)
    assert choice.weight in GRIDS[regularizer]
    assert not list(tmp_path.glob("*.pt"))


def test_the_test_samples_play_no_part(tmp_path):
    for name, value in (("one", 0.0), ("other", float("nan"))):
        (tmp_path / name).mkdir()
        chosen(tmp_path / name, of=material(value))
    texts = [(tmp_path / name / "choice.json").read_text() for name in ("one", "other")]
    assert texts[0] == texts[1]


def test_stopped_it_trains_only_what_is_not_yet_known(tmp_path, monkeypatch):
    (tmp_path / "whole").mkdir()
    whole = chosen(tmp_path / "whole")
    trained = []
    train_new = penalties.train_new

    def counted(*given):
        trained.append(given[4])
        return train_new(*given)

    monkeypatch.setattr(penalties, "train_new", counted)

    def killed(done, _total):
        if done == 3:  # in the middle of the second training
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        chosen(tmp_path, told=killed)
    assert len(json.loads((tmp_path / "choice.json").read_text())) == 1
    assert chosen(tmp_path) == whole
    assert trained == [1e-6, 1e-5, 1e-5, 1e-4]
    assert chosen(tmp_path) == whole
    assert len(trained) == 4
    (tmp_path / "choice.json").write_text("[{")
    with pytest.raises(ValueError, match=r"choice.json cannot be read .*; delete it to choose"):
        chosen(tmp_path)


def test_accuracy_decides_and_then_the_cross_entropy():
    def weight(*figures):
        return Choice("l1", 0, tuple(Figure(*one) for one in figures)).weight

    assert weight((1.0, 0.5, 0.1), (2.0, 0.6, 9.0)) == 2.0
    assert weight((1.0, 0.5, 0.2), (2.0, 0.5, 0.1), (3.0, 0.4, 0.0)) == 2.0
    assert weight((1.0, 0.5, 0.2), (2.0, 0.5, 0.2)) == 1.0


def test_groups_that_span_classes_are_held_out_whole():
    labels, groups = np.arange(120) % 7, [str(n % 10) for n in range(120)]
    of = np.array(groups)
    for seed in range(5):
        held = held_out(labels, groups, seed, span_classes=True)
        assert len(set(of[held])) == 2
        assert not set(of[held]) & set(of[~held])
    assert set(of[held_out(labels, groups, 0)]) & set(of[~held_out(labels, groups, 0)])


def test_a_fifth_of_each_class_is_held_out():
    labels = np.repeat([0, 1, 2, 3], [20, 10, 3, 1])
    held = held_out(labels, None, 0)
    assert [int(held[labels == label].sum()) for label in range(4)] == [4, 2, 1, 0]
    assert (held == held_out(labels, None, 0)).all()
    assert (held != held_out(labels, None, 1)).any()
    with pytest.raises(ValueError, match=r"expected a class of two or more samples .* got one of"):
        held_out(np.arange(5), None, 0)


def test_groups_are_held_out_whole():
    labels = np.repeat([0, 1, 2], 20)
    groups = [f"g{number // 2 % 10}" for number in range(40)] + ["alone"] * 20
    held = held_out(labels, groups, 5)
    for label in (0, 1):
        mine = labels == label
        out = {g for g, is_mine, is_held in zip(groups, mine, held, strict=True)
               if is_mine and is_held}  # fmt: skip
        stay = {g for g, is_mine, is_held in zip(groups, mine, held, strict=True)
                if is_mine and not is_held}  # fmt: skip
        assert len(out) == 2
        assert not out & stay
    assert not held[40:].any()  # a class of one group stays for training
    with pytest.raises(ValueError, match="two or more groups"):
        held_out(labels[40:], groups[40:], 0)
