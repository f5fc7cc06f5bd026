"""The study as a library: data, models and criteria of one's own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tefast.experiment import Sequences, Study, datasets, training
from tefast.experiment.architecture import STANDARD, Architecture
from tefast.experiment.captured import SERIES, captured
from tefast.experiment.config import PRESETS, ConfigError
from tefast.experiment.datasets.base import DatasetError
from tefast.experiment.datasets.sequences import SequenceDataset
from tefast.experiment.sweep import Trained
from tefast.nn import load, predict

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(0)
LABELS = np.array(["a", "b", "c"] * 20)
X = RNG.normal(size=(60, 7, 3)) + (LABELS[:, None, None] == np.array(["a", "b", "c"])) * 1.0
LENGTHS = RNG.integers(3, 8, 60)
SMALL = {"preset": "smoke", "seeds": (0,), "regularizers": ("none",), "removed": (0.0, 0.5)}


class Nested(nn.Module):
    """A GRU within, after a layer of its own; a result for each step or for each sequence."""

    def __init__(self, features, classes, *, each_step=True, units=10):
        super().__init__()
        self.embed = nn.Linear(features, 8)
        self.body = nn.ModuleDict({"gru": nn.GRU(8, units, batch_first=True)})
        self.head = nn.Linear(units, classes)
        self.each_step = each_step

    def forward(self, x):
        h, _ = self.body["gru"](torch.relu(self.embed(x)))
        return self.head(h if self.each_step else h[:, -1])


def one_result(features, classes):
    return Nested(features, classes, each_step=False)


def largest(context):
    return torch.cat([h.flatten(0, 1) for h, _ in context.outputs()]).abs().amax(0)


def without_time(rows):
    return rows.drop(columns="seconds_per_clip")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "lengths"), [(Nested, LENGTHS), (one_result, None)], ids=["steps", "sequences"]
)
def test_a_model_and_a_criterion_of_ones_own_are_studied(tmp_path, model, lengths, capsys):
    def study(**changes):
        given = {"model": model, "rnn": "body.gru", "criteria": ["l1", largest], **SMALL, **changes}
        data = Sequences(X, LABELS, lengths=lengths)
        return Study(data, out=tmp_path / "out", verbose=False, **given)

    outcome = study().run()
    assert capsys.readouterr().out == ""
    rows = outcome.rows
    assert set(rows.criterion) == {"l1", "largest"}
    assert set(rows.dataset) == {"sequences"}
    whole, half = (rows[rows.removed_fraction == f] for f in (0.0, 0.5))
    assert set(half.removed_units) == {5}
    counts = [sum(p.numel() for p in Nested(3, 3, units=n).parameters()) for n in (10, 5)]
    assert (set(whole.parameters), set(half.parameters)) == ({counts[0]}, {counts[1]})
    assert outcome.summary["config"]["hidden"] == 10
    assert outcome.summary["config"]["rnn"] == "body.gru"
    assert outcome.report.exists()
    assert len(outcome.figures) >= 2
    assert all(path.exists() for path in outcome.figures)
    assert without_time(study().run().rows).equals(without_time(rows))
    trained = load(tmp_path / "out" / "models" / "none-seed0.safetensors", model(3, 3))
    assert predict(trained, torch.zeros(2, 7, 3)).shape == (2,)

    def changed(features, classes):
        return Nested(features, classes, each_step=lengths is not None, units=11)

    with pytest.raises(ConfigError, match=r"settings \(model was '\w+', now 'changed'\)"):
        study(model=changed).run()
    changed.__name__ = model.__name__
    with pytest.raises(ConfigError, match="modules and first weights of the model of seed 0 have"):
        study(model=changed).run()
    assert "sequences" not in datasets.names()


@pytest.mark.slow
def test_a_data_set_of_ones_own_is_studied(tmp_path, capsys):
    class Waves(SequenceDataset):
        samples = "waves"
        settings = {"epochs": 1}  # noqa: RUF012

        def __init__(self):
            self.name = "waves"

        def load(self, root):
            return Sequences(list(X), LABELS, split=np.arange(60) >= 50), Path("here")

    study = Study(Waves(), criteria=["l1"], out=tmp_path / "out", split="official-1", **SMALL)
    assert "waves" not in datasets.names()
    outcome = study.run()
    assert "60 waves of 3 classes in here" in capsys.readouterr().out
    assert outcome.summary["dataset"]["splits"][0]["test"] == 10
    assert set(outcome.rows.split) == {"official-1"}


def test_a_model_of_one_result_a_sequence_is_captured_as_that_of_its_last_step():
    """What it says of step t is what the same model says at step t."""
    torch.manual_seed(0)
    whole = Nested(3, 3)
    last = Nested(3, 3, each_step=False)
    last.load_state_dict(whole.state_dict())
    x, labels = torch.from_numpy(X).float(), torch.arange(60) % 3
    material = training.Material(x, labels, x, labels)
    found, expected = (
        captured(Trained("none", 0, 0.0, model, material, {}, {}), "body.gru")
        for model in (last, whole)
    )
    np.testing.assert_array_equal(found.h, expected.h)
    assert set(found.series) == set(SERIES)
    for name in SERIES:
        np.testing.assert_allclose(found.series[name], expected.series[name], rtol=1e-4, atol=1e-6)


def test_settings_are_those_of_the_preset_the_data_set_and_the_caller():
    study = Study("digits", seeds=[3, 4], epochs=2)
    assert study.config == replace(
        PRESETS["default"],
        dataset="digits",
        hidden=512, fc=128, epochs=2, batch_size=64, lr=1e-3, seeds=(3, 4),
    )  # fmt: skip
    assert repr(study).startswith("Study('digits', hidden=512, fc=128, epochs=2, ")
    split = np.arange(60) % 4 == 0
    assert Study(Sequences(X, LABELS, split=split)).config.split == "official-1"
    assert Study(Sequences(X, LABELS, split=split), split="random").config.split == "random"
    assert Study(Sequences(X, LABELS)).config.split == "random"
    named = Study(Sequences(X, LABELS), criteria={"mine": largest, "other": largest})
    assert named.config.criteria == ("mine", "other")


def data():
    return Sequences(X, LABELS)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Study("kinetics"), DatasetError, "unknown dataset 'kinetics'; known are rendered"),
        (lambda: Study(X), TypeError, r"got ndarray; arrays are given as Sequences\(x, labels\)"),
        (lambda: Study(Sequences(X, LABELS[:9])), DatasetError, r"^sequences: labels: .* \(60,\)"),
        (lambda: Study("ucf101"), ConfigError, "needs --data-root DIR"),
        (lambda: Study(data(), preset="tiny"), ConfigError, "preset: expected one of default, smo"),
        (lambda: Study(data(), epoch=3), TypeError, "unknown setting 'epoch'; known are data_root"),
        (lambda: Study(data(), dataset="digits"), TypeError, "it is given by data"),
        (lambda: Study(data(), seeds=5), TypeError, r"seeds: .* such as \(0, 1, 2\), got 5"),
        (lambda: Study(data(), regularizers="l1"), TypeError, "regularizers: .* got 'l1'"),
        (lambda: Study(data(), hidden=1), ConfigError, "hidden must be at least 2, got 1"),
        (lambda: Study(data(), model=Nested(3, 3).head.weight), TypeError, "got Parameter"),
        (lambda: Study(data(), criteria="l1"), TypeError, "a sequence or a mapping, got 'l1'"),
        (lambda: Study(data(), criteria=[lambda c: 0]), TypeError, "by '<lambda>'; a mapping of"),
        (lambda: Study(data(), criteria={"a/b": largest}), TypeError, "by 'a/b'"),
        (lambda: Study(data(), criteria=["l1", "l1"]), ConfigError, "one or more different values"),
    ],
)
def test_what_cannot_be_studied_is_told_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


FEW = torch.from_numpy(X[:2]).float()


class Normed(Nested):
    """Its units are read by a norm, so that others cannot stand in for them."""

    def __init__(self, features, classes):
        super().__init__(features, classes)
        self.head = nn.Sequential(nn.LayerNorm(10), nn.Linear(10, classes))


class Softmaxed(Nested):
    """Its units share a softmax, so that none can go."""

    def __init__(self, features, classes):
        super().__init__(features, classes)
        self.head = nn.Sequential(nn.Softmax(dim=-1), nn.Linear(10, classes))


def test_what_cannot_be_done_after_training_is_refused_before_it():
    config = replace(PRESETS["smoke"], rnn="body.gru")
    with pytest.raises(ConfigError, match=r"be reconstructed: .*LayerNorm.*recoveries=\('none',\)"):
        Architecture(Normed).sized(config, FEW, 3)
    plain = replace(config, recoveries=("none",))
    assert Architecture(Normed).sized(plain, FEW, 3).hidden == 10
    for granularity in ("unit", "gate"):
        asked = replace(plain, granularity=granularity)
        assert Architecture(Normed).sized(asked, FEW, 3).hidden == 10
        with pytest.raises(ConfigError, match="model: its units cannot be removed: "):
            Architecture(Softmaxed).sized(asked, FEW, 3)


def deep(features, classes):
    return nn.ModuleDict({"rnn": nn.LSTM(features, 8, num_layers=2)})


def projected(features, classes):
    return nn.ModuleDict({"rnn": nn.LSTM(features, 8, proj_size=3)})


@pytest.mark.parametrize(
    ("own", "rnn", "message"),
    [
        (deep, "rnn", "expected a recurrent layer 'rnn' of one layer and direction, without a pro"),
        (projected, "rnn", "without a projection, got LSTM"),
        (Nested, "gru", "model: .*'gru'"),
        (Nested, "head", "model: .*Linear"),
        (
            lambda d, c: Nested(d, c, units=2),
            "body.gru",
            "removing 0.9 of 2 units would leave none",
        ),
        (lambda d, c: 5, "rnn", "model: expected an nn.Module, got int"),
    ],
)
def test_models_that_cannot_be_studied(own, rnn, message):
    with pytest.raises(ConfigError, match=message):
        Architecture(own).sized(replace(PRESETS["smoke"], rnn=rnn), FEW, 3)


def test_small_networks_are_not_had_of_models_of_ones_own():
    smoke = replace(PRESETS["smoke"], rnn="body.gru")
    with pytest.raises(ConfigError, match="from_scratch: only the study's own LSTM"):
        Architecture(Nested).check(replace(smoke, from_scratch=True))
    STANDARD.check(replace(PRESETS["smoke"], from_scratch=True))


def test_models_are_drawn_by_their_seed_alone():
    config = PRESETS["smoke"]
    for architecture in (STANDARD, Architecture(Nested)):
        digests = []
        for seed, noise in [(0, 1), (0, 2), (1, 1)]:
            torch.manual_seed(noise)
            before = torch.get_rng_state()
            digests.append(architecture.digest(config, 3, 4, seed))
            assert torch.equal(torch.get_rng_state(), before)
        assert digests[0] == digests[1] != digests[2]
    assert Architecture(Nested).sized(replace(config, rnn="body.gru"), FEW, 4).hidden == 10
    assert STANDARD.sized(config, FEW, 4) is config


def test_training_of_a_model_of_ones_own_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    config, x, labels = PRESETS["smoke"], torch.from_numpy(X).float(), torch.arange(60) % 3
    material = training.Material(x, labels, x, labels)

    def train(name, progress):
        paths = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.pt"
        return training.train_model(
            config, material, 3, "l2", 1e-3, 1, *paths, progress, Architecture(Nested)
        )

    def killed(done, _):
        if done == 2:
            raise KeyboardInterrupt

    whole = train("whole", lambda done, of: None)
    with pytest.raises(KeyboardInterrupt):
        train("part", killed)
    told = []
    part = train("part", lambda done, of: told.append(done))
    assert told == [3, 4]
    read = train("part", lambda done, of: told.append(done))
    assert told == [3, 4]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, part.state_dict()[name])
        assert torch.equal(tensor, read.state_dict()[name])


def test_the_package_stays_light_until_it_is_asked():
    code = (
        "import sys, tefast.experiment as e; print({'torch', 'pandas'} & set(sys.modules)); "
        "e.Study, e.Sequences, e.StudyOutcome; "
        "print({'torch', 'pandas'} & set(sys.modules), hasattr(e, 'Studies'))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["set()", "set() False"]
