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
    from tefast.nn.integrations.torch_pruning import RecurrentPruner, UnitImportance

    torch.manual_seed(0)
    model = tnn.SequenceClassifier(3, 4, hidden_size=8, fc_size=6, cell=cell)
    scores = tnn.score(model, data(), "transfer_entropy", bins=4)[0, 0]
    units = tnn.select_units(scores, 0.5, descending=True)
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


class Reader(nn.Module):
    """A layer of both directions and one of the ways in which it is read."""

    def __init__(self, kind: type, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.front, self.how = nn.Linear(3, 5), how
        self.rnn = kind(5, 8, batch_first=True, bidirectional=True)
        self.norm, self.fc = nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output, state = self.rnn(self.front(x))
        if self.how == "steps":
            return self.fc(self.norm(output))
        if self.how == "last":
            return self.fc(output[:, -1])
        h = state[0] if isinstance(state, tuple) else state
        return self.fc(torch.cat([h[0], h[1]], 1))


@pytest.mark.parametrize("how", ["steps", "last", "states"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_torch_pruning_of_both_directions(kind: type, how: str) -> None:
    tp = optional("torch_pruning")
    from tefast.nn.integrations.torch_pruning import RecurrentPruner, UnitImportance, traceable

    model, x = Reader(kind, how).eval(), data()[0][0]
    whole = copy.deepcopy(model)
    scores = tnn.score(model, data(), "l2")
    both = (scores[0, 0] + scores[0, 1]) / 2  # what Torch-Pruning makes of parts of equal size
    units = tnn.select_units(both, 0.5, descending=False).tolist()

    def pruner():  # type: ignore[no-untyped-def]
        return tp.pruner.BasePruner(
            model, x, importance=UnitImportance(model, data(), "l2", descending=False),
            customized_pruners={kind: RecurrentPruner()}, root_module_types=[kind],
            pruning_ratio=0.5,
        )  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if how != "states":  # else Torch-Pruning fails before it asks about the layer
            with pytest.raises(ValueError, match=r"both directions by itself: .*\.traceable"):
                pruner()
        with traceable(model):
            made = pruner()
        made.step()
    assert "forward" not in vars(model.rnn)
    assert model.rnn.hidden_size == 4
    masked = tnn.mask(whole, {"l0": units, "l0_reverse": units})
    torch.testing.assert_close(model(x), masked(x))
    model(x).sum().backward()
    layer = copy.deepcopy(whole.rnn)
    twin = copy.deepcopy(whole.rnn)
    for name in ("weight_ih_l0", "weight_ih_l0_reverse"):
        getattr(twin, name).data[:, 1] = 0
    inner, z = RecurrentPruner().prune_in_channels(layer, [1]), torch.randn(2, 6, 5)
    torch.testing.assert_close(inner(z[..., [0, 2, 3, 4]])[0], twin(z)[0])
    with pytest.raises(ValueError, match="as many units of both directions, got 1 and 0"):
        RecurrentPruner().prune_out_channels(copy.deepcopy(whole.rnn), [0])


def task(whole: bool):  # type: ignore[no-untyped-def]
    """A LightningModule that holds a model, or that is the model itself."""
    lightning = optional("lightning.pytorch")

    class Task(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            if not whole:
                self.model = tnn.SequenceClassifier(3, 4, hidden_size=8, fc_size=6)
            else:
                self.rnn = nn.LSTM(3, 8, batch_first=True, bidirectional=True)
                self.fc = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0]) if whole else self.model(x)

        def training_step(self, batch, _number):  # type: ignore[no-untyped-def]
            return tnn.objective(self if whole else self.model, *batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    return Task()


def run(model, epochs: int, path, *callbacks, checkpoint=None):  # type: ignore[no-untyped-def]
    lightning = optional("lightning.pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", callbacks=list(callbacks), logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=path,
        )  # fmt: skip
        x, labels = (torch.cat(parts) for parts in zip(*data(), strict=True))
        dataset = torch.utils.data.TensorDataset(x, labels)
        loader = torch.utils.data.DataLoader(dataset, batch_size=16)
        trainer.fit(model, loader, ckpt_path=checkpoint, weights_only=True)
    return trainer


def test_lightning(tmp_path) -> None:  # type: ignore[no-untyped-def]
    optional("lightning.pytorch")
    from tefast.nn.integrations.lightning import PruneUnits

    model, callback = task(False), PruneUnits(data(), "transfer_entropy", {0: 0.5, 2: 0.25})
    trainer = run(model, 4, tmp_path, callback)
    assert model.model.rnn.hidden_size == 3
    assert [row.left for row in callback.rows] == [4, 3]
    (group,) = trainer.optimizers[0].param_groups
    held = {id(parameter) for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}
    with pytest.raises(ValueError, match="amounts: expected fractions"):
        PruneUnits(data(), "l1", {0: 2.0})


@pytest.mark.parametrize("options", [{"attribute": None}, {"attribute": "rnn", "rnn": ""}])
@pytest.mark.parametrize("scope", ["each", "all"])
def test_a_lightning_module_that_holds_the_layer_itself(
    options: dict, scope: str, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    optional("lightning.pytorch")
    from tefast.nn.integrations.lightning import PruneUnits

    model = task(True)
    front = model.front = nn.Identity()
    model.noted = {"front": front}
    callback = PruneUnits(data(), "l2", {0: 0.5}, descending=False, scope=scope, keep=1, **options)
    trainer = run(model, 2, tmp_path, callback)
    assert trainer.lightning_module is model
    assert sum(row.left for row in callback.rows) == 8
    assert type(model.rnn) is (nn.LSTM if scope == "each" else tnn.RecurrentStack)
    assert model.fc.in_features == 8
    assert model.front is front
    held = {id(p) for p in trainer.optimizers[0].param_groups[0]["params"]}
    assert held == {id(parameter) for parameter in model.parameters()}
    stale = task(True)
    stale.layers = [stale.rnn]
    with pytest.raises(ValueError, match="attribute 'layers' of 'Task' holds a module that is rep"):
        run(stale, 1, tmp_path, PruneUnits(data(), "l2", {0: 0.5}, None, descending=False))
    with pytest.raises(ValueError, match="which has 'rnn', 'fc', got 'model'; attribute=None"):
        run(task(True), 1, tmp_path, PruneUnits(data(), "l2", {0: 0.5}))


@pytest.mark.parametrize("whole", [False, True])
def test_checkpoints_of_a_pruned_module(whole: bool, tmp_path) -> None:  # type: ignore[no-untyped-def]
    optional("lightning.pytorch")
    from tefast.nn.integrations.lightning import PruneUnits, load_checkpoint

    model, options = task(whole), {"attribute": None if whole else "model", "descending": False}
    trainer = run(model, 2, tmp_path, PruneUnits(data(), "l2", {0: 0.5}, **options))
    path = tmp_path / "m.ckpt"
    trainer.save_checkpoint(path)
    loaded, x = load_checkpoint(path, task(whole)), data()[0][0]
    assert torch.equal(loaded(x), model(x))
    run(loaded, 3, tmp_path, checkpoint=path)  # goes on from there, optimizer and all
    assert not torch.equal(loaded(x), model(x))
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "other.ckpt", task(whole))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ValueError, match="expected a checkpoint written beside PruneUnits"):
        load_checkpoint(path, task(whole))


def test_averages_of_weights_beside_pruning(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lightning = optional("lightning.pytorch")
    from tefast.nn.integrations.lightning import PruneUnits

    average = lightning.callbacks.StochasticWeightAveraging(1e-2)
    callback = PruneUnits(data(), "l2", {0: 0.5})
    with pytest.raises(ValueError, match="no callback that averages weights beside it, got Stoch"):
        run(task(False), 1, tmp_path, callback, average)
