"""Torch-Pruning and Lightning, where they are installed."""

import copy
import warnings

import pytest
import torch
from torch import nn

import tefast.nn as tnn

pytestmark = pytest.mark.usefixtures("one_thread")


def optional(name: str):  # type: ignore[no-untyped-def]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages about one another
        return pytest.importorskip(name)


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(16, 6, 3), torch.randint(0, 4, (16,))) for _ in range(2)]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_torch_pruning(cell: str) -> None:
    tp = optional("torch_pruning")
    from tefast.nn.torch_pruning import RecurrentPruner, UnitImportance

    torch.manual_seed(0)
    model = tnn.SequenceClassifier(3, 4, hidden_size=8, fc_size=6, cell=cell)
    scores = tnn.unit_scores(model, data(), "transfer_entropy", bins=4)
    units = tnn.select_units(scores, 0.5)
    expected = tnn.prune(model, units)
    pruned, kind = copy.deepcopy(model), type(model.rnn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = tp.pruner.BasePruner(
            pruned,
            data()[0][0],
            importance=UnitImportance(pruned, data(), "transfer_entropy", bins=4),
            customized_pruners={kind: RecurrentPruner()},
            root_module_types=[kind],
            pruning_ratio=0.5,
            ignored_layers=[pruned.fc2],
        )
        pruner.step()
    x = data()[0][0]
    assert pruned.rnn.hidden_size == pruned.fc1.in_features == 4
    torch.testing.assert_close(pruned(x), expected(x))
    inner = RecurrentPruner().prune_in_channels(copy.deepcopy(model.rnn), [1])
    twin = copy.deepcopy(model.rnn)
    twin.weight_ih_l0.data[:, 1] = 0
    torch.testing.assert_close(inner(x[..., [0, 2]])[0], twin(x)[0])
    with pytest.raises(ValueError, match="num_layers=1, got 2"):
        RecurrentPruner().prune_out_channels(nn.LSTM(3, 4, num_layers=2), [0])


def test_lightning(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lightning = optional("lightning.pytorch")
    from tefast.nn.lightning import PruneUnits

    class Task(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = tnn.SequenceClassifier(3, 4, hidden_size=8, fc_size=6)

        def training_step(self, batch, _number):  # type: ignore[no-untyped-def]
            return tnn.objective(self.model, *batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    task, callback = Task(), PruneUnits(data(), "transfer_entropy", {0: 0.5, 2: 0.25})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=4, accelerator="cpu", callbacks=[callback], logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path,
        )  # fmt: skip
        x, labels = (torch.cat(parts) for parts in zip(*data(), strict=True))
        dataset = torch.utils.data.TensorDataset(x, labels)
        trainer.fit(task, torch.utils.data.DataLoader(dataset, batch_size=16))
    assert task.model.rnn.hidden_size == 3
    assert [row.left for row in callback.rows] == [4, 3]
    (group,) = trainer.optimizers[0].param_groups
    held = {id(parameter) for parameter in group["params"]}
    assert held == {id(parameter) for parameter in task.parameters()}
    with pytest.raises(ValueError, match="amounts: expected fractions"):
        PruneUnits(data(), "l1", {0: 2.0})
