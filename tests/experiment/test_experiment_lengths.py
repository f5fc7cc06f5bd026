"""Samples of unequal lengths: nothing of the study reads what lies beyond a sample's length."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tefast.experiment.measuring import last_logits, measure
from tefast.experiment.shuffling import shuffled, shuffled_accuracy
from tefast.experiment.training import Material, prepare
from tefast.nn import SequenceClassifier, accuracy

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = torch.tensor([3, 6, 1, 5, 2, 6])


def padded(beyond):
    x = torch.randn(6, 6, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1
    x[torch.arange(6) >= LENGTHS[:, None]] = beyond
    return x


def prepared(tmp_path, beyond):
    train, test = np.array([0, 1, 2, 3]), np.array([4, 5])
    scaling = tmp_path / "scaling.safetensors"
    labels = torch.arange(6) % 2
    return prepare(padded(beyond), labels, train, test, scaling, LENGTHS), load_file(scaling)


def test_features_are_scaled_by_valid_steps_alone(tmp_path):
    material, scaling = prepared(tmp_path, 1e6)
    x = padded(1e6).double()
    steps = torch.cat([one[:n] for one, n in zip(x[:4], LENGTHS[:4].tolist(), strict=True)])
    assert len(steps) == 15
    torch.testing.assert_close(scaling["mean"].double(), steps.mean(0))
    torch.testing.assert_close(scaling["deviation"].double(), steps.std(0))
    assert material.train_lengths.tolist() == [3, 6, 1, 5]
    assert material.test_lengths.tolist() == [2, 6]
    parts = zip((*material.train_x, *material.test_x), x, LENGTHS.tolist(), strict=True)
    for ours, given, n in parts:
        expected = (given[:n] - steps.mean(0)) / steps.std(0)
        torch.testing.assert_close(ours[:n].double(), expected, rtol=1e-5, atol=1e-6)
        assert (ours[n:] == 0).all()


def test_batches_hold_lengths_where_there_are_any(tmp_path):
    material, _ = prepared(tmp_path, 0.0)
    first, second = material.batches(3)
    assert first[2].tolist() == [3, 6, 1]
    assert second[2].tolist() == [5]
    assert torch.equal(second[0], material.train_x[3:])
    plain = Material(*(material.train_x, material.train_labels) * 2)
    assert [len(batch) for batch in plain.batches(3)] == [2, 2]


def test_valid_steps_alone_are_shuffled():
    x = torch.arange(40 * 6, dtype=torch.float32).reshape(40, 6, 1)
    lengths = torch.arange(40) % 6 + 1
    found = shuffled(x, lengths, seed=3)
    moved = 0
    for before, after, n in zip(x[..., 0], found[..., 0], lengths.tolist(), strict=True):
        assert sorted(after[:n].tolist()) == before[:n].tolist()
        assert torch.equal(after[n:], before[n:])
        moved += not torch.equal(after[:n], before[:n])
    assert moved > 20
    assert torch.equal(shuffled(x, torch.full((40,), 6), 3), shuffled(x, None, 3))


def test_accuracies_of_shuffled_samples_are_kept(tmp_path):
    material, _ = prepared(tmp_path, 0.0)
    torch.manual_seed(0)
    model, path = SequenceClassifier(2, 2, 4, 4), tmp_path / "shuffled.json"
    found = shuffled_accuracy(model, material, 5, path)
    x, labels, lengths = material.test_x, material.test_labels, material.test_lengths
    assert found["accuracy"] == accuracy(model, x, labels, lengths=lengths)
    other = shuffled(x, lengths, 5)
    assert found["shuffled_accuracy"] == accuracy(model, other, labels, lengths=lengths)
    path.write_text(json.dumps({"accuracy": 0.5, "shuffled_accuracy": 0.25}))
    assert shuffled_accuracy(model, material, 5, path)["shuffled_accuracy"] == 0.25


def test_networks_are_measured_at_the_last_valid_step(tmp_path):
    material, _ = prepared(tmp_path, 0.0)
    torch.manual_seed(0)
    model = SequenceClassifier(2, 2, 4, 4)
    x, lengths = material.test_x, material.test_lengths
    found = last_logits(model, x, lengths)
    for ours, one, n in zip(found, x, lengths.tolist(), strict=True):
        torch.testing.assert_close(ours, model(one[None, :n])[0, -1].detach())
    right = (found.argmax(1) == material.test_labels).double().mean()
    assert measure(model, material, 2).accuracy == right
