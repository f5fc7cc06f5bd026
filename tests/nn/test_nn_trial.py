"""The trial of a pruned model: what is wrong with it shows, however little of it is returned."""

import math

import pytest
import torch
from torch import nn

from tefast.nn import mask, prune
from tefast.nn._trace.comparison import TOLERANCES, alike

pytestmark = pytest.mark.usefixtures("one_thread")

F = nn.functional
UNITS = [0, 1, 2, 3]


class Model(nn.Module):
    """A layer of 8 units; a function of the model and the layer's outputs gives the result."""

    def __init__(self, of, kind: type = nn.LSTM, seed: int = 0) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(seed)
        self.rnn, self.fc = kind(4, 8, batch_first=True), nn.Linear(8, 3)
        self.gate = nn.Linear(8, 1)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.7, 0.7)
        self.register_buffer("legal", torch.tensor([True, False, True]))
        self.of = of

    def forward(self, x: torch.Tensor):  # type: ignore[no-untyped-def]
        return self.of(self, self.rnn(x)[0])


def attend(model: Model, o: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention over steps."""
    return model.fc((o @ o.mT * scale).softmax(-1) @ o)


WIDTHS = {
    "attention": lambda m, o: attend(m, o, o.size(-1) ** -0.5),
    "hidden_size": lambda m, o: attend(m, o, m.rnn.hidden_size**-0.5),
    "in_features": lambda m, o: m.fc(o) / m.fc.in_features,
    "weights": lambda m, o: m.fc(o) + m.fc.weight.norm(),
    "parameters": lambda m, o: m.fc(o) * sum(p.numel() for p in m.parameters()),
    "outputs": lambda m, o: m.fc(o / o.shape[-1]),
    "bias": lambda m, o: m.fc(o) + 1 / o.size(-1),
    "bound": lambda m, o: m.fc(o.clamp(max=o.size(-1))),
    "tensor": lambda m, o: m.fc(o) * torch.full((3,), o.size(-1)),
    "length": lambda m, o: m.fc(o) * len(o[0, 0]),
    "steps": lambda m, o: m.fc(o) + sum(torch.ones(()) for _ in range(o.size(-1))),
    "branch": lambda m, o: m.fc(o) * (2 if o.size(-1) > 5 else 1),
}
# Beside them, or in place of them, nothing or little of a difference is left.
HIDING = {
    "nothing": lambda m, y: y,
    "offset": lambda m, y: 50 * y + 30000,
    "illegal": lambda m, y: y.masked_fill(~m.legal, -1e9),
    "least": lambda m, y: y.masked_fill(~m.legal, torch.finfo(y.dtype).min),
    "infinite": lambda m, y: y.masked_fill(~m.legal, -torch.inf),
    "beside": lambda m, y: (y, y.new_full((2, 3), -1e9)),
    "small": lambda m, y: y * 1e-12,
    "ids": lambda m, y: y.argmax(-1),
    "flag": lambda m, y: y.isfinite().all(),
    "saturated": lambda m, y: y.clamp(-1e-9, 0),
    "text": lambda m, y: str(y.shape),
    "number": lambda m, y: math.copysign(1.0, float(y.sum())),
}


@pytest.mark.parametrize(
    ("width", "hiding"),
    [(width, hiding) for hiding in HIDING for width in ("attention", "bias")]
    + [(width, hiding) for width in WIDTHS for hiding in ("offset", "ids")],
)
def test_a_size_that_is_read_as_a_number_is_refused_whatever_is_returned(
    width: str, hiding: str
) -> None:
    model = Model(lambda m, o: HIDING[hiding](m, WIDTHS[width](m, o))).eval()
    with pytest.raises(ValueError, match="does not give on the example what the masked one gives"):
        prune(model, UNITS, example=torch.randn(2, 5, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", ["attention", "outputs", "bias", "hidden_size"])
def test_low_precision_hides_nothing(width: str, dtype: torch.dtype) -> None:
    x = torch.randn(2, 5, 4).to(dtype)
    wrong = Model(lambda m, o: WIDTHS[width](m, o) + 1e4).to(dtype).eval()
    with pytest.raises(ValueError, match="where the masked model gives"):
        prune(wrong, UNITS, example=x)
    right = Model(lambda m, o: attend(m, o.tanh(), 0.3).float() + 1e4).to(dtype).eval()
    assert prune(right, UNITS, example=x).fc.weight.dtype == dtype
    assert prune(right, UNITS, example=x)(x).dtype == right(x).dtype


def test_the_message_names_the_operation_and_both_numbers() -> None:
    model = Model(lambda m, o: m.fc(o / o.size(-1) ** 0.5)).eval()
    with pytest.raises(ValueError, match=r"'div' in the model itself is given 2\.0 where .* 2\.8"):
        prune(model, UNITS)
    model = Model(lambda m, o: m.head(o)).eval()
    model.head = nn.Sequential(nn.Linear(8, 3), Scaled())
    model.head[1].beside = [model.head[0]]
    with pytest.raises(ValueError, match=r"'sum' in 'head\.1' \(Scaled\) gives other values"):
        prune(model, UNITS)


class Scaled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.beside[0].weight.abs().sum()


@pytest.mark.parametrize(
    "draw",
    [
        lambda m, o: m.fc(o) * (torch.rand(2, 1, 1) < 1e-3 / o.size(-1)),
        lambda m, o: m.fc(o) + torch.randint(0, o.size(-1), (1,)) // 1000,
        lambda m, o: m.fc(F.dropout(o, 0.5, True)),
        lambda m, o: m.fc(o * torch.rand(o.size(-1))),
    ],
    ids=["rand", "randint", "dropout", "wide"],
)
def test_random_numbers_of_the_size_of_the_layer_are_refused(draw) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"masked|wide as the layer"):
        prune(Model(draw).eval(), UNITS)


def test_what_the_code_catches_is_refused_all_the_same() -> None:
    def read(model: Model, o: torch.Tensor) -> torch.Tensor:
        try:
            return model.fc(o.softmax(-1))
        except ValueError:
            return model.fc(o)

    with pytest.raises(ValueError, match="softmax"):
        prune(Model(read).eval(), UNITS)

    def width(model: Model, o: torch.Tensor) -> torch.Tensor:
        y = model.fc(o)
        try:
            return y / o.size(-1)
        except ValueError:
            return y

    with pytest.raises(ValueError, match="'div' in the model itself is given 4"):
        prune(Model(width).eval(), UNITS)


class Opaque:
    """An object as models return them."""

    def __init__(self, value: object) -> None:
        self.value = value

    __slots__ = ("value",)


def test_results_of_all_kinds_are_compared() -> None:
    kinds = {
        "object": Opaque,
        "numbers": lambda y: y.tolist(),
        "array": lambda y: y.numpy(),
        "distribution": lambda y: torch.distributions.Categorical(logits=y),
        "function": lambda y: lambda: y,
        "state": lambda y: {"y": [y, None, "label", {1, 2}]},
    }
    x = torch.randn(2, 5, 4)
    for kind in kinds.values():
        prune(Model(lambda m, o, k=kind: k(m.fc(o))).eval(), UNITS, example=x)
    for odd in (lambda m, o: Opaque(o.size(-1)), lambda m, o: [m.fc(o), str(o.size(-1))]):
        with pytest.raises(ValueError, match="expected"):
            prune(Model(odd).eval(), UNITS)
    with pytest.raises(ValueError, match="a generator, holds nothing that could be compared"):
        prune(Model(lambda m, o: (step for step in m.fc(o))).eval(), UNITS)


class Carrying(nn.Module):
    """Keeps the last output for the next call, where something else reads it."""

    def __init__(self, scale) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc, self.back = (
            nn.GRU(4, 8, batch_first=True),
            nn.Linear(8, 3),
            nn.Linear(8, 3),
        )
        self.scale, self.last = scale, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        o, _ = self.rnn(x)
        y = self.fc(o)
        if self.last is not None:
            y = y + self.back(self.last)[:, None] * self.scale(self.last)
        self.last = o[:, -1].detach()
        return y


def test_what_is_kept_for_the_next_call_is_followed_into_it() -> None:
    model, x = Carrying(lambda h: 1.0).double(), torch.randn(2, 5, 4).double()
    pruned, masked = prune(model, UNITS, example=x), mask(model, UNITS)
    assert pruned.back.in_features == 4
    for _ in range(3):
        torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)
    assert model.last is None
    with pytest.raises(ValueError, match="where the masked model gives"):
        prune(Carrying(lambda h: 1 / h.size(-1)), UNITS)


def test_a_branch_that_only_other_values_take_is_seen() -> None:
    def read(model: Model, o: torch.Tensor) -> torch.Tensor:
        y = model.fc(o)
        return y if bool(model.x[0, 0, 0] > 0.5) else y / o.size(-1)

    class Branching(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.x = x
            return super().forward(x)

    x = torch.full((2, 5, 4), -1.0)
    x[0, 0, 0] = 1.0  # in another order it stands somewhere else
    with pytest.raises(ValueError, match="'div'"):
        prune(Branching(read).eval(), UNITS, example=x)


def no_double(x: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.float64:
        raise RuntimeError("no kernel for double")
    return x


def no_float(x: torch.Tensor) -> torch.Tensor:
    if x.dtype in (torch.float32, torch.float64):
        raise RuntimeError("no kernel for float")
    return x


def test_where_there_is_no_double_precision() -> None:
    right = Model(lambda m, o: no_double(m.fc(o))).eval()
    x = torch.randn(2, 5, 4)
    torch.testing.assert_close(prune(right, UNITS)(x), mask(right, UNITS)(x))
    for width in WIDTHS.values():
        wrong = Model(lambda m, o, w=width: no_double(w(m, o)) * 50 + 30000).eval()
        with pytest.raises(ValueError, match="does not give on the example"):
            prune(wrong, UNITS)
    half = Model(lambda m, o: no_float(m.fc(o))).to(torch.bfloat16).eval()
    with pytest.raises(ValueError, match=r"not in the precision .* no kernel for float.*consumers"):
        prune(half, UNITS)


def test_code_that_asks_for_another_precision() -> None:
    casts = {
        "half": lambda m, o: m.fc(o.half().to(o.dtype)),
        "float": lambda m, o: m.fc(o).float().log_softmax(-1),
        "type": lambda m, o: m.fc(o.type(torch.HalfTensor).type_as(o)),
        "name": lambda m, o: m.fc(o.to(dtype=torch.bfloat16).to(m.fc.weight.dtype)),
        "made": lambda m, o: m.fc(o) @ torch.eye(3, dtype=torch.float32).to(o),
        "softmax": lambda m, o: m.fc(o).softmax(-1, dtype=torch.float32),
    }
    for cast in casts.values():
        for dtype in (torch.float32, torch.float64):
            prune(Model(cast).to(dtype).eval(), UNITS)

    def automatic(model: Model, o: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model.fc(o) * WIDTHS["bias"](model, o) if model.wrong else model.fc(o)

    model = Model(automatic).eval()
    model.wrong = False
    assert prune(model, UNITS)(torch.randn(2, 5, 4)).dtype == torch.bfloat16
    model.wrong = True
    with pytest.raises(ValueError, match="where the masked model gives"):
        prune(model, UNITS)


def test_named_consumers_that_are_not_all_there_is() -> None:
    model = Model(lambda m, o: m.fc(o)).eval()
    assert prune(model, UNITS, consumers=["fc"]).fc.in_features == 4
    wrong = Model(WIDTHS["attention"]).eval()
    with pytest.raises(ValueError, match="the result is another one"):
        prune(wrong, UNITS, consumers=["fc"])
    # What does not run says so itself, and states are as wide as is left.
    both = Model(lambda m, o: (m.fc(o), m.gate(o))).eval()
    assert prune(both, UNITS, consumers=["fc"]).gate.in_features == 8
    states = Model(lambda m, o: (m.fc(o), o)).eval()
    assert prune(states, UNITS, consumers=["fc"])(torch.randn(2, 5, 4))[1].shape == (2, 5, 4)


def test_how_numbers_are_compared() -> None:
    tolerance = TOLERANCES[torch.float64]

    def like(found: list[float], expected: list[float], features: int = 1, base: float = 0) -> bool:
        pair = [torch.tensor(one, dtype=torch.float64) for one in (found, expected)]
        of = torch.arange(len(expected)) % features
        return alike(pair[0], pair[1], of, tolerance, lambda: base)

    assert like([1 + 1e-12, 2.0], [1.0, 2.0])
    assert not like([1 + 1e-6, 2.0], [1.0, 2.0])
    # A constant that fills others up is the same in both, and says nothing about the others.
    assert not like([1 + 1e-6, -1e9], [1.0, -1e9])
    assert not like([1 + 1e-6, -1.7e308], [1.0, -1.7e308])
    assert not like([1 + 1e-6, -math.inf], [1.0, -math.inf])
    # Features have scales of their own.
    assert not like([1 + 1e-6, 1e9 + 1e-4], [1.0, 1e9], features=2)
    assert like([1.0, 1e9 + 1e-4], [1.0, 1e9], features=2)
    assert like([math.nan, math.inf], [math.nan, math.inf])
    assert not like([math.nan, 1.0], [1.0, 1.0])
    assert not like([math.inf], [1.0])
    # What is left of a difference of large numbers is rounding.
    assert not like([1e-13], [-1e-13])
    assert like([1e-13], [-1e-13], base=1.0)
    ids = torch.tensor([1, 2])
    assert alike(ids, ids.clone(), ids, tolerance)
    assert not alike(ids, ids + 1, ids, tolerance)
    assert not alike(ids, ids.double(), ids, tolerance)


@pytest.mark.parametrize(
    "cast",
    [
        lambda o: o.half().to(o.dtype),
        lambda o: o.bfloat16().to(o.dtype),
        lambda o: o.to(torch.float16).to(o.dtype),
        lambda o: o.to(dtype=torch.bfloat16).to(o.dtype),
    ],
)
def test_a_constant_that_a_cast_would_round_is_refused(cast) -> None:  # type: ignore[no-untyped-def]
    class Cast(nn.Module):
        def __init__(self, times: int) -> None:
            super().__init__()
            self.rnn, self.fc, self.times = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 2), times

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            o = self.rnn(x)[0]
            for _ in range(self.times):
                o = o.sigmoid()
            return self.fc(cast(o))

    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    for times in (0, 1):  # of a masked unit 0 and 1/2, which every type holds
        model = Cast(times).double()
        smaller, masked = prune(model, [0, 2, 5]), mask(model, [0, 2, 5])
        torch.testing.assert_close(smaller(x), masked(x), rtol=1e-12, atol=1e-14)
    with pytest.raises(ValueError, match="does not give of a masked unit what is expected"):
        prune(Cast(2).double(), [0, 2, 5])


@pytest.mark.parametrize("scale", [None, 0.5])
def test_a_scale_taken_from_the_width_shows_where_there_is_one_step_to_attend_to(scale):
    def of(model, o):
        o = F.avg_pool1d(o.mT, 2).mT
        return model.fc(F.scaled_dot_product_attention(o, o, o, scale=scale))

    example = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))
    if scale is None:
        with pytest.raises(ValueError, match="scaled_dot_product_attention"):
            prune(Model(of), UNITS, example=example)
    else:
        prune(Model(of), UNITS, example=example)
