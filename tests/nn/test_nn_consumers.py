"""What reads the units is found, and computes from the kept ones what it did beside zeros."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tefast.nn import mask, prune
from tefast.nn._layers.narrow import NarrowAttention, NarrowLayerNorm
from tefast.nn._layers.recurrent import set_parameter
from tefast.nn._trace.kinds import KINDS, ReaderKind
from tefast.nn._trace.readers.columns import is_gone

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS = 6
UNEVEN = {"l0": [1], "l1": [0, 4], "l1_reverse": [2, 3, 5]}
EVEN = {part: [1, 4] for part in ("l0", "l0_reverse", "l1", "l1_reverse")}


class Model(nn.Module):
    """A two-layer, bidirectional layer, and `read` of its output and final state."""

    def __init__(self, read, seed: int = 0, kind: type = nn.LSTM, **modules: nn.Module) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(seed)
        self.rnn = kind(3, UNITS, num_layers=2, bidirectional=True, batch_first=True)
        self.read = read
        for name, module in modules.items():
            setattr(self, name, module)
        self.fc = nn.Linear(2 * UNITS, 4)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.7, 0.7)
        for buffer in self.buffers():
            if buffer.ndim:
                nn.init.uniform_(buffer, 0.5, 1.5)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self, *self.rnn(x))


def last(h) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return torch.cat([h[-2], h[-1]], dim=1)


def packed(model: Model, output: torch.Tensor, state) -> torch.Tensor:  # type: ignore[no-untyped-def]
    inside = pack_padded_sequence(output, [5, 3], batch_first=True)
    return model.fc(pad_packed_sequence(inside, batch_first=True)[0])


def attention_over_steps(model: Model, output: torch.Tensor, state) -> torch.Tensor:  # type: ignore[no-untyped-def]
    weights = model.score(output).softmax(1)
    return model.fc((weights.mT @ output).squeeze(1))


def dot_product(model: Model, output: torch.Tensor, state) -> torch.Tensor:  # type: ignore[no-untyped-def]
    weights = torch.bmm(output, last(state[0]).unsqueeze(2)).softmax(1)
    return model.fc((weights * output).sum(1))


def attend(model: Model, output: torch.Tensor, state) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return model.attention(output, output, output)[0][:, -1]


READS = {
    "every step": (lambda m, o, s: m.fc(o), {}),
    "last step": (lambda m, o, s: m.fc(o[:, -1]), {}),
    "each one's last": (lambda m, o, s: m.fc(o[torch.arange(2), torch.tensor([4, 2])]), {}),
    "last h": (lambda m, o, s: m.fc(last(s[0])), {}),
    "last c": (lambda m, o, s: m.fc(last(s[1])), {}),
    "one direction": (lambda m, o, s: m.part(s[0][-1]), {"part": lambda: nn.Linear(UNITS, 2)}),
    "first layer": (lambda m, o, s: m.part(s[0][0]), {"part": lambda: nn.Linear(UNITS, 2)}),
    "all h": (lambda m, o, s: m.part(s[0][1]) + m.fc(o)[:, -1, :1],
              {"part": lambda: nn.Linear(UNITS, 1)}),
    "mean": (lambda m, o, s: m.fc(o.mean(1)), {}),
    "max": (lambda m, o, s: m.fc(o.max(dim=1)[0]), {}),
    "pool": (lambda m, o, s: m.fc(
        nn.functional.adaptive_max_pool1d(o.transpose(1, 2), 1).squeeze(2)), {}),
    "relu, dropout": (lambda m, o, s: m.fc(m.drop(o.relu())), {"drop": lambda: nn.Dropout(0.5)}),
    "sigmoid": (lambda m, o, s: m.fc(torch.sigmoid(o) - 2), {}),
    "in place": (lambda m, o, s: m.fc(m.act(o)), {"act": lambda: nn.ReLU(inplace=True)}),
    "gate": (lambda m, o, s: m.fc(o * m.score(o)), {"score": lambda: nn.Linear(2 * UNITS, 1)}),
    "own gate": (lambda m, o, s: m.fc(o * o.sigmoid() + o), {}),
    "mask": (lambda m, o, s: m.fc(o.masked_fill(torch.tensor([0, 0, 0, 0, 1]).bool()[:, None], 0)),
             {}),
    "with others": (lambda m, o, s: m.wide(torch.cat([torch.ones(2, 5, 3).double(), o], -1)),
                    {"wide": lambda: nn.Linear(2 * UNITS + 3, 4)}),
    "time first": (lambda m, o, s: m.fc(o.transpose(0, 1)[-1]), {}),
    "steps flattened": (lambda m, o, s: m.fc(o.reshape(-1, o.shape[-1])), {}),
    "steps beside features": (lambda m, o, s: m.wide(o.flatten(1)),
                              {"wide": lambda: nn.Linear(60, 4)}),
    "packed": (packed, {}),
    "two readers": (lambda m, o, s: m.fc(o) * m.score(o), {"score": lambda: nn.Linear(12, 1)}),
    "norm": (lambda m, o, s: m.fc(m.norm(o)), {"norm": lambda: nn.LayerNorm(12)}),
    "plain norm": (lambda m, o, s: m.fc(m.norm(o[:, -1])),
                   {"norm": lambda: nn.LayerNorm(12, elementwise_affine=False)}),
    "norm with others": (lambda m, o, s: m.fc(m.norm(
        torch.cat([torch.ones(2, 5, 3).double(), o], -1))[..., 3:]),
        {"norm": lambda: nn.LayerNorm(15)}),
    "norm of h": (lambda m, o, s: m.part(m.drop(m.norm(s[0][-2]))),
                  {"part": lambda: nn.Linear(UNITS, 2), "norm": lambda: nn.LayerNorm(UNITS),
                   "drop": lambda: nn.Dropout(0.5)}),
    "two norms": (lambda m, o, s: m.fc(m.norm(o)) + m.fc2(m.norm2(o)) + m.fc3(o),
                  {"norm": lambda: nn.LayerNorm(12), "norm2": lambda: nn.LayerNorm(12),
                   "fc2": lambda: nn.Linear(12, 4), "fc3": lambda: nn.Linear(12, 4)}),
    "norm without bias": (lambda m, o, s: m.fc(m.norm(o)),
                          {"norm": lambda: nn.LayerNorm(12, bias=False)}),
    "norm of every step": (lambda m, o, s: sum(m.fc(m.norm(h)) for h in o.unbind(1)),
                           {"norm": lambda: nn.LayerNorm(12)}),
    "where": (lambda m, o, s: m.fc(torch.where(torch.tensor([True, False])[:, None, None], o, 0)),
              {}),
    "packed lstm": (lambda m, o, s: m.next(pack_padded_sequence(o, [5, 3], True))[0].data,
                    {"next": lambda: nn.LSTM(12, 3, batch_first=True)}),
    "batch norm": (lambda m, o, s: m.fc(m.norm(o.transpose(1, 2)).mT.relu()),
                   {"norm": lambda: nn.BatchNorm1d(12)}),
    "batch norm of h": (lambda m, o, s: m.fc(m.norm(last(s[0])).tanh()),
                        {"norm": lambda: nn.BatchNorm1d(12)}),
    "lstm": (lambda m, o, s: m.next(o)[0],
             {"next": lambda: nn.LSTM(12, 3, bidirectional=True, batch_first=True)}),
    "norm, gru": (lambda m, o, s: m.next(m.norm(o))[1],
                  {"next": lambda: nn.GRU(12, 3), "norm": lambda: nn.LayerNorm(12)}),
    "cell": (lambda m, o, s: m.next(o[:, 0], m.next(o[:, 1])), {"next": lambda: nn.GRUCell(12, 3)}),
    "attention": (attend, {"attention": lambda: nn.MultiheadAttention(12, 3, batch_first=True)}),
    "norm, attention": (lambda m, o, s: m.attention(*3 * [m.norm(o)], need_weights=False)[0],
                        {"attention": lambda: nn.MultiheadAttention(12, 2),
                         "norm": lambda: nn.LayerNorm(12)}),
    "keys": (lambda m, o, s: m.attention(m.query.expand(2, 1, 4), o, o)[0],
             {"attention": lambda: nn.MultiheadAttention(4, 2, kdim=12, vdim=12, batch_first=True),
              "query": lambda: nn.Parameter(torch.ones(1, 1, 4))}),
    "bilinear": (lambda m, o, s: m.pair(o, o.tanh()), {"pair": lambda: nn.Bilinear(12, 12, 3)}),
    "bilinear of others": (lambda m, o, s: m.pair(input2=last(s[0]), input1=m.ones(o[:, 0])),
                           {"pair": lambda: nn.Bilinear(4, 12, 3, bias=False),
                            "ones": lambda: nn.Linear(12, 4)}),
    "transposed convolution": (lambda m, o, s: m.conv(o.mT),
                               {"conv": lambda: nn.ConvTranspose1d(
                                   12, 3, 3, stride=2, padding=1, output_padding=1, dilation=2)}),
    "transposed convolution of planes": (
        lambda m, o, s: m.conv(o.mT.unflatten(2, (1, -1))),
        {"conv": lambda: nn.ConvTranspose2d(12, 3, (1, 2), bias=False)}),
    "attention over steps": (attention_over_steps, {"score": lambda: nn.Linear(12, 1)}),
    "dot product": (dot_product, {}),
}  # fmt: skip


def build(name: str, seed: int = 0) -> Model:
    read, modules = READS[name]
    torch.manual_seed(seed)
    return Model(read, seed, **{n: make() for n, make in modules.items()})


@pytest.mark.parametrize("units", [UNEVEN, EVEN], ids=["uneven", "even"])
@pytest.mark.parametrize("name", READS)
def test_removed_equals_masked(name: str, units: dict) -> None:
    model, x = build(name), torch.randn(2, 5, 3, dtype=torch.float64)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    pruned, masked = prune(model, units), mask(model, units)
    found, expected = pruned(x), masked(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not torch.equal(expected, model(x))
    for output in (found, expected):
        (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    check_gradients(pruned, masked, units)
    assert sum(p.numel() for p in pruned.parameters()) < sum(p.numel() for p in model.parameters())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def check_gradients(pruned: nn.Module, masked: nn.Module, units: dict) -> None:
    """Of the recurrent layer's kept weights, and of biases behind it."""
    grads = dict(masked.rnn.named_parameters())
    for name, parameter in pruned.rnn.named_parameters():
        role, _, part = name.replace("layers.", "").rpartition("_l")
        part = "l" + part
        if "." in name:  # of a stack: layers.l1_reverse.bias_ih_l0
            part, role = name.split(".")[1], name.split(".")[2].removesuffix("_l0")
        if role != "bias_ih" or parameter.grad is None:
            continue
        keep = [u for u in range(UNITS) if u not in units.get(part, ())]
        grad = grads[f"bias_ih_{part}"].grad.unflatten(0, (4, UNITS))[:, keep].flatten()
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-10, atol=1e-12)
    for name, parameter in pruned.named_parameters():
        if name in ("fc.bias", "part.bias", "next.bias_ih_l0") and parameter.grad is not None:
            expected = dict(masked.named_parameters())[name].grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["norm", "batch norm", "attention", "norm, attention", "lstm", "norm with others"]
)
def test_step_by_step_equals_at_once(name: str) -> None:
    model, x = build(name), torch.randn(2, 5, 3, dtype=torch.float64)
    once = prune(model, {"l1": [0, 4], "l1_reverse": [2]})
    twice = prune(prune(model, {"l1": [4]}), {"l1": [0], "l1_reverse": [2]})
    torch.testing.assert_close(twice(x), once(x), rtol=1e-12, atol=1e-12)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (once, twice)]
    assert sizes[0] == sizes[1]
    none = prune(model, {})
    torch.testing.assert_close(none(x), model(x), rtol=1e-12, atol=1e-12)


def test_a_chain_of_layers() -> None:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 3)
            self.first = nn.LSTM(3, 6, batch_first=True)
            self.second = nn.GRU(6, 5, batch_first=True, bidirectional=True)
            self.fc = nn.Linear(10, 2)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.fc(self.second(self.first(self.embed(tokens))[0])[0][:, -1])

    torch.manual_seed(0)
    model, tokens = Chain().double(), torch.randint(0, 10, (3, 7))
    pruned = prune(prune(model, [0, 3], "first"), {"l0_reverse": [1]}, "second")
    masked = mask(mask(model, [0, 3], "first"), {"l0_reverse": [1]}, "second")
    torch.testing.assert_close(pruned(tokens), masked(tokens), rtol=1e-12, atol=1e-12)
    assert pruned.second.input_size == 4
    named = prune(model, [0, 3], "first", ["second"])
    torch.testing.assert_close(named(tokens), mask(model, [0, 3], "first")(tokens))


def test_a_cell_in_a_loop() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTMCell(3, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state, outputs = None, []
            for step in x.unbind(1):
                state = self.cell(step, state)
                outputs.append(state[0])
            return self.head(torch.stack(outputs, 1).mean(1))

    torch.manual_seed(0)
    model, x = Loop().double(), torch.randn(2, 4, 3, dtype=torch.float64)
    pruned = prune(model, [4, 0], "cell")
    assert pruned.head.in_features == 4
    torch.testing.assert_close(pruned(x), mask(model, [4, 0], "cell")(x), rtol=1e-12, atol=1e-12)


def test_projections_are_followed_apart_from_units() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 6, batch_first=True, proj_size=4)
            self.of_h, self.of_c = nn.Linear(4, 2), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, (h, c) = self.rnn(x)
            return self.of_h(h[-1]) + self.of_c(c[-1])

    torch.manual_seed(0)
    model, x = Projected().double(), torch.randn(2, 5, 3, dtype=torch.float64)
    pruned = prune(model, [5], projections=[0, 2])
    masked = mask(model, [5], projections=[0, 2])
    torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)
    assert (pruned.of_h.in_features, pruned.of_c.in_features) == (2, 5)


REFUSED = {
    "residual": (lambda m, o, s: m.fc(o + m.weight),
                 {"weight": lambda: nn.Parameter(torch.ones(12))},
                 r"'add' with a tensor as wide as the layer \(a residual\?\) in the model itself"),
    "directions added": (lambda m, o, s: m.part(o[..., :6] + o[..., 6:]),
                         {"part": lambda: nn.Linear(6, 2)},
                         "unit 0 of 'rnn' l1 and unit 0 of 'rnn' l1_reverse meet in 'add' in the "),
    "unknown": (lambda m, o, s: m.fc(torch.fft.rfft(o, dim=1).real), {}, "'fft_rfft'"),
    "softmax": (lambda m, o, s: m.fc(o.softmax(-1)), {}, "the operation 'softmax'"),
    "over units": (lambda m, o, s: o.mean(-1), {}, "'mean' over the units"),
    "returned": (lambda m, o, s: (m.fc(o), o), {}, "are among what the model returns"),
    "decoder": (lambda m, o, s: m.next(torch.ones(1, 2, 3).double(), s[0][:2])[0],
                {"next": lambda: nn.GRU(3, 6, num_layers=2)},
                r"an initial state made of them in 'next' \(GRU\)"),
    "norm, relu": (lambda m, o, s: m.fc(m.norm(o).relu()), {"norm": lambda: nn.LayerNorm(12)},
                   "'relu' on what a LayerNorm gives"),
    "convolution": (lambda m, o, s: m.conv(o[:, None]), {"conv": lambda: nn.Conv2d(1, 3, 2)},
                    r"along the expected axis in 'conv' \(Conv2d\)"),
    "parameter": (lambda m, o, s: o @ m.weight, {"weight": lambda: nn.Parameter(torch.ones(12, 2))},
                  "a matrix product that sums over the units"),
    "bilinear, sigmoid": (lambda m, o, s: m.pair(o.sigmoid(), o),
                          {"pair": lambda: nn.Bilinear(12, 12, 3)},
                          "a Bilinear of what is not 0 where a unit is masked in 'pair'"),
    "bilinear, twice": (lambda m, o, s: m.pair(o, o) + m.pair(o, m.ones(o)),
                        {"pair": lambda: nn.Bilinear(12, 12, 3), "ones": lambda: nn.Linear(12, 12)},
                        "a module that reads them in two ways in 'pair'"),
    "transposed convolution, sigmoid": (lambda m, o, s: m.conv(o.mT.sigmoid()),
                                        {"conv": lambda: nn.ConvTranspose1d(12, 3, 3)},
                                        "consumer 'conv': .* not the same at the ends"),
    "transposed convolution of groups": (lambda m, o, s: m.conv(o.mT),
                                         {"conv": lambda: nn.ConvTranspose1d(12, 4, 3, groups=2)},
                                         "consumer 'conv': expected a convolution of groups=1"),
    "no bias": (lambda m, o, s: m.head(o.sigmoid()),
                {"head": lambda: nn.Linear(12, 2, bias=False)}, "consumer 'head': .* bias=False"),
    "numbers": (lambda m, o, s: m.part(o[:, -1, :6]) + m.part2(o[:, 0, 6:]),
                {"part": lambda: nn.Linear(6, 2), "part2": lambda: nn.Linear(6, 2)},
                "hold the layer's size as a number"),
    "assignment": (lambda m, o, s: (o.__setitem__(0, 1.0), m.fc(o))[1], {}, "may hold 1"),
    "in place": (lambda m, o, s: m.fc(o.polygamma_(1)), {}, "not finite when masked"),
    "NumPy": (lambda m, o, s: m.fc(torch.as_tensor(o.numpy())), {}, "'numpy', after which"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_narrowed_is_named(name: str) -> None:
    read, modules, message = REFUSED[name]
    torch.manual_seed(0)
    model = Model(read, **{n: make() for n, make in modules.items()})
    with pytest.raises(ValueError, match=message):
        prune(model, UNEVEN)
    assert model.training is False


def test_an_example_where_none_can_be_made_up() -> None:
    def read(model: Model, output: torch.Tensor, state) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return model.fc(output[:, 7])

    model, x = Model(read), torch.randn(1, 9, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"does not run on an input made up .* give example="):
        prune(model, UNEVEN)
    for example in (x, (x,), {"x": x}):
        pruned = prune(model, UNEVEN, example=example)
        torch.testing.assert_close(pruned(x), mask(model, UNEVEN)(x), rtol=1e-12, atol=1e-12)


def test_initial_states_and_layers_that_do_not_run_are_refused() -> None:
    class Started(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x, 2 * (torch.randn(4, len(x), UNITS).double(),))[0])

    with pytest.raises(ValueError, match="submodule 'rnn' is given an initial state"):
        prune(Started(None), UNEVEN)
    model = Model(lambda m, o, s: m.fc(o))
    model.other = nn.LSTM(2, 3)
    with pytest.raises(ValueError, match="submodule 'other' did not run"):
        prune(model, [0], "other", example=torch.randn(2, 5, 3).double())


def test_batch_norm_in_training_mode_keeps_its_features() -> None:
    model = Model(lambda m, o, s: m.norm(o.mT), norm=nn.BatchNorm1d(12))
    with pytest.raises(ValueError, match="are among what the model returns"):
        prune(model, UNEVEN)
    model = build("batch norm")
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    pruned, masked = prune(model, UNEVEN), mask(model, UNEVEN)
    keep = [u for u in range(6) if u not in (0, 4)] + [6 + u for u in (0, 1, 4)]
    ours, theirs = (m.norm.train()(m.rnn(x)[0].mT.detach()).detach() for m in (pruned, masked))
    torch.testing.assert_close(ours, theirs[:, keep], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pruned.norm.running_var, masked.norm.running_var[keep])


def test_attention_as_torch_computes_it() -> None:
    torch.manual_seed(0)
    for batch_first in (False, True):
        theirs = nn.MultiheadAttention(6, 2, batch_first=batch_first).double()
        ours = NarrowAttention(6, 2, 6, 6, 6, batch_first=batch_first, dtype=torch.float64)
        for number, linear in enumerate((ours.q_proj, ours.k_proj, ours.v_proj)):
            linear.weight.data = theirs.in_proj_weight.data[6 * number :][:6]
            linear.bias.data = theirs.in_proj_bias.data[6 * number :][:6].normal_()
        ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
        x = torch.randn(4, 4, 6, dtype=torch.float64)
        causal = torch.ones(4, 4).triu(1).bool()
        padding = torch.zeros(4, 4).bool()
        padding[1, 3] = True
        for options in (
            {},
            {"attn_mask": causal, "key_padding_mask": padding},
            {"attn_mask": torch.randn(4, 4).double(), "average_attn_weights": False},
            {"attn_mask": causal.repeat(8, 1, 1), "need_weights": False, "is_causal": True},
        ):
            for one, other in zip(
                ours(x, x, x, **options), theirs(x, x, x, **options), strict=True
            ):
                if other is None:
                    assert one is None
                else:
                    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
        nothing = torch.zeros((4, 0, 6) if batch_first else (0, 4, 6)).double()
        assert ours(nothing, nothing, nothing)[0].shape == nothing.shape
        single = [m(x[0], x[1], x[2])[1] for m in (ours, theirs)]
        torch.testing.assert_close(*single, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="is_causal is a hint"):
        ours(x, x, x, is_causal=True)


def test_bad_sizes_of_a_narrow_norm() -> None:
    with pytest.raises(ValueError, match="got kept=4, width=3, rest=0"):
        NarrowLayerNorm(3, 4, 0)


class Halves(nn.Module):
    """Tokens in two halves, the second from the state `carry` makes of the first one's."""

    def __init__(self, carry) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.carry = carry
        self.embed = nn.Embedding(3, 6)
        self.rnn = nn.LSTM(6, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        _, state = self.rnn(x[:, :2])
        return self.head(self.rnn(x[:, 2:], self.carry(state))[0])


def test_its_own_state_may_go_back_into_the_layer() -> None:
    model, tokens = Halves(lambda state: state).double(), torch.randint(0, 3, (2, 6))
    for units in ({"l0": [1, 5], "l1": [0]}, {"l0": [2], "l1": [3]}):
        pruned, masked = prune(model, units), mask(model, units)
        torch.testing.assert_close(pruned(tokens), masked(tokens), rtol=1e-12, atol=1e-12)
    shifted = Halves(lambda state: tuple(one + 1 for one in state)).double()
    with pytest.raises(ValueError, match="an initial state that is not 0 when masked"):
        prune(shifted, {"l0": [1]})


def test_tied_weights_of_a_reader_are_refused() -> None:
    model = Halves(lambda state: state)
    model.head.weight = model.embed.weight
    with pytest.raises(ValueError, match=r"got embed\.weight and head\.weight in one"):
        prune(model, {"l1": [0]})


def test_attention_that_cannot_be_narrowed_is_named() -> None:
    attention = nn.MultiheadAttention(12, 2, batch_first=True, add_bias_kv=True)
    with pytest.raises(ValueError, match="consumer 'attention': expected add_bias_kv=False"):
        prune(Model(attend, attention=attention), UNEVEN)


@dataclasses.dataclass
class Answer:
    logits: object


class Around(nn.Module):
    """A model whose forward pass is given by a function of itself and the layer's output."""

    def __init__(self, forward):
        super().__init__()
        self.rnn, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros(()))
        self._of = forward

    def forward(self, x):
        output, _ = self.rnn(x)
        return self._of(self, output)


def wrong_by_the_width(model, output):
    return model.head(output * output.size(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("small", [1.0, 1e-4])
def test_code_that_knows_the_width_is_refused_whatever_the_size_of_the_outputs(dtype, small):
    model = Around(lambda m, o: wrong_by_the_width(m, o) * small).to(dtype).eval()
    with pytest.raises(ValueError, match="does not give on the example what the masked one gives"):
        prune(model, [0, 3, 5], example=torch.randn(2, 5, 4, dtype=dtype))


def test_outputs_in_dataclasses_are_compared():
    model = Around(lambda m, o: Answer(wrong_by_the_width(m, o)))
    with pytest.raises(ValueError, match="does not give on the example what the masked one gives"):
        prune(model, [0, 3, 5])
    with pytest.raises(ValueError, match="are among what the model returns"):
        prune(Around(lambda m, o: Answer((m.head(o), o))), [0])
    fine = Around(lambda m, o: Answer(m.head(o)))
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(prune(fine, [1]).eval()(x).logits, mask(fine, [1]).eval()(x).logits)


class Opaque:
    def __init__(self, value):
        self.value = value


def test_a_result_that_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="holds nothing that could be compared"):
        prune(Around(lambda m, o: (m.head(one) for one in o)), [0])
    prune(Around(lambda m, o: Opaque(m.head(o))), [0])
    with pytest.raises(ValueError, match="would be narrower"):
        prune(Around(lambda m, o: Opaque(o)), [0])


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_padding_with_what_no_masked_unit_gives_is_refused(value):
    def padded(model, output):
        packed = nn.utils.rnn.pack_padded_sequence(
            output, torch.full((len(output),), output.shape[1]), batch_first=True
        )
        output, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, padding_value=value)
        return model.head(output)

    with pytest.raises(ValueError, match=r"steps that may hold -?1 \(padding, "):
        prune(Around(padded), [0])


def test_a_model_that_counts_its_calls_is_left_as_it_was():
    def counting(model, output):
        model.calls += 1
        model.last = output.detach()
        return model.head(output)

    model = Around(counting)
    smaller = prune(model, [2])
    assert model.calls == smaller.calls == 0
    assert not hasattr(model, "last")
    assert not hasattr(smaller, "last")


class Scale(nn.Module):
    """A module of no known kind, which multiplies each feature by a weight."""

    def __init__(self, width: int, of: int = 1, device: str | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-1] == len(self.weight)
        return x * self.weight


class ScaleKind(ReaderKind):
    classes = (Scale,)

    def narrow(self, module, readings, kept):  # type: ignore[no-untyped-def]
        weight = module.weight.detach()[~is_gone(readings["input"], kept)]
        twin = Scale(len(weight), device="meta")
        set_parameter(twin, "weight", weight, module.weight)
        return twin

    def give(self, reader, module, known, result):  # type: ignore[no-untyped-def]
        reader.each(module, known, result, lambda m, x: x * m.weight.detach().cpu().double())


def test_one_class_adds_a_kind_of_reader(monkeypatch):
    model = Model(lambda m, o, s: m.fc(m.scale(o)), scale=Scale(2 * UNITS))
    x = torch.randn(2, 5, 3).double()
    with pytest.raises(ValueError, match="reach"):
        prune(model, EVEN, example=x)
    monkeypatch.setattr("tefast.nn._trace.kinds.KINDS", [*KINDS, ScaleKind()])
    pruned = prune(model, EVEN, example=x)
    assert len(pruned.scale.weight) == 2 * (UNITS - 2)
    torch.testing.assert_close(pruned(x), mask(model, EVEN)(x))
