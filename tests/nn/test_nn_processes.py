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
