"""What is followed through a model gives what masking gives on other batches and lengths."""

import warnings
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn, overrides
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from tefast.nn import mask, prune
from tefast.nn._trace.fields import Fields
from tefast.nn._trace.flow import Flow
from tefast.nn._trace.watching import watching

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS = {"l0": [1, 4], "l0_reverse": [0, 4, 5]}
WIDTH = 12
INF = float("inf")


class Model(nn.Module):
    """A packed bidirectional GRU, and `read` of its padded output and the lengths."""

    def __init__(self, read) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(3, 6, batch_first=True, bidirectional=True)
        self.fc, self.two = nn.Linear(WIDTH, 4), nn.Linear(2 * WIDTH, 4)
        self.norm, self.act, self.table = nn.LayerNorm(WIDTH), nn.PReLU(), nn.Embedding(9, 3)
        self.weight, self.start = (nn.Parameter(torch.zeros(WIDTH)) for _ in range(2))
        self.read = read
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.7, 0.7)
        self.double().eval()

    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        output, _ = self.rnn(pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False))
        return self.read(self, pad_packed_sequence(output, batch_first=True)[0], n)


def batch(seed: int, count: int, steps: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, steps + 1, (count,), generator=generator)
    lengths[0] = steps
    return torch.randn(count, steps, 3, generator=generator).double(), lengths


def check(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    """Prune on the example; compare on other batches and lengths."""
    pruned, masked = prune(model, UNITS, example=example), mask(model, UNITS)
    for seed, (count, steps) in enumerate([(2, 5), (4, 7), (1, 3), (3, 9), (5, 1)]):
        other = batch(10 + seed, count, steps)
        torch.testing.assert_close(pruned(*other), masked(*other), rtol=1e-10, atol=1e-11)


def valid(o: Tensor, n: Tensor) -> Tensor:
    return (torch.arange(o.shape[1]) < n[:, None])[..., None]


def again(o: Tensor, n: Tensor, value: float) -> Tensor:
    packed = pack_padded_sequence(o, n, batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(packed, batch_first=True, padding_value=value)[0]


def listed(o: Tensor, n: Tensor, value: float) -> Tensor:
    each = [one[:k] for one, k in zip(o, n.tolist(), strict=True)]
    return pad_sequence(each, batch_first=True, padding_value=value)


def by_hand(o: Tensor, n: Tensor, value: float) -> Tensor:
    out = torch.full_like(o, value)
    for number, k in enumerate(n.tolist()):
        out[number, :k] = o[number, :k]
    return out


def step_by_step(o: Tensor, out: Tensor) -> Tensor:
    for step in range(o.shape[1]):
        out[:, step] = o[:, step]
    return out


def put(o: Tensor, where, value) -> Tensor:  # type: ignore[no-untyped-def]
    o = o.clone()
    o[where] = value
    return o


def shifted(o: Tensor, first: Tensor) -> Tensor:
    return torch.cat([first, o[:, :-1]], 1)


def summed(o: Tensor, total: Tensor) -> Tensor:
    for one in o.unbind(1):
        total += one
    return total


def last(o: Tensor, n: Tensor) -> Tensor:
    return (n - 1)[:, None, None].expand(-1, 1, o.shape[2])


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that TorchScript is deprecated, which models still use
    scripted = torch.jit.script(swish)


FOLLOWED = {
    # moves over steps
    "assigned": lambda m, o, n: m.fc(step_by_step(o, torch.zeros_like(o))),
    "assigned to empty memory": lambda m, o, n: m.fc(
        step_by_step(o.sigmoid(), torch.empty(o.shape, dtype=o.dtype))
    ),
    "copy_": lambda m, o, n: m.fc(torch.empty_like(o).copy_(o)),
    "padded by hand": lambda m, o, n: m.fc(by_hand(o, n, 0.0)),
    "F.pad": lambda m, o, n: m.fc(F.pad(o, (0, 0, 0, 2))),
    "F.pad before": lambda m, o, n: m.fc(F.pad(o, (0, 0, 1, 0))[:, :-1]),
    "F.pad, max": lambda m, o, n: m.fc(F.pad(o, (0, 0, 0, 2), value=-1024).max(1)[0]),
    "pad_sequence": lambda m, o, n: m.fc(listed(o, n, 0.0)),
    "index_fill": lambda m, o, n: m.fc(o.index_fill(1, torch.tensor([0]), 0)),
    "index_copy": lambda m, o, n: m.fc(
        torch.zeros_like(o).index_copy(1, torch.tensor([0]), o[:, :1])
    ),
    "index_put": lambda m, o, n: m.fc(
        torch.zeros_like(o).index_put((torch.arange(len(o)), n - 1), o[:, 0])
    ),
    "scatter": lambda m, o, n: m.fc(torch.zeros_like(o).scatter(1, last(o, n), o[:, :1])),
    "gather": lambda m, o, n: m.fc(o.gather(1, last(o, n))),
    "take_along_dim": lambda m, o, n: m.fc(torch.take_along_dim(o, last(o, n)[..., :1], 1)),
    "shifted": lambda m, o, n: m.fc(shifted(o, torch.zeros_like(o[:, :1]))),
    "new_zeros": lambda m, o, n: m.fc(torch.cat([o.new_zeros(len(o), 1, o.shape[2]), o], 1)),
    "rolled": lambda m, o, n: m.fc(o.roll(1, 1).flip(1).tile(1, 2, 1).repeat_interleave(2, 1)),
    "one vector": lambda m, o, n: m.fc(o[0, 0]),
    "vectors one by one": lambda m, o, n: torch.stack([m.fc(m.norm(one)) for one in o[:, 0]]),
    "vectors side by side": lambda m, o, n: m.two(torch.cat([o[0, 0].relu(), o[-1, 0]])),
    "added at places": lambda m, o, n: m.fc(
        torch.zeros_like(o).index_add(1, torch.arange(o.shape[1]) // 2, o)
    ),
    "added at places, in place": lambda m, o, n: m.fc(
        torch.zeros_like(o[:, :1]).index_add_(1, n[:1] * 0, o[:, :1])
    ),
    "added where an index says": lambda m, o, n: m.fc(
        torch.zeros_like(o).scatter_add(1, last(o, n), o[:, :1])
    ),
    "stretched": lambda m, o, n: m.fc(F.interpolate(o.mT, scale_factor=2, mode="linear").mT),
    "interpolated": lambda m, o, n: m.fc(F.interpolate(o.mT, scale_factor=2).mT),
    # padding and masks under a maximum
    "padded, max": lambda m, o, n: m.fc(again(o, n, -1024.0).max(1)[0]),
    "padded by -inf, max": lambda m, o, n: m.fc(again(o, n, -INF).amax(1)),
    "padded by -inf, sigmoid, max": lambda m, o, n: m.fc(again(o, n, -INF).sigmoid().max(1)[0]),
    "padded by -inf, relu, sum": lambda m, o, n: m.fc(again(o, n, -INF).relu().sum(1)),
    "padded, min": lambda m, o, n: m.fc(again(o, n, 1024.0).amin(1)),
    "pad_sequence, max": lambda m, o, n: m.fc(listed(o, n, -9.0).amax(1)),
    "masked_fill, max": lambda m, o, n: m.fc(o.masked_fill(~valid(o, n), -1e9).max(1)[0]),
    "where, max": lambda m, o, n: m.fc(torch.where(valid(o, n), o, -INF).amax(1)),
    "assigned by a mask, max": lambda m, o, n: m.fc(
        put(o, ~valid(o, n)[..., 0], -1e4).max(dim=1).values
    ),
    "masked_fill, adaptive_max_pool1d": lambda m, o, n: m.fc(
        F.adaptive_max_pool1d(o.masked_fill(~valid(o, n), -1e9).mT, 1)[..., 0]
    ),
    "masked_fill, max_pool1d": lambda m, o, n: m.fc(
        F.max_pool1d(o.masked_fill(~valid(o, n), -1e9).mT, o.shape[1])[..., 0]
    ),
    "shifted, masked_fill, max": lambda m, o, n: m.fc(
        shifted(o, torch.zeros_like(o[:, :1])).masked_fill(~valid(o, n), -1e9).max(1)[0]
    ),
    # sums and means over steps
    "mean of valid": lambda m, o, n: m.fc((o * valid(o, n)).sum(1) / n[:, None]),
    "by expanded lengths": lambda m, o, n: m.fc(o.sum(1) / n[:, None].expand(-1, o.shape[2])),
    "by lengths expanded as": lambda m, o, n: m.fc(o.sum(1) / n[:, None].expand_as(o[:, 0])),
    "summed": lambda m, o, n: m.fc(sum(o.unbind(1))),
    "summed up in place": lambda m, o, n: m.fc(summed(o, torch.zeros_like(o[:, 0]))),
    "mean and deviation": lambda m, o, n: m.two(
        torch.cat([o.mean(1), F.pad(o, (0, 0, 1, 1)).std(1)], 1)
    ),
    "sigmoid, mean": lambda m, o, n: m.fc(o.sigmoid().mean(1)),
    "sigmoid, adaptive_avg_pool1d": lambda m, o, n: m.fc(
        F.adaptive_avg_pool1d(o.sigmoid().mT, 1).mT
    ),
    "lp_pool1d": lambda m, o, n: m.fc(F.lp_pool1d(o.mT, 2, 1).mT),
    "norm, mean": lambda m, o, n: m.fc(m.norm(o).mean(1)),
    "cumsum": lambda m, o, n: m.fc(o.cumsum(1)),
    "cummax": lambda m, o, n: m.fc(o.sigmoid().cummax(1)[0]),
    "sorted": lambda m, o, n: m.fc(o.sort(1)[0][:, -1] + o.topk(1, 1)[0][:, 0] + o.median(1)[0]),
    # sums over units, to which masked ones add nothing
    "sum of squares": lambda m, o, n: o.square().sum(-1),
    "products with the first": lambda m, o, n: (o * o[:, :1]).sum(-1).softmax(-1),
    "einsum": lambda m, o, n: torch.einsum("btd,bsd->bts", o, o),
    "distances": lambda m, o, n: torch.cdist(o, o),
    "distances of many": lambda m, o, n: torch.cdist(
        *[o.tile(1, 9, 1)] * 2, compute_mode="donot_use_mm_for_euclid_dist"
    ),
    "vector products": lambda m, o, n: torch.stack([one @ one[0] for one in o])[..., :1],
    "normalize": lambda m, o, n: m.fc(F.normalize(o, dim=-1)),
    "cosine_similarity": lambda m, o, n: F.cosine_similarity(o, o[:, :1].expand_as(o), -1),
    "all equal": lambda m, o, n: m.fc(o) if bool((o == o).all()) else m.fc(-o),
    # of each entry
    "an activation in TorchScript": lambda m, o, n: m.fc(scripted(o)),
    "prelu": lambda m, o, n: m.fc(m.act(o)),
    "rrelu": lambda m, o, n: m.fc(F.rrelu(o)),
    "logsigmoid": lambda m, o, n: m.fc(F.logsigmoid(o)),
    "threshold": lambda m, o, n: m.fc(F.threshold(o, 0.1, 20.0)),
    "plus a number, in place": lambda m, o, n: m.fc(o.add_(1)),
    "by its own mask": lambda m, o, n: m.fc(o * (o > 0) + o.masked_fill(o < 0, 0)),
    "where of itself": lambda m, o, n: m.fc(torch.where(o > 0.1, o, o * 0.1)),
    "its own maximum": lambda m, o, n: m.fc(torch.max(o, o * 2) + torch.minimum(o, -o)),
    "to another dtype": lambda m, o, n: m.fc(o.half().double()) * 0 + m.fc(o),
}


@pytest.mark.parametrize("unequal", [True, False], ids=["unequal", "equal"])
@pytest.mark.parametrize("name", FOLLOWED)
def test_removed_equals_masked_on_other_batches_and_lengths(name: str, unequal: bool) -> None:
    x, n = batch(1, 3, 5)
    check(Model(FOLLOWED[name]), (x, n if unequal else torch.full_like(n, 5)))


def out_of_nothing(m: nn.Module, o: Tensor, n: Tensor) -> Tensor:
    o = o.clone()
    for number, k in enumerate(n.tolist()):
        o[number, k:] = 1.0
    return m.fc(o)


def caught(m: nn.Module, o: Tensor, n: Tensor) -> Tensor:
    try:
        return m.fc(o.softmax(-1))
    except ValueError:
        return m.fc(o)


# Near neighbours of the above, and what is said about them.
REFUSED = {
    "assigned after sigmoid": (
        lambda m, o, n: m.fc(step_by_step(o.sigmoid(), torch.zeros_like(o))),
        r"steps that may hold 0 \(padding, .* where a masked unit gives 0.5 in 'fc'",
    ),
    "padded by hand with -1": (
        lambda m, o, n: m.fc(by_hand(o, n, -1.0)),
        "differs from step to step|steps that may hold -1",
    ),
    "padded by hand, max": (
        lambda m, o, n: m.fc(by_hand(o, n, -1024.0).max(1)[0]),
        "'max' over (steps, some of which may hold -1024|a part of the steps)",
    ),
    "written where there is room": (out_of_nothing, "into no entries at all|may hold 1"),
    "first step set to 1": (lambda m, o, n: m.fc(put(o, (slice(None), 0), 1.0)), "may hold 1"),
    "F.pad with 1": (lambda m, o, n: m.fc(F.pad(o, (0, 0, 0, 2), value=1.0)), "may hold 1"),
    "F.pad of nothing": (lambda m, o, n: m.fc(F.pad(o, (0, 0, 0, 0), value=-5.0)), "may hold -5"),
    "F.pad, mean": (
        lambda m, o, n: m.fc(F.pad(o, (0, 0, 0, 2), value=-5.0).mean(1)),
        "'mean' over steps, some of which may hold -5",
    ),
    "index_fill with 1": (
        lambda m, o, n: m.fc(o.index_fill(1, torch.tensor([0]), 1)),
        "may hold 1",
    ),
    "scatter of a number": (
        lambda m, o, n: m.fc(o.scatter(1, last(o, n), 1.0)),
        "may hold 1",
    ),
    "index by units": (lambda m, o, n: m.fc(o.gather(1, o.argmax(1, keepdim=True))), "'argmax'"),
    "shifted, with ones": (
        lambda m, o, n: m.fc(shifted(o, torch.ones_like(o[:, :1]))),
        "differs from step to step",
    ),
    "shifted, with a parameter": (
        lambda m, o, n: m.fc(shifted(o, m.start.expand(len(o), 1, -1))),
        "a unit's output at some steps alone",
    ),
    "padded, mean": (
        lambda m, o, n: m.fc(again(o, n, -1024.0).mean(1)),
        "'mean' over steps, some of which may hold -1024",
    ),
    "padded with -1": (lambda m, o, n: m.fc(again(o, n, -1.0)), "may hold -1"),
    "padded by -inf, exp, mean": (lambda m, o, n: m.fc(again(o, n, -INF).exp().mean(1)), "hold 0"),
    "padded by -inf, tanh": (lambda m, o, n: m.fc(again(o, n, -INF).tanh()), "may hold -1"),
    "padded with 1024, max": (
        lambda m, o, n: m.fc(again(o, n, 1024.0).max(1)[0]),
        "'max' over steps, some of which may hold 1024",
    ),
    "padded, max of some": (
        lambda m, o, n: m.fc(again(o, n, -1024.0)[:, 1:].max(1)[0]),
        "'max' over a part of the steps",
    ),
    "padded, max_pool1d of some": (
        lambda m, o, n: m.fc(F.max_pool1d(again(o, n, -1024.0).mT, 2).amax(2)),
        "'max_pool1d' over a part of the steps",
    ),
    "masked_fill, read": (
        lambda m, o, n: m.fc(o.masked_fill(~valid(o, n), -1.0)),
        "may hold -1",
    ),
    "masked_fill, min": (
        lambda m, o, n: m.fc(o.masked_fill(~valid(o, n), -1e9).amin(1)),
        r"'amin' over steps, some of which may hold -1e\+09",
    ),
    "masked_fill, max over sequences": (
        lambda m, o, n: m.fc(o.masked_fill(~valid(o, n), -1e9).max(0)[0]),
        "'max' over a part of the steps",
    ),
    "masked_fill of sequences, max": (
        lambda m, o, n: m.fc(o.masked_fill((n > 3)[:, None, None], -1e9).max(1)[0]),
        "'max' over a part of the steps",
    ),
    "masked_fill with data": (
        lambda m, o, n: m.fc(o.masked_fill(~valid(o, n), n.double().mean()).max(1)[0]),
        "'masked_fill' with another tensor",
    ),
    "masked_fill by a mask of units": (
        lambda m, o, n: m.fc(o.masked_fill(m.weight > 0, 0)),
        "as wide as the layer",
    ),
    "sigmoid, sum of valid": (
        lambda m, o, n: m.fc((o.sigmoid() * valid(o, n)).sum(1)),
        "'mul' with another tensor, after which a masked unit is not 0",
    ),
    "plus lengths": (lambda m, o, n: m.fc(o + n[:, None, None]), "'add' with another tensor"),
    "sigmoid, avg_pool1d with zeros": (
        lambda m, o, n: m.fc(F.avg_pool1d(o.sigmoid().mT, 3, 1, 1).mT),
        "'avg_pool1d' over steps padded with 0, where a masked unit is not 0",
    ),
    "sigmoid, sum": (
        lambda m, o, n: m.fc(o.sigmoid().sum(1)),
        "'sum' over steps, where a masked unit is not 0",
    ),
    "logsumexp": (lambda m, o, n: m.fc(o.logsumexp(1)), "depends on how many they are"),
    "norm, sum": (lambda m, o, n: m.fc(m.norm(o).sum(1)), "'sum' on what a LayerNorm gives"),
    "norm, padded": (lambda m, o, n: m.fc(again(m.norm(o), n, 0.0)), "padding of what a LayerNorm"),
    "places of maxima": (lambda m, o, n: m.fc(o.max(1)[1].double()), "not finite when masked"),
    "rows of a table": (lambda m, o, n: m.table(o.long()), "'embedding'"),
    "mean over units": (lambda m, o, n: o.mean(-1), "'mean' over the units, which depends"),
    "max over units": (lambda m, o, n: o.max(-1)[0], "'max' over the units, .* not -inf"),
    "sum over units after sigmoid": (lambda m, o, n: o.sigmoid().sum(-1), "masked one is not 0"),
    "norm over units, moved": (lambda m, o, n: (o + 1).norm(dim=-1), "masked one is not 0"),
    "deviation over units": (lambda m, o, n: o.std(-1), "'std' over the units"),
    "cumsum over units": (lambda m, o, n: m.fc(o.cumsum(-1)), "'cumsum' over the units"),
    "weighted sum over units": (lambda m, o, n: (o * m.weight).sum(-1), "as wide as the layer"),
    "softmax": (lambda m, o, n: m.fc(o.softmax(1)), "the operation 'softmax'"),
    "caught": (caught, "the operation 'softmax'"),
    "distances from others": (
        lambda m, o, n: torch.cdist(o, m.weight[None]),
        "'cdist' from a tensor as wide as the layer",
    ),
    "distances after sigmoid": (
        lambda m, o, n: torch.cdist(o.sigmoid(), o.sigmoid()),
        "'cdist' of what is not 0",
    ),
    "distances of many": (
        lambda m, o, n: torch.cdist(*[o.tile(1, 9, 1)] * 2),
        "'cdist' of more than 25 rows, .* smaller example",
    ),
    "added at places, over units": (
        lambda m, o, n: torch.zeros_like(o).index_add(2, torch.arange(WIDTH), o),
        "'index_add' over the units",
    ),
    "added to others": (
        lambda m, o, n: m.fc(m.weight.expand(o.shape).index_add(1, torch.tensor([0]), o[:, :1])),
        "'index_add' with a tensor as wide as the layer",
    ),
    "sigmoid, added at places": (
        lambda m, o, n: m.fc(
            torch.zeros_like(o).index_add(1, torch.tensor([0]), o.sigmoid()[:, :1])
        ),
        "'index_add' of what is not 0",
    ),
    "a matrix of weights": (
        lambda m, o, n: torch.stack([o @ m.weight] * 2),
        r"with the parameter 'weight' \(hold it in an nn.Linear",
    ),
    "weights of a module": (
        lambda m, o, n: F.linear(o, m.fc.weight),
        r"with 'fc.weight' \(call 'fc' instead\)",
    ),
    "stretched over units": (
        lambda m, o, n: F.interpolate(o, WIDTH, mode="linear"),
        "'interpolate' over the units",
    ),
    "products of units": (lambda m, o, n: (o.mT @ o).sum((1, 2)), "of different units"),
    "residual": (lambda m, o, n: m.fc(o + m.weight), r"as wide as the layer \(a residual\?\)"),
    "dropout that is always on": (
        lambda m, o, n: m.fc(F.dropout(o, 0.5)),
        "'dropout' with a tensor as wide as the layer",
    ),
    "out=": (
        lambda m, o, n: m.fc(torch.add(o, 1, out=torch.empty_like(o))),
        "the in-place operation 'add'",
    ),
    "bits": (lambda m, o, n: m.fc(o.view(torch.int64).double()), "a view of another dtype or sign"),
    "NumPy": (lambda m, o, n: m.fc(torch.as_tensor(o.detach().numpy())), "'numpy', after which"),
    "a list": (lambda m, o, n: m.fc(torch.tensor(o.tolist()).double()), "'tolist', after which"),
    "a number": (lambda m, o, n: m.fc(o) * o[0, 0, 0].item(), "'item', after which"),
}


@pytest.mark.parametrize("unequal", [True, False], ids=["unequal", "equal"])
@pytest.mark.parametrize("name", REFUSED)
def test_near_neighbours_are_refused(name: str, unequal: bool) -> None:
    read, message = REFUSED[name]
    x, n = batch(1, 3, 5)
    with pytest.raises(ValueError, match=message):
        prune(Model(read), UNITS, example=(x, n if unequal else torch.full_like(n, 5)))


def followed(function, x: Tensor):  # type: ignore[no-untyped-def]
    """What is known of a function of outputs whose last axis are the units."""

    def refuse(reason: str, partner: Tensor | None) -> None:
        raise ValueError(reason)

    flow, x = Flow(x.shape[-1], refuse), x.clone()  # type: ignore[arg-type]
    labels, zeros = torch.arange(x.shape[-1]).expand(x.shape), torch.zeros(x.shape).double()
    with torch.no_grad():
        flow.follow(x, Fields(labels, zeros, zeros, torch.full(x.shape, -1)))
        with watching(flow):
            result = function(x)
        return flow.of(result)


def acts_on_each_entry(function, x: Tensor) -> bool:  # type: ignore[no-untyped-def]
    """Found out by changing entries, one at a time."""
    try:
        before = function(x.clone())
        if before.shape != x.shape or not before.is_floating_point():
            return False
        if not torch.equal(before, function(x.clone())):
            return False
    except Exception:
        return False
    for place in ((0, 0, 0), (1, 3, 4), (0, 4, 5)):
        changed = x.clone()
        changed[place] = 0.47
        other = (function(changed) != before) & ~before.isnan()
        other[place] = False
        if other.any():
            return False
    return True


# They give a constant; or their result depends on where an entry is, or what it is stored as.
NOT_EACH_ENTRY = {"zeros_like", "ones_like", "zero_", "tril", "triu", "tril_", "triu_"}
NOT_EACH_ENTRY |= {"dequantize", "share_memory_", "empty_like", "_neg_view"}
NOT_EACH_ENTRY |= {"_neg_view_copy", "neg_view_copy"}


@pytest.mark.filterwarnings("ignore")
def test_every_function_of_single_entries_that_pytorch_has() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 5, 6, dtype=torch.float64) * 0.8 + 0.1
    found = set()
    for function in overrides.get_testing_overrides():
        bare = getattr(function, "__name__", "")
        if bare in NOT_EACH_ENTRY or not acts_on_each_entry(function, x):
            continue
        name = overrides.resolve_name(function) or bare
        known = followed(function, x)
        expected = function(torch.zeros_like(x))
        assert torch.equal(known.labels, torch.arange(6).expand(x.shape)), name
        assert torch.equal(known.masked.nan_to_num(), expected.nan_to_num()), name
        found.add(name)
    assert len(found) > 240
    assert {"torch.nn.functional.logsigmoid", "torch.special.expit", "torch.arctan"} <= found
    assert {"torch.Tensor.absolute_", "torch.nn.functional.relu6", "torch.rrelu"} <= found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", nn.modules.activation.__all__)
def test_every_activation_that_pytorch_has(kind: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 5, 6, dtype=torch.float64) * 0.8 + 0.1
    try:
        module = getattr(nn, kind)(**({"threshold": 0.1, "value": 20.0} if "Thres" in kind else {}))
    except TypeError:
        assert kind == "MultiheadAttention"
        return
    module = module.double().eval()
    if acts_on_each_entry(module, x):
        known = followed(module, x)
        assert torch.equal(known.masked, module(torch.zeros_like(x)).detach())
    else:
        with pytest.raises(ValueError, match=r"the operation '(glu|softmin|softmax|log_softmax)'"):
            followed(module, x)


REDUCTIONS = ["sum", "mean", "amax", "amin", "max", "min", "prod", "median", "std", "var", "any"]
REDUCTIONS += ["all", "nansum", "norm", "count_nonzero"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_axes_by_any_name(name: str) -> None:
    x = torch.rand(2, 5, 6, dtype=torch.float64)
    forms = [
        lambda y, **where: getattr(y, name)(**where),
        lambda y, **where: getattr(torch, name)(y, **where),
    ]
    tried = 0
    for form in forms:
        for where in ({"dim": 1}, {"axis": 1}, {"dim": -2}, {"dim": (1,)}):
            try:
                result = form(x, **where)
            except TypeError:
                continue
            tried += 1
            known = followed(lambda y, f=form, w=where: _first(f(y, **w)), x)
            assert known.labels.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
            expected = _first(form(torch.zeros_like(x), **where)).double()
            assert torch.equal(known.masked, expected), (name, where)
            assert _first(result).shape == known.labels.shape
    assert tried >= 4


def _first(result):  # type: ignore[no-untyped-def]
    return result if isinstance(result, Tensor) else result[0]


PIECES = {
    "relu": lambda o, n: o.relu(),
    "sigmoid": lambda o, n: o.sigmoid(),
    "less": lambda o, n: o - 0.3,
    "squared": lambda o, n: o * o,
    "mask": lambda o, n: o * valid(o, n),
    "fill": lambda o, n: o.masked_fill(~valid(o, n), -5.0),
    "where": lambda o, n: torch.where(valid(o, n), o, 0.0),
    "pad": lambda o, n: F.pad(o, (0, 0, 0, 1)),
    "pad low": lambda o, n: F.pad(o, (0, 0, 0, 1), value=-7.0),
    "shift": lambda o, n: shifted(o, torch.zeros_like(o[:, :1])),
    "flip": lambda o, n: o.flip(1),
    "cumsum": lambda o, n: o.cumsum(1),
    "assign": lambda o, n: step_by_step(o, torch.zeros_like(o)),
    "by hand": lambda o, n: by_hand(o[:, : n.max()], n, 0.0),
    "low by hand": lambda o, n: by_hand(o[:, : n.max()], n, -3.0),
    "repacked": lambda o, n: again(o, n, 0.0),
    "repacked low": lambda o, n: again(o, n, -9.0),
    "normalize": lambda o, n: F.normalize(o, dim=-1),
    "scale": lambda o, n: o / (1 + n[:, None, None]),
}
ENDS = {
    "steps": lambda m, o: m.fc(o),
    "last": lambda m, o: m.fc(o[:, -1]),
    "max": lambda m, o: m.fc(o.max(1)[0]),
    "mean": lambda m, o: m.fc(o.mean(1)),
    "sum": lambda m, o: m.fc(o.sum(1)),
    "norm": lambda m, o: m.fc(m.norm(o)),
    "products": lambda m, o: (o * o[:, :1]).sum(-1),
    "min": lambda m, o: m.fc(o.amin(1)),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(PIECES)), min_size=1, max_size=4),
    st.sampled_from(sorted(ENDS)),
    st.booleans(),
)
def test_chains_are_refused_or_exact(pieces: list[str], end: str, unequal: bool) -> None:
    def read(m: nn.Module, o: Tensor, n: Tensor) -> Tensor:
        for piece in pieces:
            o = PIECES[piece](o, n if n.max() <= o.shape[1] else n.clamp(max=o.shape[1]))
        return ENDS[end](m, o)

    x, n = batch(1, 3, 5)
    # Refused by name, or checked; the test fails on anything else that is raised.
    with suppress(ValueError):
        check(Model(read), (x, n if unequal else torch.full_like(n, 5)))


def test_sequences_of_one_step_are_tried_where_the_example_is_longer() -> None:
    """The last step of a sequence is its first one too, and there a shift leaves zeros."""

    def read(m: nn.Module, o: Tensor, n: Tensor) -> Tensor:
        return m.fc(PIECES["shift"](o - 0.3, n)[:, -1])

    x, n = batch(1, 3, 5)
    for lengths in (n, torch.full_like(n, 5)):
        with pytest.raises(ValueError, match="does not give on the first step of the example"):
            prune(Model(read), UNITS, example=(x, lengths))
    plain = Model(lambda m, o, n: m.fc(PIECES["shift"](o, n)[:, -1]))
    check(plain, (x, n))


def test_sequences_of_one_step_are_tried_with_a_cell_too() -> None:
    """A cell is called step by step, so the steps are those of the example."""

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.fc = nn.GRUCell(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h, found = x.new_zeros(len(x), self.rnn.hidden_size), []
            for step in x.unbind(1):
                h = self.rnn(step, h)
                found.append(h.exp())
            o = torch.stack(found, 1)
            return self.fc(torch.cat([torch.zeros_like(o[:, :1]), o[:, :-1]], 1)[:, -1])

    with pytest.raises(ValueError, match="does not give on the first step of the example"):
        prune(Steps(), [0, 1], example=torch.randn(2, 5, 3))


def test_an_example_of_few_steps_is_tried_with_twice_as_many() -> None:
    """What pooling leaves of three steps is one, which does not show that steps differ."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.fc = nn.GRU(3, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            o, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
            o = F.avg_pool1d(o.mT, 2).mT.sigmoid()
            for step in o.unbind(1)[::2]:
                step.mul_(2.0)
            return self.fc(o)

    x, lengths = torch.randn(2, 3, 3), torch.tensor([3, 3])
    with pytest.raises(ValueError, match="cannot be narrowed exactly"):
        prune(Pooled(), [0, 1], example=(x, lengths))


FIRST_STEP_WRITTEN = {
    "index_fill": lambda o: o.index_fill(1, torch.tensor([0]), 0.0),
    "scatter": lambda o: o.scatter(1, torch.zeros_like(o[:, :1], dtype=torch.int64), 0.0),
    "index_put": lambda o: o.index_put(
        (torch.arange(len(o)), torch.tensor([0])), torch.zeros((), dtype=torch.float64)
    ),
    "index_copy": lambda o: o.index_copy(1, torch.tensor([0]), torch.zeros_like(o[:, :1])),
    "assigned": lambda o: put(o, (slice(None), 0), 0.0),
    "assigned by an index": lambda o: put(o, (slice(None), torch.tensor([0])), 0.0),
}


@pytest.mark.parametrize("name", FIRST_STEP_WRITTEN)
@pytest.mark.parametrize("after", [lambda o: o, lambda o: o.clone().mul_(0.5).tanh_()])
def test_a_step_that_was_written_may_be_the_one_that_is_read(name, after):
    """No sequence of the example ends at its first step, which alone holds another value."""

    def read(m, o, n):
        written = after(FIRST_STEP_WRITTEN[name](o.exp()))
        return m.fc(written[torch.arange(len(n)), n - 1])

    x, _ = batch(0, 3, 3)
    with pytest.raises(ValueError, match=r"may hold 0|differs from step to step"):
        prune(Model(read), UNITS, example=(x, torch.tensor([3, 3, 2])))


@pytest.mark.parametrize("steps", [3, 5])
@pytest.mark.parametrize(
    "meet", [torch.sub, torch.add, torch.mul, torch.maximum, lambda a, b: a.clone().sub_(b)]
)
def test_two_parts_of_what_was_written_are_not_padded_alike(meet, steps):
    """Of a cell's outputs no step is known, so two parts of them may be written elsewhere."""

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.fc = nn.GRUCell(3, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h, found = None, []
            for step in x.unbind(1):
                h = self.rnn(step, h)
                found.append(h)
            o = torch.stack(found, 1)
            written = put(torch.ones_like(o), (slice(None), slice(1, None)), o[:, 1:])
            # Of sequences of two steps, the last of these is the one with the step that was not
            # written.
            return self.fc(meet(written[:, 1:], written[:, :-1])[:, -1])

    with pytest.raises(ValueError, match="padded or masked in two ways"):
        prune(Steps(), [0, 1], example=torch.randn(2, steps, 3))
