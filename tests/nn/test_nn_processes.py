"""Scores of a model whose batches lie with several processes."""

import pytest
import torch
from torchrun import torchrun

import tefast.nn as tnn

BATCHES = """
torch.manual_seed(0)
model = tnn.SequenceClassifier(4, 3, hidden_size=8, fc_size=4)
batches = [
    (torch.randn(n, t, 4), torch.arange(n) % 3, torch.arange(n) % t + 1)
    for n, t in ((3, 5), (4, 9), (2, 3), (5, 7))
]
COUNTING = ("transfer_entropy", "entropy", "active_information", "reverse_transfer_entropy")
WEIGHTS = ("l1", "l2", "random")
"""

SCRIPT = f"""
import sys
import torch
import torch.distributed as dist
import tefast.nn as tnn
{BATCHES}
dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
mine, everyone = batches[rank::world], dist.group.WORLD
found = tnn.score(model, mine, COUNTING + WEIGHTS, group=everyone, bins=5)
for how in (dict(h_range=None), dict(h_range=None, source=lambda result, batch: result[..., 0])):
    name = f"own{{len(how)}}"
    found[name] = tnn.score(model, mine, "transfer_entropy", group=everyone, **how)
found["gates"] = tnn.score(model, mine, "transfer_entropy", of="gates", group=everyone)
for criterion in ("taylor", "activation_magnitude", "effective_transfer_entropy"):
    try:
        tnn.score(model, mine, criterion, group=everyone)
    except ValueError as error:
        assert str(error).startswith("group: expected criteria that count"), error
    else:
        raise AssertionError(criterion)
torch.save({{name: one[0, 0] for name, one in found.items()}}, f"{{sys.argv[1]}}/{{rank}}.pt")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def alone():
    space = {"torch": torch, "tnn": tnn}
    exec(BATCHES, space)
    model, batches = space["model"], space["batches"]
    found = tnn.score(model, batches, space["COUNTING"] + space["WEIGHTS"], bins=5)
    found["own1"] = tnn.score(model, batches, "transfer_entropy", h_range=None)
    found["own2"] = tnn.score(
        model, batches, "transfer_entropy", h_range=None, source=lambda result, _: result[..., 0]
    )
    found["gates"] = tnn.score(model, batches, "transfer_entropy", of="gates")
    return {name: one[0, 0] for name, one in found.items()}


# Of five processes one has no batch.
@pytest.mark.parametrize("processes", [2, 5])
def test_any_number_of_processes_scores_as_one(processes, alone, tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    done = torchrun(tmp_path / "run.py", processes, tmp_path)
    assert done.returncode == 0, done.stderr
    for rank in range(processes):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == alone.keys()
        for name, scores in alone.items():
            assert torch.equal(found[name], scores), name


TRAINING = """
import sys
import torch
import tefast.nn as tnn

torch.manual_seed(0)
# Of 13 sequences in steps of 4 the last step has one sequence, so that a process has none.
x, labels = torch.randn(13, 6, 4), torch.arange(13) % 3
lengths = torch.arange(13) % 6 + 1


def trained(group=None, **how):
    torch.manual_seed(1)
    model = tnn.SequenceClassifier(4, 3, hidden_size=6, fc_size=5)
    losses = tnn.fit(model, x, labels, epochs=3, batch_size=4, seed=5, group=group, **how)
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()])


HOWS = (
    {}, {"penalty": "l2", "weight": 0.01}, {"loss": "all", "lengths": lengths},
    {"lengths": lengths, "penalty": "group", "weight": 0.01},
)
"""

TOGETHER = f"""
import torch.distributed as dist
{TRAINING}
dist.init_process_group("gloo")
found = [trained(dist.group.WORLD, **how) for how in HOWS]
torch.save(found, f"{{sys.argv[1]}}/{{dist.get_rank()}}.pt")
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_train_as_one_but_for_rounding(tmp_path, one_thread):
    (tmp_path / "run.py").write_text(TOGETHER, encoding="utf-8")
    done = torchrun(tmp_path / "run.py", 2, tmp_path)
    assert done.returncode == 0, done.stderr
    space = {}
    exec(TRAINING, space)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for how, one, other in zip(space["HOWS"], first, second, strict=True):
        assert torch.equal(one[1], other[1])
        losses, weights = space["trained"](**how)
        torch.testing.assert_close(torch.tensor(one[0]), torch.tensor(losses), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one[1], weights, rtol=1e-4, atol=1e-5)


def test_training_in_bfloat16_comes_near_that_in_float32(one_thread):
    space = {}
    exec(TRAINING, space)
    losses, _ = space["trained"]()
    mixed, other = space["trained"](precision="bfloat16")
    assert mixed != losses
    assert other.dtype == torch.float32
    torch.testing.assert_close(torch.tensor(mixed), torch.tensor(losses), rtol=0.05, atol=0.02)
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16"):
        space["trained"](precision="int8")
