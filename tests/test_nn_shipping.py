"""A pruned model goes where any model of PyTorch goes."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as pruning

import tefast.nn as tnn

pytestmark = pytest.mark.usefixtures("one_thread")

PARTS = ("l0", "l0_reverse", "l1", "l1_reverse")
REMOVED = {"uneven": {"l0": [1], "l1": [0, 4]}, "even": {part: [0, 3] for part in PARTS}}
TOKENS = torch.arange(10).view(2, 5)


class Model(nn.Module):
    """Embedding, bidirectional LSTM of two layers, LayerNorm of the last states, head."""

    def __init__(self, attention: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 8)
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True) if attention else None
        self.norm = nn.LayerNorm(12)
        self.fc = nn.Linear(12, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        output, (h, _) = self.rnn(self.embed(tokens))
        if self.attention is not None:
            return self.fc(self.attention(output, output, output)[0])
        return self.fc(self.norm(torch.cat([h[-2], h[-1]], dim=1)))


@pytest.fixture(params=REMOVED)
def pruned(request: pytest.FixtureRequest) -> nn.Module:
    return tnn.prune(Model(), REMOVED[request.param]).eval()


@pytest.mark.filterwarnings("ignore:The tensor attributes .* were assigned during export")
def test_export(pruned: nn.Module) -> None:
    program = torch.export.export(pruned, (TOKENS,))
    torch.testing.assert_close(program.module()(TOKENS), pruned(TOKENS))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compile(pruned: nn.Module) -> None:
    compiled = torch.compile(pruned, backend="eager")
    torch.testing.assert_close(compiled(TOKENS), pruned(TOKENS))


def test_onnx(pruned: nn.Module, tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about PyTorch, and of its dependencies
        torch.onnx.export(pruned, (TOKENS,), dynamo=True, verbose=False).save(path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: TOKENS.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), pruned(TOKENS).detach())


def test_copies_and_state_dicts(pruned: nn.Module) -> None:
    expected = pruned(TOKENS)
    twin = copy.deepcopy(pruned)
    assert torch.equal(twin(TOKENS), expected)
    file = io.BytesIO()
    torch.save(pruned.state_dict(), file)
    file.seek(0)
    for parameter in twin.parameters():
        parameter.data.zero_()
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(TOKENS), expected)


def test_distributed_data_parallel(pruned: nn.Module, tmp_path) -> None:  # type: ignore[no-untyped-def]
    twin = copy.deepcopy(pruned).train()
    pruned.train()(TOKENS).sum().backward()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        parallel = nn.parallel.DistributedDataParallel(twin)
        parallel(TOKENS).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    for one, other in zip(pruned.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("name", REMOVED)
def test_one_file_holds_a_model_with_its_sizes(name: str, attention: bool, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, whole = tmp_path / "m.safetensors", Model(attention).eval()
    pruned = tnn.prune(whole, REMOVED[name])
    tnn.save(pruned, path)
    blank = Model(attention).eval()
    loaded = tnn.load(path, blank)
    assert torch.equal(loaded(TOKENS), pruned(TOKENS))
    assert [str(module) for module in loaded.modules()] == [str(m) for m in pruned.modules()]
    assert blank.rnn.hidden_size == 6
    again = tnn.prune(loaded, {"l0_reverse": [0]})  # goes on from there
    masked = tnn.mask(loaded, {"l0_reverse": [0]})
    torch.testing.assert_close(again(TOKENS), masked(TOKENS))


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(3, 6, num_layers=2, dropout=0.5, proj_size=2),
        nn.GRU(3, 6, bias=False, batch_first=True).double(),
        nn.RNN(3, 6, nonlinearity="relu", bidirectional=True),
        tnn.RecurrentStack("GRU", 3, [(5, 2), (3, 4)], dropout=0.1),
        tnn.RecurrentStack("LSTM", 3, [(5,), (4,)], [(2,), (3,)], bias=False, batch_first=True),
    ],
)
def test_one_file_holds_a_layer(layer: nn.Module, tmp_path) -> None:  # type: ignore[no-untyped-def]
    tnn.save(layer, tmp_path / "layer.safetensors")
    loaded = tnn.load(tmp_path / "layer.safetensors")
    assert (type(loaded), str(loaded), loaded.training) == (type(layer), str(layer), True)
    x = torch.randn(4, 2, 3, dtype=next(layer.parameters()).dtype)
    assert torch.equal(loaded.eval()(x)[0], layer.eval()(x)[0])
    layer.train()


def test_files_that_do_not_fit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "m.safetensors"
    tnn.save(Model(), path)
    with pytest.raises(ValueError, match="expected model=, one like that of which it holds rnn"):
        tnn.load(path)
    other = nn.ModuleDict({"rnn": nn.LSTM(8, 6)})
    with pytest.raises(ValueError, match="model: expected a submodule 'norm'"):
        tnn.load(path, other)
    wide = Model()
    wide.embed = nn.Embedding(30, 8)
    with pytest.raises(ValueError, match=r"'embed.weight' of shape \(30, 8\), got \(20, 8\)"):
        tnn.load(path, wide)
    computed = Model()
    pruning.l1_unstructured(computed.fc, "weight", 0.5)
    with pytest.raises(ValueError, match="'fc': missing 'weight'"):
        tnn.save(computed, path)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_masks_of_torch_turn_into_removal(kind: type) -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn = kind(3, 6, num_layers=2, bidirectional=True, batch_first=True)
            self.fc = nn.Linear(12, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0])

    model, x = Tagger().double(), torch.randn(2, 5, 3, dtype=torch.float64)
    expected = tnn.mask(model, {"l0": [1, 2], "l1_reverse": [5]})(x)
    assert tnn.mask_in_place(model.rnn, {"l0": [1]}) is model.rnn
    tnn.mask_in_place(model.rnn, {"l0": [2], "l1_reverse": [5]})
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)
    found = {part: units.tolist() for part, units in tnn.masked_units(model.rnn).items()}
    assert found == {(0, 0): [1, 2], (0, 1): [], (1, 0): [], (1, 1): [5]}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x).square().sum().backward()
    optimizer.step()
    expected = model(x)
    removed = tnn.remove_masked(model)
    torch.testing.assert_close(removed(x), expected, rtol=1e-12, atol=1e-12)
    assert removed.rnn.hidden_sizes == {(0, 0): 4, (0, 1): 6, (1, 0): 6, (1, 1): 5}
    assert pruning.is_pruned(model)
    for name in [n.removesuffix("_orig") for n, _ in model.rnn.named_parameters()]:
        pruning.remove(model.rnn, name)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_other_masks_become_zeros() -> None:
    model = tnn.SequenceClassifier(3, 2, hidden_size=6, fc_size=4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    pruning.l1_unstructured(model.rnn, "weight_hh_l0", 0.3)
    tnn.mask_in_place(model.rnn, [2])
    removed = tnn.remove_masked(model)
    torch.testing.assert_close(removed(x), model(x), rtol=1e-12, atol=1e-12)
    assert removed.rnn.hidden_size == 5
    with pytest.raises(TypeError, match=r"expected an nn\.LSTM, .* got Linear"):
        tnn.mask_in_place(model.fc1, [0])
    with pytest.raises(ValueError, match="expected a recurrent layer with proj_size=0, got 2"):
        tnn.masked_units(nn.LSTM(3, 4, proj_size=2))
