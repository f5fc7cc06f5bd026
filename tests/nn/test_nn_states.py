"""States that a model makes or is given, and what else has to go with units."""

import copy
import re

import pytest
import torch
from torch import Tensor, nn

from tefast.nn import mask, prune
from tefast.nn._trace.consumers import UnfitError

pytestmark = pytest.mark.usefixtures("one_thread")

INPUTS, UNITS = 4, 6
GONE, LEFT = [1, 4], [0, 2, 3, 5]


def steps(seed: int, count: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, length, INPUTS, generator=generator, dtype=torch.float64)


OTHERS = [steps(2, 3, 7), steps(3, 1, 4), steps(4, 5, 2)]


class Stepping(nn.Module):
    """A cell in a loop; `before` changes the state before every step."""

    def __init__(self, before) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.fc = nn.GRUCell(INPUTS, UNITS), nn.Linear(UNITS, 3)
        self.one, self.gate = nn.Linear(INPUTS, 1), nn.Linear(INPUTS, UNITS)
        self.field = nn.Sequential(nn.Linear(UNITS, 5), nn.Tanh(), nn.Linear(5, UNITS))
        self.before = before
        self.double().eval()

    def loop(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for step in range(x.shape[1]):
            h = self.cell(x[:, step], self.before(self, x[:, step], h))
            outputs.append(self.fc(h))
        return torch.stack(outputs, 1), h


class Started(Stepping):
    """The state is made of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return self.loop(x, x.new_zeros(len(x), self.cell.hidden_size))[0]


class Given(Stepping):
    """The state is given, and returned."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.loop(x, h)


RESETS = {
    "one decay": lambda m, x, h: torch.exp(-m.one(x).relu()) * h,
    "by a flag": lambda m, x, h: h * (x[:, :1] > 0),
    "a flag first": lambda m, x, h: (x[:, :1] > 0) * h,
    "by a number": lambda m, x, h: (1 - (x[:, :1] > 0).double()) * h,
    "divided": lambda m, x, h: h / (1 + x[:, :1].abs()),
    "where": lambda m, x, h: torch.where(x[:, :1] > 0, torch.zeros_like(h), h),
}


@pytest.mark.parametrize("name", RESETS)
def test_a_state_of_zeros_may_be_scaled_before_the_first_step(name: str) -> None:
    model = Started(RESETS[name])
    pruned, masked = prune(model, GONE, "cell"), mask(model, GONE, "cell")
    for x in OTHERS:
        torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RESETS)
def test_a_state_that_is_given_may_be_scaled(name: str) -> None:
    model, x = Given(RESETS[name]), steps(1, 2, 5)
    start = torch.randn(5, UNITS, dtype=torch.float64)
    pruned = prune(model, GONE, "cell", example=(x, start[:2]), returned="states")
    masked = mask(model, GONE, "cell")
    start[:, GONE] = 0
    for other in OTHERS:
        ours, state = pruned(other, start[: len(other), LEFT])
        theirs, full = masked(other, start[: len(other)])
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(state, full[:, LEFT], rtol=1e-12, atol=1e-12)


TIED = {
    "a decay of each unit": ("gate", lambda m, x, h: torch.exp(-m.gate(x).relu()) * h),
    "a gate after it": ("gate", lambda m, x, h: h.tanh() * m.gate(x)[None].sigmoid()[0]),
    "steps of an equation": ("field.2", lambda m, x, h: h + m.field(h) * 0.5),
}


@pytest.mark.parametrize("name", TIED)
def test_what_has_to_go_with_units_is_named_behind_activations(name: str) -> None:
    partner, before = TIED[name]
    model = Started(before)
    with pytest.raises(UnfitError, match=re.escape(f"by tied=[{partner!r}]")):
        prune(model, GONE, "cell")
    pruned = prune(model, GONE, "cell", tied=[partner])
    masked = copy.deepcopy(mask(model, GONE, "cell"))
    with torch.no_grad():
        for parameter in masked.get_submodule(partner).parameters():
            parameter[GONE] = 0
    for x in OTHERS:
        torch.testing.assert_close(pruned(x), masked(x), rtol=1e-12, atol=1e-12)


def test_a_time_is_no_state() -> None:
    """One number for all units is not what the cell starts from."""

    class Timed(Stepping):
        def forward(self, x: Tensor, times: Tensor) -> Tensor:
            h = x.new_zeros(len(x), self.cell.hidden_size)
            for step in range(x.shape[1]):
                h = self.cell(x[:, step], h + self.field(h) * times[step])
            return self.fc(h)

    example = (steps(1, 2, 5), torch.rand(5).double())
    with pytest.raises(UnfitError, match=r"initial state that is not 0.*tied=\['field.2'\]"):
        prune(Timed(None), GONE, "cell", example=example)
    prune(Timed(None), GONE, "cell", example=example, tied=["field.2"])


class Experts(nn.Module):
    """Each expert reads the steps that are sent to it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(INPUTS, UNITS, batch_first=True)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(UNITS, 5), nn.ReLU(), nn.Linear(5, 3))
            for _ in range(2)
        )
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        o = self.rnn(x)[0].flatten(0, 1)
        out = o.new_zeros(len(o), 3)
        for number, expert in enumerate(self.experts):
            where = (x.flatten(0, 1)[:, 0] > number - 0.5).nonzero()[:, 0]
            out = out.index_add(0, where, expert(o[where]))
        return out


def test_a_reader_that_the_example_does_not_reach_is_named() -> None:
    model, x = Experts(), steps(1, 3, 6)
    nothing = torch.full_like(x, 0.2)
    with pytest.raises(UnfitError, match=r"'experts.1.1' is given outputs of 'rnn' of no step"):
        prune(model, GONE, example=nothing)
    masked = mask(model, GONE)
    for pruned in (prune(model, GONE, example=x), prune(model, GONE, examples=[nothing, x])):
        for other in [*OTHERS, nothing]:
            torch.testing.assert_close(pruned(other), masked(other), rtol=1e-12, atol=1e-12)
