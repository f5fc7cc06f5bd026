"""Moments are taken of what is read, without padding, and are added up and saved."""

import copy

import pytest
import torch
from stand_in import Model, close, data
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torchrun import torchrun

from tefast.nn import (
    Moments,
    mask,
    moments,
    prune,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_padding_does_not_count():
    """Neither of packed sequences nor where the batch holds lengths, in the reader's input too."""

    class Packed(Model):
        def forward(self, x, lengths):
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            o, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
            return self.fc(o)

    x, y = data(batches=1, n=4, steps=6)[0]
    lengths = torch.tensor([6, 2, 4, 1])
    plain = Model("GRU").double()
    packed = Packed("GRU").double()
    packed.load_state_dict(plain.state_dict())
    one = moments(packed, [(x, y, lengths)], forward=lambda m, b: m(b[0], b[2]))
    two = moments(plain, [(x, y, lengths)])
    three = [moments(plain, [(x[i : i + 1, :n], y[i : i + 1])]) for i, n in enumerate(lengths)]
    for other in three[1:]:
        three[0].merge(other)
    for name, gram in one.grams.items():
        assert int(gram.count) == 13, name
        for ours, theirs, each in zip(
            gram.tensors(), two.grams[name].tensors(), three[0].grams[name].tensors(), strict=True
        ):
            close(ours, theirs)
            close(ours, each)


def test_moments_are_saved_and_added_up(tmp_path):
    model = Model("LSTM", num_layers=2).double()
    batches = data(batches=4)
    whole = moments(model, batches)
    first, second = moments(model, batches[:1]), moments(model, batches[1:])
    torch.save(first.state_dict(), tmp_path / "moments.pt")
    found = Moments.from_state_dict(torch.load(tmp_path / "moments.pt", weights_only=True))
    found.merge(second)
    assert found.steps == whole.steps == 4 * 5 * 7
    assert repr(found) == "Moments(rnn.l0 (6), rnn.l1 (6), fc.input (6); 140 steps)"
    units = {"l0": [1], "l1": [0]}
    ours, theirs = (prune(model, units, moments=one) for one in (found, whole))
    close(ours(batches[0][0]).detach(), theirs(batches[0][0]).detach())
    with pytest.raises(ValueError, match=r"expected moments of rnn\.l0"):
        found.merge(moments(Model("LSTM").double(), batches))
    once = moments(model, iter(batches))
    assert once.steps == whole.steps


SCRIPT = """
import sys
import torch
import torch.distributed as dist
import tefast.nn as tnn

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
model = tnn.SequenceClassifier(4, 2, hidden_size=8, fc_size=4)
batches = [(torch.randn(3, 5, 4), torch.zeros(3)) for _ in range(4)]
ours = tnn.moments(model, batches[rank::2])
ours.all_reduce()
theirs = tnn.moments(model, batches)
for name, gram in theirs.grams.items():
    for one, other in zip(gram.tensors(), ours.grams[name].tensors()):
        assert torch.allclose(one, other, rtol=1e-12), name
if rank == 0:
    print(ours.steps)
dist.barrier()
dist.destroy_process_group()
"""


def test_moments_of_several_processes_are_added_up(tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    done = torchrun(tmp_path / "run.py", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "60"


def test_the_model_and_the_data_stay_as_they_were():
    model, batches = Model("LSTM"), data(dtype=torch.float32)
    state, given = copy.deepcopy(model.state_dict()), copy.deepcopy(batches)
    random = torch.get_rng_state()
    found = moments(model, batches)
    prune(model, [1], moments=found)
    mask(model, [1], moments=found)
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, given, strict=True))
    assert torch.equal(random, torch.get_rng_state())
    assert not any(module._forward_pre_hooks for module in model.modules())
