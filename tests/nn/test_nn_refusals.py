"""The table of docs/prune.md: what is refused, and that the way round that it names is exact."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import tefast.nn as tnn

pytestmark = pytest.mark.usefixtures("one_thread")

GONE = [0, 3, 4, 7]
X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
Read = Callable[["Model", Tensor, Tensor], Any]


class Model(nn.Module):
    """An LSTM, and `read` of its outputs and of the input."""

    def __init__(self, read: Read, **held: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)
        self.read, self.size = read, 8
        for name, value in held.items():
            setattr(self, name, value)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5, 0.5)
        self.double().eval()

    def forward(self, x: Tensor) -> Any:
        return self.read(self, self.lstm(x)[0], x)


def padded(o: Tensor, value: float) -> Tensor:
    packed = pack_padded_sequence(o, [5, 3], batch_first=True)
    return pad_packed_sequence(packed, batch_first=True, padding_value=value)[0]


def in_list(model: Model, o: Tensor, x: Tensor) -> Tensor:
    return model.heads[0](o)


def head(model: Model, o: Tensor, x: Tensor) -> Tensor:
    return model.head(o)


def normed() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))


def permanent() -> nn.Module:
    return nn.utils.parametrize.remove_parametrizations(normed(), "weight")


SCALE = 8**0.5
NORM = {"norm": nn.LayerNorm(8)}
FRONT, WIDE = nn.Linear(4, 8), nn.Linear(8, 8)
# The refused model, what the message says, the model written anew, and further arguments.
ROWS: list[tuple[Read, dict[str, Any], str, Read, dict[str, Any], dict[str, Any]]] = [
    (
        lambda m, o, x: m.head(o.reshape(-1, 8)), {}, "does not run",
        lambda m, o, x: m.head(o.reshape(-1, o.shape[-1])), {}, {},
    ),
    (
        lambda m, o, x: m.head(o.reshape(-1, m.size)), {}, r"pass sizes=\['size'\]",
        lambda m, o, x: m.head(o.reshape(-1, m.size)), {}, {"sizes": ["size"]},
    ),
    (
        lambda m, o, x: m.head((o @ o.mT / o.size(-1) ** 0.5).softmax(-1) @ o), {},
        "'div' .* is given",
        lambda m, o, x: m.head((o @ o.mT / SCALE).softmax(-1) @ o), {}, {},
    ),
    (
        lambda m, o, x: m.head(o.softmax(-1)), {}, "'softmax'",
        lambda m, o, x: m.head(m.mix(o).softmax(-1)), {"mix": WIDE}, {},
    ),
    (
        lambda m, o, x: m.head(o) * o.mean(-1, keepdim=True), {}, "over the units, which depends",
        lambda m, o, x: m.head(o) * o.sum(-1, keepdim=True) / 8, {}, {},
    ),
    (
        lambda m, o, x: m.head(o + m.front(x)), {"front": FRONT}, r"tied=\['front'\]",
        lambda m, o, x: m.head(o + m.front(x)), {"front": FRONT}, {"tied": ["front"]},
    ),
    (
        lambda m, o, x: o @ m.vector, {"vector": nn.Parameter(torch.ones(8))},
        "'vector'.*nn.Linear",
        lambda m, o, x: m.vector(o)[..., 0], {"vector": nn.Linear(8, 1, bias=False)}, {},
    ),
    (
        in_list, {"heads": [nn.Linear(8, 3).double()]}, "no nn.Linear's weight",
        in_list, {"heads": nn.ModuleList([nn.Linear(8, 3)])}, {},
    ),
    (
        lambda m, o, x: nn.functional.linear(o, m.head.weight, m.head.bias), {}, "call 'head'",
        head, {}, {},
    ),
    (
        lambda m, o, x: m.head(m.norm(o).tanh()), NORM, "what a LayerNorm gives",
        lambda m, o, x: m.head(m.norm(o)).tanh(), NORM, {},
    ),
    (
        lambda m, o, x: m.norm(o), NORM, "one feature more",
        lambda m, o, x: m.head(m.norm(o)), NORM, {},
    ),
    (
        lambda m, o, x: m.head(padded(o, 1.0).mean(1)), {}, "may hold 1",
        lambda m, o, x: m.head(padded(o, 0.0).mean(1)), {}, {},
    ),
    (
        lambda m, o, x: m.head(o.gather(1, o.argmax(1, keepdim=True))), {}, "'argmax' over steps",
        lambda m, o, x: m.head(o.amax(1)), {}, {},
    ),
    (
        lambda m, o, x: m.head(torch.from_numpy(o.detach().numpy() * 2)), {}, "'numpy', after",
        lambda m, o, x: m.head(o * 2), {}, {},
    ),
    (
        lambda m, o, x: m.head(o + torch.randn_like(o)), {}, "'randn_like'",
        lambda m, o, x: torch.randn(3).double() + m.head(o), {}, {},
    ),
    (
        lambda m, o, x: (m.head(o), m.head(x.repeat(1, 1, 2))), {}, "two ways|something else",
        lambda m, o, x: (m.head(o), m.other(x.repeat(1, 1, 2))), {"other": nn.Linear(8, 3)}, {},
    ),
    (lambda m, o, x: o, {}, r'returned="all"', lambda m, o, x: o, {}, {"returned": "all"}),
    (
        lambda m, o, x: (m.head(o), iter([1])), {}, "holds nothing that could be compared",
        lambda m, o, x: (m.head(o), [1]), {}, {},
    ),
    (
        lambda m, o, x: m.head(o), {"lock": threading.Lock()}, "its attribute 'lock' .* cannot",
        head, {"lock": None}, {},
    ),
    (head, {"head": normed()}, "computed by a parametrization", head, {"head": permanent()}, {}),
]  # fmt: skip


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_what_is_refused_and_the_way_round(row: int) -> None:
    read, held, said, other, instead, given = ROWS[row]
    with pytest.raises((ValueError, TypeError), match=said):
        tnn.prune(Model(read, **held), GONE, "lstm", example=X)
    model = Model(other, **instead)
    pruned = tnn.prune(model, GONE, "lstm", example=X, **given)
    masked = tnn.mask(model, GONE, "lstm")
    if "tied" in given:
        with torch.no_grad():
            masked.front.weight[GONE], masked.front.bias[GONE] = 0, 0
    torch.manual_seed(1)
    ours = pruned(X)
    torch.manual_seed(1)
    theirs = masked(X)
    if given.get("returned"):
        theirs = theirs[..., [1, 2, 5, 6]]
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


class Layer(nn.LSTM):
    """A subclass, which may compute something else."""


def shared(model: Model) -> Model:
    model.other = nn.Linear(8, 3).double()
    model.other.weight = model.head.weight
    return model


def replaced(model: Model) -> Model:
    model.lstm.forward = model.lstm.forward  # type: ignore[method-assign]
    return model


def lazy(model: Model) -> Model:
    model.head = nn.LazyLinear(3)
    return model


def test_layers_and_heads_that_are_not_plain() -> None:
    for model, said in (
        (shared(Model(head)), "weights that are not shared"),
        (replaced(Model(head)), "'forward' was replaced"),
        (Model(head, lstm=Layer(4, 8, batch_first=True)), "got Layer"),
        (lazy(Model(head)), "run the model once"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            tnn.prune(model, GONE, "lstm", example=X)
    model = shared(Model(head))
    model.other.weight = nn.Parameter(model.other.weight.detach().clone())
    masked = tnn.mask(model, GONE, "lstm")
    torch.testing.assert_close(tnn.prune(model, GONE, "lstm", example=X)(X), masked(X))


class Context(nn.Module):
    """A decoder that starts from what a Linear makes, or from what it is given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = (nn.GRU(4, 8, batch_first=True) for _ in range(2))
        self.bridge, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.double().eval()

    def forward(self, x: Tensor, start: Any = None) -> Any:
        start = self.bridge(self.encoder(x)[1]) if start is None else start
        return self.head(self.decoder(x, start)[0])


def test_a_state_that_is_computed() -> None:
    model, start = Context(), torch.randn(1, 2, 8).double()
    with pytest.raises(ValueError, match="an initial state that is not 0"):
        tnn.prune(model, GONE, "decoder", example=X)
    encoder = tnn.prune(model, GONE, "encoder", example=X)
    torch.testing.assert_close(encoder(X), tnn.mask(model, GONE, "encoder")(X))
    smaller = tnn.prune(model, GONE, "decoder", example=(X, start), returned="states")
    narrow = tnn.slice_state(model.decoder, start, GONE)
    start[..., GONE] = 0
    torch.testing.assert_close(smaller(X, narrow), tnn.mask(model, GONE, "decoder")(X, start))
