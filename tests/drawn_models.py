"""Models drawn at random for `fuzz_removal`, right and wrong ones."""

import collections
import dataclasses
import functools
import random
import warnings

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

F = nn.functional
INPUTS, CLASSES = 3, 3
CELLS = {"LSTMCell": nn.LSTMCell, "GRUCell": nn.GRUCell, "RNNCell": nn.RNNCell}

# Between the layer and its reader; those with a "!" should not survive, unless they do nothing.
BETWEEN = {
    "tanh": lambda m, o: torch.tanh(o),
    "relu": lambda m, o: o.relu(),
    "sigmoid": lambda m, o: torch.sigmoid(o),
    "elu": lambda m, o: F.elu(o),
    "exp": lambda m, o: o.exp(),
    "leaky": lambda m, o: F.leaky_relu(o, 0.2),
    "affine": lambda m, o: 2 * o - 0.5,
    "power": lambda m, o: o**2,
    "dropout": lambda m, o: F.dropout(o, 0.5, m.training),
    "norm": lambda m, o: m.norm(o),
    "batch norm": lambda m, o: m.batch_norm(o.transpose(1, 2)).transpose(1, 2),
    "gate": lambda m, o: o * torch.sigmoid(m.score(o)),
    "turn": lambda m, o: o.flip(1),
    "late": lambda m, o: o[:, 1:],
    "twice": lambda m, o: torch.cat([o, o], 1),
    "halves": lambda m, o: torch.cat(o.chunk(2, -1), -1),
    "clone": lambda m, o: o.clone().contiguous(),
    "cast": lambda m, o: o.float().to(o.dtype),
    "steps": lambda m, o: torch.stack(list(o.unbind(1)), 1),
    "view": lambda m, o: o.reshape(-1, o.shape[-1]).view(o.shape),
    "zeros": lambda m, o: o + torch.zeros_like(o[..., :1]),
    "clamp": lambda m, o: o.clamp(-0.5, 0.5),
    "half cast": lambda m, o: o.half().to(o.dtype),
    "mask": lambda m, o: o * m.valid(o),
    "masked_fill": lambda m, o: o.masked_fill(~m.valid(o), 0),
    "where": lambda m, o: torch.where(m.valid(o), o, torch.zeros((), dtype=o.dtype)),
    "filled": lambda m, o: o.masked_fill(~m.valid(o), m.plan["padding"]),
    "where filled": lambda m, o: torch.where(m.valid(o), o, m.plan["padding"]),
    "multiplied": lambda m, o: o * m.valid(o) + (~m.valid(o)) * -1e4,
    "written": lambda m, o: written(torch.zeros_like(o), o, slice(None)),
    "some written": lambda m, o: written(torch.zeros_like(o), o, slice(1, None)),
    "written on ones": lambda m, o: written(torch.ones_like(o), o, slice(1, None)),
    "overwritten": lambda m, o: overwritten(o, 0.0),
    "overwritten by one": lambda m, o: overwritten(o, 1.0),
    "in place": lambda m, o: o.clone().mul_(0.5).tanh_(),
    "step in place": lambda m, o: step_in_place(o),
    "pad": lambda m, o: F.pad(o, (0, 0, 1, 0)),
    "pad by one": lambda m, o: F.pad(o, (0, 0, 1, 1), value=1.0),
    "filled step": lambda m, o: o.index_fill(1, torch.tensor([0]), 0.0),
    "shift": lambda m, o: torch.cat([torch.zeros_like(o[:, :1]), o[:, :-1]], 1),
    "difference": lambda m, o: o[:, 1:] - o[:, :-1],
    "cumsum": lambda m, o: o.cumsum(1),
    "sort": lambda m, o: o.sort(1)[0],
    "softsign": lambda m, o: o / (1 + o.abs()),
    "positive": lambda m, o: o * (o > 0),
    "sign": lambda m, o: o.sign(),
    "round": lambda m, o: (4 * o).round() / 4,
    "maximum": lambda m, o: torch.maximum(o, o.tanh() * 0.5),
    "floor": lambda m, o: torch.maximum(o, torch.full_like(o, -0.1)),
    "self": lambda m, o: torch.addcmul(o, o, o.sigmoid()),
    "lerp": lambda m, o: torch.lerp(o, o.tanh(), 0.3),
    "pairs": lambda m, o: o.unfold(1, 2, 1).mean(-1),
    "smooth": lambda m, o: F.avg_pool1d(o.mT, 2).mT,
    "embedded": lambda m, o: torch.cat([o, m.x[:, : o.shape[1]]], -1)[..., : o.shape[-1]],
    "normal": lambda m, o: (o - o.mean(1, keepdim=True)) / (o.std(1, keepdim=True) + 0.1),
    "gathered": lambda m, o: o.gather(1, torch.zeros(o.shape, dtype=torch.int64)),
    "no nan": lambda m, o: o.nan_to_num(),
    "logsumexp": lambda m, o: o.logsumexp(1, keepdim=True),
    "!directions": lambda m, o: torch.cat([sum(o.chunk(2, -1))] * 2, -1),
    "!size": lambda m, o: o / o.size(-1) ** 0.5,
    "!shape": lambda m, o: o * (o.shape[-1] / 4),
    "!hidden_size": lambda m, o: o * m.width() ** -0.5,
    "!clamp": lambda m, o: o.clamp(max=o.size(-1) / 16),
    "!numel": lambda m, o: o / o.numel(),
    "!residual": lambda m, o: o + m.other.expand(o.shape[-1]) if m.odd else o + o.roll(1, -1),
    "!softmax": lambda m, o: o.softmax(-1),
    "!noise": lambda m, o: F.dropout(o, 0.5, True),
    "!randn": lambda m, o: o * torch.randn(o.shape[0], 1, o.shape[-1], dtype=o.dtype),
    "!mean": lambda m, o: o - o.mean(-1, keepdim=True),
    "!weights": lambda m, o: o * m.fc.weight.abs().sum(),
    "!recurrent": lambda m, o: o * next(m.rnn.parameters()).square().mean(),
    "!parameters": lambda m, o: o / sum(p.numel() for p in m.parameters()),
    "!norm": lambda m, o: o / (1 + torch.linalg.vector_norm(o, dim=-1, keepdim=True)),
    "!layer norm": lambda m, o: F.layer_norm(o, o.shape[-1:]),
    "!buffer": lambda m, o: o * m.wide[: o.shape[-1]],
    "!in_features": lambda m, o: o / m.fc.in_features,
    "!cumsum": lambda m, o: o.cumsum(-1),
    "!sort": lambda m, o: o.sort(-1)[0],
    "!arange": lambda m, o: o * torch.arange(o.shape[-1]),
    "!first": lambda m, o: o - o[..., :1],
    "!script": lambda m, o: scripted(o),
}


def written(buffer, o, steps):
    buffer[:, steps] = o[:, steps]
    return buffer


def overwritten(o, value):
    o = o.clone()
    o[:, 0] = value
    return o


def step_in_place(o):
    o = o.clone()
    for step in o.unbind(1)[::2]:
        step.mul_(2.0)
    return o


def shared_out(x):
    """As wide as what it gets."""
    return x / float(x.size(-1))


@functools.cache
def script():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(shared_out)


def scripted(x):
    """What a scripted function does is seen by nobody."""
    return script()(x)


def attend(m, o, scale):
    weights = (o @ o.transpose(1, 2) * scale).softmax(-1)
    return m.fc(weights @ o)


def kernel(m, o, scale):
    """Similar to the last step: numbers that only become flags."""
    near = (o * o[:, -1:]).sum(-1, keepdim=True) * scale if m.odd else o @ o[:, -1:].mT * scale
    return m.fc(o) * (near > 0.1)


# What reads the outputs (n, T, U) and gives (n, T', C).
READERS = {
    "each": lambda m, o: m.fc(o),
    "last": lambda m, o: m.fc(o[:, -1:]),
    "mean": lambda m, o: m.fc(o.mean(1, keepdim=True)),
    "max": lambda m, o: m.fc(o.max(1, keepdim=True)[0]),
    "amax": lambda m, o: m.fc(o.amax(1))[:, None],
    "sum": lambda m, o: m.fc(o.sum(1))[:, None],
    "pool": lambda m, o: m.fc(F.adaptive_avg_pool1d(o.mT, 1).mT),
    "attention": lambda m, o: m.fc((m.score(o).softmax(1) * o).sum(1, keepdim=True)),
    "dot": lambda m, o: attend(m, o, 1.0),
    "dot, fixed": lambda m, o: attend(m, o, 0.5),
    "several": lambda m, o: m.fc(o) + m.fc2(o.tanh()),
    "rnn": lambda m, o: m.fc3(m.next(o)[0]),
    "cell": lambda m, o: m.fc3(m.step(o[:, 0]))[:, None],
    "heads": lambda m, o: m.fc4(m.heads(o, o, o)[0]),
    "flat": lambda m, o: m.fc(o.reshape(-1, o.shape[-1])).view(*o.shape[:2], -1),
    "flags": lambda m, o: kernel(m, o, 1.0),
    "valid mean": lambda m, o: m.fc((o * m.valid(o)).sum(1) / m.valid(o).sum(1).clamp(1))[:, None],
    "valid max": lambda m, o: m.fc(o.masked_fill(~m.valid(o), -1e9).max(1)[0])[:, None],
    "ends": lambda m, o: m.fc(o[torch.arange(len(o)), m.valid(o).sum(1)[:, 0] - 1])[:, None],
    "std": lambda m, o: m.fc(o.std(1, keepdim=True)),
    "einsum": lambda m, o: m.fc(
        torch.einsum("nts,nsu->ntu", torch.einsum("ntu,nsu->nts", o, o), o)
    ),
    "norm of steps": lambda m, o: m.fc(torch.linalg.vector_norm(o, dim=1, keepdim=True)),
    "weights": lambda m, o: F.linear(o, m.fc.weight, m.fc.bias),
    "product": lambda m, o: o @ m.fc.weight.T,
    "convolution": lambda m, o: m.conv(o.mT).mT,
    "one by one": lambda m, o: torch.stack([m.fc(one[-1]) for one in o])[:, None],
    "distances": lambda m, o: m.fc(o) + torch.cdist(o, o[:, -1:]),
    "added": lambda m, o: m.fc(
        torch.zeros_like(o[:, :2]).index_add(1, torch.arange(o.shape[1]) % 2, o)
    ),
    "stretched": lambda m, o: m.fc(F.interpolate(o.mT, 7, mode="linear").mT),
    "!one, size": lambda m, o: torch.stack([m.fc(one[-1]) / len(one[-1]) for one in o])[:, None],
    "transposed": lambda m, o: m.up(o.mT).mT,
    "pairs": lambda m, o: m.pair(o, o[:, -1:].expand_as(o)),
    "best step": lambda m, o: (
        m.fc(o.max(1)[0])[:, None] + o.max(1)[1].double().mean(-1)[:, None, None]
    ),
    "!dot, size": lambda m, o: attend(m, o, o.size(-1) ** -0.5),
    "!dot, hidden_size": lambda m, o: attend(m, o, m.width() ** -0.5),
    "!flags": lambda m, o: kernel(m, o, 1 / o.size(-1)),
    "!bias": lambda m, o: m.fc(o) + 1 / o.size(-1),
    "!sdpa": lambda m, o: m.fc(F.scaled_dot_product_attention(o, o, o)),
    "!width": lambda m, o: m.fc(o)[..., : 1 + o.size(-1) % 2],
    "!penalty": lambda m, o: m.fc(o) + m.fc.weight.norm(),
    "!loop": lambda m, o: m.fc(o) + sum(1e-3 for _ in range(o.size(-1))),
    "!full": lambda m, o: m.fc(o) * torch.full_like(m.fc(o), o.size(-1)),
    "!drop": lambda m, o: m.fc(o) * (torch.rand(len(o), 1, 1) < 1 / o.size(-1)),
    "!if": lambda m, o: m.fc(o) * (2 if o.size(-1) > m.most // 2 else 1),
}

# What becomes of the logits (n, T', C).
AFTER = {
    "nothing": lambda m, y: y,
    "log": lambda m, y: y.log_softmax(-1),
    "probabilities": lambda m, y: y.softmax(-1),
    "scaled": lambda m, y: 50 * y + 30000,
    "vast": lambda m, y: y * 1e-4 - 1e6,
    "small": lambda m, y: y * 1e-12,
    "filled": lambda m, y: y.masked_fill(m.legal, -1e4),
    "filled, min": lambda m, y: y.masked_fill(m.legal, torch.finfo(y.dtype).min),
    "filled, inf": lambda m, y: y.masked_fill(m.legal, -torch.inf),
    "filled, nan": lambda m, y: torch.where(m.legal, torch.nan, y),
    "ids": lambda m, y: y.argmax(-1),
    "best": lambda m, y: y.topk(2, -1),
    "flags": lambda m, y: y > 0.1,
    "rounded": lambda m, y: (y * 3).round(),
    "clamped": lambda m, y: y.clamp(0, 0.1),
    # Drawn in the order of memory, which a convolution chooses by the number of its features.
    "noise": lambda m, y: y + torch.randn_like(y.contiguous()),
    "late dropout": lambda m, y: F.dropout(y.contiguous(), 0.5, True),
    "python random": lambda m, y: y * (2 if random.random() < 0.5 else 1),
}

SHAPES = {
    "tensor": lambda y, o: y,
    "tuple": lambda y, o: (y, [y[:1]]),
    "dict": lambda y, o: {"logits": y, "none": None},
    "dataclass": lambda y, o: Answer(y, "label"),
    "object": lambda y, o: Plain(y),
    "named": lambda y, o: Named(y, 1),
    "list": lambda y, o: [y.tolist()] if isinstance(y, torch.Tensor) else list(y),
    "numpy": lambda y, o: y.numpy() if isinstance(y, torch.Tensor) else y,
    "text": lambda y, o: (
        " ".join(map(str, y.long().flatten().tolist()))
        if isinstance(y, torch.Tensor) and y.isfinite().all()
        else y
    ),
    "number": lambda y, o: float(y.double().mean()) if isinstance(y, torch.Tensor) else y,
    "!states": lambda y, o: (y, o),
    "!width": lambda y, o: (y, o.size(-1)),
}

Named = collections.namedtuple("Named", "logits number")


@dataclasses.dataclass
class Answer:
    logits: object
    label: str


class Plain:
    def __init__(self, value):
        self.value = value


class Drawn(nn.Module):
    """A model as it was drawn."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.odd = plan, plan["odd"]
        kind, units = plan["kind"], plan["units"]
        options = {"bias": plan["bias"]}
        if "RNN" in kind:
            options["nonlinearity"] = plan["nonlinearity"]
        if kind in CELLS:
            self.rnn = CELLS[kind](INPUTS, units, **options)
            wide = units
        else:
            if plan["proj"]:
                options["proj_size"] = plan["proj"]
            self.rnn = getattr(nn, kind)(
                INPUTS, units, plan["layers"], batch_first=plan["batch_first"],
                bidirectional=plan["both"], **options,
            )  # fmt: skip
            wide = (plan["proj"] or units) * (1 + plan["both"])
        self.most = wide
        self.embed = nn.Embedding(6, INPUTS) if plan["tokens"] else None
        self.fc, self.score = nn.Linear(wide, CLASSES, plan["reader bias"]), nn.Linear(wide, 1)
        for name, make in {
            "fc2": lambda: nn.Linear(wide, CLASSES),
            "fc3": lambda: nn.Linear(4, CLASSES),
            "fc4": lambda: nn.Linear(wide, CLASSES),
            "norm": lambda: nn.LayerNorm(wide),
            "batch_norm": lambda: nn.BatchNorm1d(wide),
            "next": lambda: nn.GRU(wide, 4, batch_first=True),
            "step": lambda: nn.GRUCell(wide, 4),
            "heads": lambda: nn.MultiheadAttention(wide, 1, batch_first=True),
            "conv": lambda: nn.Conv1d(wide, CLASSES, 1),
            "up": lambda: nn.ConvTranspose1d(wide, CLASSES, 2),
            "pair": lambda: nn.Bilinear(wide, wide, CLASSES),
        }.items():
            if name in needed(plan):
                setattr(self, name, make())
        self.other = nn.Parameter(torch.ones(1))
        self.register_buffer("legal", torch.tensor([False, True, False]))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("wide", torch.linspace(0.5, 1.5, wide))
        self.log, self.seen, self.state, self.last = [], collections.Counter(), None, None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.8, 0.8)
        for name, buffer in self.named_buffers():
            if "running" in name:
                nn.init.uniform_(buffer, 0.5, 1.5)
        for place, hook in plan["hooks"]:
            HOOKS[hook](self.get_submodule(place))

    def valid(self, o):
        """Which steps (n, T, 1) count, by lengths or by the data."""
        steps = torch.arange(o.shape[1])[:, None]
        if self.lengths is not None:
            return steps < self.lengths[:, None, None]
        return (self.x[:, : o.shape[1], :1] > -0.5) | (steps == 0)

    def width(self):
        proj = getattr(self.rnn, "proj_size", 0)
        return proj or self.rnn.hidden_size

    def forward(self, x, lengths=None):
        plan = self.plan
        self.calls += 1
        self.seen["calls"] += 1
        if plan["in place"] and isinstance(x, torch.Tensor) and x.is_floating_point():
            x.mul_(0.5)
        if self.embed is not None:
            x = self.embed(x)
        self.x = x if isinstance(x, torch.Tensor) else pad_packed_sequence(x, True)[0]
        self.lengths = None
        if plan["pack"] and plan["pack"] != "packed":
            self.lengths = torch.as_tensor(lengths.sum(1) if plan["pack"] == "mask" else lengths)
        o = self.outputs(x, lengths)
        for name in plan["between"]:
            o = BETWEEN[name](self, o)
        y = READERS[plan["reader"]](self, o)
        if plan["kept"] and self.last is not None and self.last.shape[0] == len(y):
            y = y + self.fc2(self.last)[:, None]
        if plan["kept"]:
            self.last = o[:, -1].detach()
        self.tap = y.detach()
        self.log.append(float(y.sum()))
        return SHAPES[plan["shape"]](AFTER[plan["after"]](self, y), o)

    def zeros(self, x):
        """Zero states as large as the layer itself says."""
        n = x.shape[0 if self.plan["batch_first"] else 1]
        parts = self.rnn.num_layers * (1 + self.rnn.bidirectional)
        h = torch.zeros(parts, n, self.width(), dtype=x.dtype)
        cells = torch.zeros(parts, n, self.rnn.hidden_size, dtype=x.dtype)
        return (h, cells) if self.plan["kind"] == "LSTM" else h

    def outputs(self, x, lengths):
        """What the layer says, (n, T, U)."""
        plan = self.plan
        if plan["kind"] in CELLS:
            state, each = None, []
            for step in x.unbind(1):
                state = self.rnn(step, state)
                each.append(state[0] if isinstance(state, tuple) else state)
            return torch.stack(each, 1)
        if plan["pack"]:
            if not isinstance(x, PackedSequence):
                if plan["pack"] == "mask":
                    lengths = lengths.sum(1)
                x = x if plan["batch_first"] else x.transpose(0, 1)
                x = pack_padded_sequence(x, lengths, plan["batch_first"], enforce_sorted=False)
            o, state = self.rnn(x)
            o, _ = pad_packed_sequence(o, True, plan["padding"])
        else:
            x = x if plan["batch_first"] else x.transpose(0, 1)
            if plan["zeros"] and self.state is None:
                self.state = self.zeros(x)
            o, state = self.rnn(x, self.state)
            if plan["zeros"]:
                self.state = None
            if plan["stateful"]:
                state = tuple(s.detach() for s in state) if plan["kind"] == "LSTM" else state
                self.state = state
            o = o if plan["batch_first"] else o.transpose(0, 1)
        if plan["final"]:
            h = state[plan["odd"]] if plan["kind"] == "LSTM" and not plan["proj"] else state
            o = torch.cat([h[-2], h[-1]] if plan["both"] else [h[-1]], -1)[:, None]
        return o


def needed(plan):
    """Names of the modules that a model calls, beside those that it always has."""
    names = {"norm": {"norm"}, "batch norm": {"batch_norm"}, "several": {"fc2"}}
    names |= {"rnn": {"next", "fc3"}, "cell": {"step", "fc3"}, "heads": {"heads", "fc4"}}
    names |= {"convolution": {"conv"}, "transposed": {"up"}, "pairs": {"pair"}}
    parts = [*plan["between"], plan["reader"]]
    found = set().union(*(names.get(part, set()) for part in parts))
    return found | {"fc2"} if plan["kept"] else found


def _double(module, args, output):
    first = output[0] if isinstance(output, tuple) else output
    if isinstance(first, torch.Tensor):
        first = first * 2
    return (first, *output[1:]) if isinstance(output, tuple) else first


def _shift(module, args, output):
    if isinstance(output, tuple) and isinstance(output[0], torch.Tensor):
        return (output[0] + 0.5, *output[1:])
    return output


HOOKS = {
    "double": lambda m: m.register_forward_hook(_double),
    "shift": lambda m: m.register_forward_hook(_shift),
    "look": lambda m: m.register_forward_pre_hook(lambda module, args: None),
    "backward": lambda m: m.register_full_backward_hook(lambda module, i, o: None),
    "replaced": lambda m: setattr(m, "forward", m.forward),
}


def plan(rng):
    """Draw a model."""
    kind = rng.choice(["LSTM"] * 4 + ["GRU"] * 4 + ["RNN"] * 2 + list(CELLS))
    units = rng.randint(2, 6)
    cell = kind in CELLS
    pack = None if cell else rng.choice([None] * 3 + ["lengths", "list", "mask", "packed"])
    final = not cell and rng.random() < 0.2
    names = [name for name in BETWEEN if not final or name not in ("late",)]
    weights = [0.25 if name.startswith("!") else 1.0 for name in names]
    readers = list(READERS)
    drawn = {
        "kind": kind,
        "units": units,
        "layers": 1 if cell else rng.choice([1, 1, 2]),
        "both": not cell and rng.random() < 0.4,
        "batch_first": rng.random() < 0.7,
        "proj": rng.randint(1, units - 1) if kind == "LSTM" and rng.random() < 0.2 else 0,
        "bias": rng.random() < 0.8,
        "reader bias": rng.random() < 0.85,
        "nonlinearity": rng.choice(["tanh", "relu"]),
        "pack": pack,
        "padding": rng.choice([0.0] * 4 + [-torch.inf, -torch.inf, -1024.0, 1.0]),
        "final": final,
        "between": rng.choices(names, weights, k=rng.choice([0, 0, 1, 1, 2, 3])),
        "reader": rng.choices(readers, [0.4 if r[0] == "!" else 1.0 for r in readers])[0],
        "after": rng.choice(list(AFTER)),
        "shape": rng.choice(["tensor"] * 8 + list(SHAPES)),
        "tokens": rng.random() < 0.2 and pack != "packed",
        "odd": rng.random() < 0.5,
        "in place": rng.random() < 0.1,
        "kept": rng.random() < 0.1,
        "zeros": not cell and not pack and rng.random() < 0.1,
        "stateful": not cell and not pack and rng.random() < 0.15,
        "hooks": [],
        "dtype": rng.choice(["float64"] * 3 + ["float32"] * 2 + ["bfloat16", "float16"]),
        "equal": rng.random() < 0.5,
    }
    if rng.random() < 0.15:
        place = rng.choice(["rnn", "rnn", "fc", "score"])
        drawn["hooks"].append((place, rng.choice(list(HOOKS))))
    return drawn


def batch(drawn, generator, equal, least=3):
    """Arguments for the model; with `equal`, of sequences of one length."""
    n = int(torch.randint(2, 4, (), generator=generator))
    steps = int(torch.randint(least, 7, (), generator=generator))
    if drawn["tokens"]:
        x = torch.randint(0, 6, (n, steps), generator=generator)
    else:
        x = torch.randn(n, steps, INPUTS, generator=generator, dtype=torch.float64)
        x = x.to(getattr(torch, drawn["dtype"]))
    if not drawn["pack"]:
        return (x,)
    lengths = torch.randint(1, steps + 1, (n,), generator=generator)
    lengths[int(torch.randint(0, n, (), generator=generator))] = steps
    if equal:
        lengths[:] = steps
    if drawn["pack"] == "packed":
        return (pack_padded_sequence(x, lengths, True, enforce_sorted=False),)
    if drawn["pack"] == "mask":
        return x, torch.arange(steps) < lengths[:, None]
    return x, lengths.tolist() if drawn["pack"] == "list" else lengths
