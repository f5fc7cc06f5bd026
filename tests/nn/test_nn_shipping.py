"""A pruned model goes where any model of PyTorch goes."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
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


class Various(nn.Module):
    """Readers of many classes, and an embedding that goes with the units."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(20, 6, padding_idx=0)
        self.rnn = nn.GRU(6, 6, batch_first=True)
        self.act, self.pair = nn.PReLU(6), nn.Bilinear(6, 6, 2)
        self.plain = nn.Conv1d(6, 3, 3, padding="same", padding_mode="circular")
        self.flat, self.deep = nn.Conv2d(6, 2, (2, 1), dilation=2), nn.Conv3d(6, 2, 1, bias=False)
        self.up = nn.ConvTranspose1d(6, 3, 3, stride=2, output_padding=1)
        self.wide, self.high = nn.ConvTranspose2d(6, 1, (2, 1)), nn.ConvTranspose3d(6, 1, 1)

    def forward(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        x = self.embed(tokens)
        o = (self.rnn(x)[0] + x).mT
        plane = o[..., None]
        read = [self.plain(self.act(o)), self.flat(plane), self.deep(plane[..., None])]
        read += [self.up(o), self.wide(plane), self.high(plane[..., None])]
        return [*read, self.pair(o.mT, o.mT)]


def test_one_file_holds_readers_of_all_classes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, whole = tmp_path / "m.safetensors", Various().eval()
    pruned = tnn.prune(whole, [0, 3], tied=["embed"])
    tnn.save(pruned, path)
    loaded = tnn.load(path, Various().eval())
    torch.testing.assert_close(loaded(TOKENS), pruned(TOKENS))
    assert [str(module) for module in loaded.modules()] == [str(m) for m in pruned.modules()]


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


class Normed(nn.Module):
    """A layer behind which a norm stands that has no weights."""

    def __init__(self, norm: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.LSTM(3, 8, batch_first=True)
        self.features_first = norm != "layer"
        self.norm = {
            "layer": nn.LayerNorm(8, elementwise_affine=False),
            "batch": nn.BatchNorm1d(8, affine=False),
            "batch's own": nn.BatchNorm1d(8, affine=False, track_running_stats=False),
        }[norm]
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.rnn(x)[0]
        if not self.features_first:
            return self.fc(self.norm(output))
        return self.fc(self.norm(output.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize("norm", ["layer", "batch", "batch's own"])
def test_one_file_holds_norms_without_weights(norm: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, x = Normed(norm).eval(), torch.randn(5, 6, 3)
    found = tnn.prune(model, [1, 4, 5], example=x)
    tnn.save(found, tmp_path / "model.safetensors")
    again = tnn.load(tmp_path / "model.safetensors", Normed(norm).eval())
    torch.testing.assert_close(again(x), found(x), rtol=0, atol=0)


def test_files_that_do_not_fit(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "m.safetensors"
    tnn.save(Model(), path)
    with pytest.raises(
        ValueError, match="expected model=, one like that of which it holds embed, rnn"
    ):
        tnn.load(path)
    other = nn.ModuleDict({"rnn": nn.LSTM(8, 6)})
    with pytest.raises(ValueError, match="model: expected a submodule 'embed'"):
        tnn.load(path, other)
    wide = Model()
    wide.embed = nn.Embedding(30, 8)
    with pytest.raises(ValueError, match=r"'embed.weight' of shape \(30, 8\), got \(20, 8\)"):
        tnn.load(path, wide)
    masked = Model()
    pruning.l1_unstructured(masked.rnn, "weight_hh_l0", 0.5)
    with pytest.raises(ValueError, match="'rnn': missing 'weight_hh_l0'"):
        tnn.save(masked, path)

    class Told(Model):
        def get_extra_state(self) -> dict:
            return {"epoch": 3}

    with pytest.raises(
        ValueError, match="expected tensors in its state, got '_extra_state', a dict"
    ):
        tnn.save(Told(), path)


class Whole(nn.Module):
    """A model with what others than the pruned layer may have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embed = nn.Embedding(20, 8)
        self.front = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(5), nn.Dropout())
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(12, 8)
        self.decoder = nn.Linear(8, 20)
        self.decoder.weight = self.embed.weight
        self.same = nn.Linear(8, 8)
        parametrizations.spectral_norm(self.same)
        self.again = nn.Linear(8, 8, bias=False)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.note = {"made": "by hand"}

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        found = self.front[1](self.front[0](self.embed(tokens)))
        read = self.fc(self.rnn(self.front[2](found))[0])
        return self.decoder(self.again(self.same(read)))

    def share(self) -> "Whole":
        """Have one memory for two parameters."""
        self.again.weight.data = self.front[0].weight.data
        return self


def whole() -> Whole:
    model = Whole().share().eval()
    model.front[1].train()
    model.embed.requires_grad_(False)
    model.rnn.weight_ih_l1_reverse.requires_grad_(False)
    model.fc.bias.requires_grad_(False)
    model.front[0].register_forward_hook(ten_times)
    model.rnn.register_forward_pre_hook(halved)
    model.fc.register_forward_hook(ten_times)
    model.front[0].owner = "someone"
    return model


def ten_times(_module: nn.Module, _args: tuple, output: torch.Tensor) -> torch.Tensor:
    return output * 10


def halved(_module: nn.Module, args: tuple) -> tuple:
    return (args[0] / 2, *args[1:])


@pytest.mark.parametrize("name", REMOVED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_was_not_resized_stays_as_it_is(name: str, dtype: torch.dtype, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, trained = tmp_path / "m.safetensors", Whole().to(dtype).share().eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
        trained.seen += 1
    pruned = tnn.prune(trained, REMOVED[name], example=TOKENS)
    tnn.save(pruned, path)
    model = whole()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    loaded = tnn.load(path, model)
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())
    for n, tensor in pruned.state_dict().items():
        assert torch.equal(loaded.state_dict()[n], tensor)
        assert loaded.state_dict()[n].dtype == tensor.dtype
    assert loaded.decoder.weight is loaded.embed.weight
    assert len(list(loaded.parameters())) == len(list(pruned.parameters()))
    # Hooks, on what was resized and on what was not.
    assert ten_times in loaded.front[0]._forward_hooks.values()
    assert ten_times in loaded.fc._forward_hooks.values()
    assert halved in loaded.rnn._forward_pre_hooks.values()
    for module in (pruned.front[0], pruned.fc):
        module.register_forward_hook(ten_times)
    pruned.rnn.register_forward_pre_hook(halved)
    assert torch.equal(loaded.eval()(TOKENS), pruned.eval()(TOKENS))
    # Attributes and flags.
    loaded = tnn.load(path, model)
    assert (loaded.front[0].owner, loaded.note) == ("someone", model.note)
    assert loaded.note is not model.note
    assert torch.equal(loaded.scratch, model.scratch)
    assert {n: m.training for n, m in model.named_modules()}.items() <= {
        n: m.training for n, m in loaded.named_modules()
    }.items()
    found = {n: p.requires_grad for n, p in loaded.named_parameters()}
    for n, flag in flags.items():
        if n in found:
            assert found[n] == flag, n
    of_part = [n for n in found if "l1_reverse" in n and "weight_ih" in n]
    assert [found[n] for n in of_part] == [False]
    assert sum(not flag for flag in found.values()) == sum(not flag for flag in flags.values())
    # What was one memory is one still.
    assert loaded.again.weight is not loaded.front[0].weight
    assert loaded.again.weight.data_ptr() == loaded.front[0].weight.data_ptr()


def test_a_model_that_is_like_the_file_already(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, pruned = tmp_path / "m.safetensors", tnn.prune(Model(), REMOVED["uneven"])
    tnn.save(pruned, path)
    like = tnn.prune(Model(), {"l0": [5], "l1": [1, 2]})
    like.rnn.layers["l0"].register_forward_hook(lambda *_: None)
    loaded = tnn.load(path, like)
    assert torch.equal(loaded.eval()(TOKENS), pruned.eval()(TOKENS))
    assert loaded.rnn.layers["l0"]._forward_hooks
    bare = tnn.load(path, loaded)  # again, from what was loaded
    assert torch.equal(bare(TOKENS), pruned(TOKENS))


def test_a_classifier_that_is_given_keeps_what_it_has(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "c.safetensors"
    pruned = tnn.prune(tnn.SequenceClassifier(3, 2, hidden_size=6, fc_size=4), [0, 3])
    tnn.save(pruned, path)
    model = tnn.SequenceClassifier(3, 2, hidden_size=6, fc_size=4).eval()
    model.fc2.requires_grad_(False)
    model.fc1.register_forward_hook(ten_times)
    loaded, x = tnn.load(path, model), torch.randn(2, 5, 3)
    assert (loaded.rnn.hidden_size, loaded.training) == (4, False)
    assert not loaded.fc2.weight.requires_grad
    pruned.fc1.register_forward_hook(ten_times)
    assert torch.equal(loaded(x), pruned(x))

    class Own(tnn.SequenceClassifier):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 2

    own = Own(3, 2, hidden_size=6, fc_size=4)
    tnn.save(own, path)
    with pytest.raises(ValueError, match="expected model="):
        tnn.load(path)
    assert torch.equal(tnn.load(path, Own(3, 2, hidden_size=9))(x), own(x))


def test_models_into_which_a_file_cannot_be_loaded(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, model = tmp_path / "m.safetensors", Model()
    tnn.save(tnn.prune(model, REMOVED["even"]), path)
    tied = Model()
    tied.other = nn.Linear(12, 3, bias=False)
    tied.other.weight = tied.fc.weight
    with pytest.raises(ValueError, match=r"'fc' that are not shared, .* also other\.weight"):
        tnn.load(path, tied)
    changed = Model()
    changed.rnn.forward = changed.rnn.forward
    with pytest.raises(
        ValueError, match="'rnn' has another size in the file, and its 'forward' was repl"
    ):
        tnn.load(path, changed)
    apart = Whole()
    apart.decoder.weight = nn.Parameter(apart.embed.weight.detach() + 1)
    tnn.save(apart, path)
    with pytest.raises(
        ValueError, match=r"same values for 'embed.weight' and 'decoder.weight', wh"
    ):
        tnn.load(path, Whole())
    loaded = tnn.load(path, apart)
    assert not torch.equal(loaded.decoder.weight, loaded.embed.weight)


def test_masks_and_norms_beside_the_layer(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path, masked = tmp_path / "m.safetensors", Model().eval()
    pruning.random_unstructured(masked.fc, "weight", 0.5)
    tnn.save(masked, path)
    with pytest.raises(ValueError, match=r"missing 'fc.weight'"):
        tnn.load(path, Model())
    like = Model().eval()
    pruning.random_unstructured(like.fc, "weight", 0.5)
    loaded = tnn.load(path, like)
    assert torch.equal(loaded(TOKENS), masked(TOKENS))
    assert torch.equal(loaded.fc.weight_mask, masked.fc.weight_mask)


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
