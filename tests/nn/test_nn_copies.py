"""Running the example changes nothing, and what is not narrowed stays as it was."""

import collections
import copy
import dataclasses
import random
import threading
import typing

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune as pruning
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from tefast.nn import (
    Arguments,
    mask,
    mask_in_place,
    mask_units,
    prune,
    prune_gates,
    prune_in_steps,
    remove_masked,
)

pytestmark = pytest.mark.usefixtures("one_thread")

UNITS = [0, 3, 5]


class Model(nn.Module):
    """A layer of 8 units and its reader."""

    def __init__(self, kind: type = nn.LSTM, **options) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        torch.manual_seed(0)
        self.rnn = kind(4, 8, batch_first=True, **options)
        self.fc = nn.Linear(8 * (1 + self.rnn.bidirectional), 3)
        self.double().eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0])


def data(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (2, 5, 4)), dtype=torch.float64)


def check_equal(pruned: nn.Module, masked: nn.Module, *arguments: object, **named: object) -> None:
    found, expected = (m(*copy.deepcopy(arguments), **named) for m in (pruned, masked))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


class Meter:
    number = 0


class Busy(Model):
    """Changes whatever a model can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.log, self.recent = [], collections.deque(maxlen=3)
        self.cache, self.count, self.seen = {}, collections.Counter(), set()
        self.total, self.meter, self.calls = torch.zeros(1), Meter(), 0
        self.register_buffer("steps", torch.zeros(()))
        self.norm, self.generator = nn.BatchNorm1d(3).double(), torch.Generator().manual_seed(1)
        self.numbers = np.random.default_rng(0)
        self.train()
        self.fc.eval()
        self.rnn.weight_ih_l0.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        self.log.append(y)
        self.recent.append(float(y.sum()))
        self.cache[len(x)] = y
        self.count["calls"] += 1
        self.seen.add(len(self.log))
        self.total += 1
        self.meter.number += 1
        self.calls += 1
        self.steps += 1
        self.norm.running_mean.add_(1)
        torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
        torch.rand(1, generator=self.generator), self.numbers.random()
        return y


def everything(model: Busy) -> tuple[object, ...]:
    return (
        {name: t.clone().numpy().tobytes() for name, t in model.state_dict().items()},
        [t._version for t in model.state_dict().values()],
        [(name, id(p), p.requires_grad) for name, p in model.named_parameters()],
        [(name, id(m), m.training, list(vars(m))) for name, m in model.named_modules()],
        [list(m._forward_hooks) + list(m._forward_pre_hooks) for m in model.modules()],
        (list(model.log), list(model.recent), dict(model.cache), dict(model.count), model.seen),
        (float(model.total), model.total._version, model.meter.number, model.calls),
        (model.generator.get_state().tolist(), model.numbers.bit_generator.state),
        (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),  # noqa: NPY002
    )


@pytest.mark.parametrize("act", ["prune", "prune with an example", "mask", "refused", "failing"])
def test_nothing_of_the_model_nor_random_numbers_change(act: str) -> None:
    model, x, narrow = Busy(), data(), data(2, 5, 3)
    before = everything(model)
    if act == "prune":
        pruned = prune(model, UNITS)
    elif act == "prune with an example":
        pruned = prune(model, UNITS, example=x)
    elif act == "mask":
        pruned = mask(model, UNITS)
    elif act == "refused":
        model.other = nn.LSTM(2, 2)
        before = everything(model)
        with pytest.raises(ValueError, match="'other' did not run"):
            prune(model, [0], "other", example=x)
    else:
        with pytest.raises(RuntimeError, match="must be equal to input_size"):
            prune(model, UNITS, example=narrow)
    assert everything(model) == before
    if act.startswith("prune"):
        assert (pruned.log, pruned.calls, pruned.meter.number, float(pruned.steps)) == ([], 0, 0, 0)
        assert pruned.training
        assert not pruned.fc.training


def test_hooks_that_collect_collect_nothing_from_copies() -> None:
    model, found, held = Model(), [], {}
    model.rnn.register_forward_hook(lambda module, args, output: found.append(output))
    model.fc.register_forward_hook(lambda module, args, output: held.update(y=output))
    prune(model, UNITS)
    assert (found, held) == ([], {})
    model(data())
    assert len(found) == 1


def test_weights_that_are_not_there_yet() -> None:
    model = Model()
    model.fc = nn.LazyLinear(3)
    with pytest.raises(ValueError, match=r"'fc' \(LazyLinear\): its 'weight' has no values yet"):
        prune(model, UNITS)
    assert type(model.fc) is nn.LazyLinear
    with pytest.raises(ValueError, match=r"'rnn' \(LSTM\): its 'weight_ih_l0' has no values yet"):
        prune(Model().to("meta"), UNITS)


# Hooks and replaced forwards


def double(module: nn.Module, args: object, output):  # type: ignore[no-untyped-def]
    if isinstance(output, tuple):
        return (output[0] * 2 + 0.5, *output[1:])
    return output * 2 + 0.5


def halve(module: nn.Module, args):  # type: ignore[no-untyped-def]
    return (args[0] / 2, *args[1:])


@pytest.mark.parametrize("place", ["rnn", "fc"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
def test_hooks_that_compute_go_along(place: str, options: dict) -> None:
    model, x = Model(**options), data()
    plain = copy.deepcopy(model)
    model.get_submodule(place).register_forward_hook(double)
    model.get_submodule(place).register_forward_pre_hook(halve)
    none, some = {}, {"l0": UNITS} if options else UNITS
    for units in (none, some):
        pruned, masked = prune(model, units or ({} if options else [])), mask(model, units or {})
        check_equal(pruned, masked, x)
    torch.testing.assert_close(prune(model, {})(x), model(x), rtol=0, atol=0)
    assert not torch.allclose(prune(plain, {})(x), model(x))
    assert len(model.get_submodule(place)._forward_hooks) == 1


def test_hooks_of_all_kinds_go_along_and_belong_to_the_copy() -> None:
    model, calls = Model(), []
    model.calls = 0

    def count(self: Model, *args: object) -> None:
        self.calls += 1

    model.rnn.register_forward_hook(count.__get__(model))
    model.fc.register_full_backward_hook(lambda module, i, o: calls.append("backward"))
    model.fc.register_state_dict_post_hook(lambda module, state, *_: calls.append("state"))
    model.fc.register_load_state_dict_post_hook(lambda module, keys: calls.append("load"))
    pruned = prune(model, UNITS)
    calls.clear()
    pruned(data().requires_grad_()).sum().backward()
    pruned.load_state_dict(pruned.state_dict())
    assert calls == ["backward", "state", "load"]
    assert (pruned.calls, model.calls) == (1, 0)


@pytest.mark.parametrize("place", ["rnn", "fc"])
def test_a_replaced_forward_is_refused_by_name(place: str) -> None:
    model = Model()
    module = model.get_submodule(place)
    module.forward = type(module).forward.__get__(module)
    for consumers in (None, ["fc"]):
        with pytest.raises(ValueError, match=f"'{place}': its 'forward' was replaced"):
            prune(model, UNITS, consumers=consumers)
    if place == "rnn":
        with pytest.raises(ValueError, match="its 'forward' was replaced"):
            mask_units(module, UNITS)


def test_what_was_set_on_a_module_stays_there() -> None:
    model = Model()
    model.rnn.tag, model.fc.settings = "mine", {"rate": [0.1]}
    model.rnn.register_buffer("scale", torch.ones(2))
    model.rnn.register_buffer("passing", torch.ones(2), persistent=False)
    model.fc.extra = nn.Dropout(0.5)
    pruned = prune(model, UNITS)
    assert (pruned.rnn.tag, pruned.fc.settings) == ("mine", {"rate": [0.1]})
    assert pruned.fc.settings is not model.fc.settings
    assert pruned.rnn.scale is not model.rnn.scale
    assert "rnn.scale" in pruned.state_dict()
    assert "rnn.passing" not in pruned.state_dict()
    assert isinstance(pruned.fc.extra, nn.Dropout)
    assert (pruned.rnn.hidden_size, pruned.rnn.input_size) == (5, 4)


def test_hooks_beside_masks_and_gates() -> None:
    model, x = Model(), data()
    model.rnn.register_forward_hook(double)
    masked = mask(model, UNITS)
    mask_in_place(model.rnn, UNITS)
    pruned = remove_masked(model)
    assert len(pruned.rnn._forward_pre_hooks) == 0
    assert sorted(name for name, _ in pruned.rnn.named_buffers()) == []
    check_equal(pruned, masked, x)
    gated = Model()
    gated.rnn.register_forward_hook(double)
    none = torch.zeros(8, 4, dtype=torch.bool)
    torch.testing.assert_close(prune_gates(gated, none, 0.5)(x), gated(x))


# Copies that deepcopy refuses


class Keeping(Model):
    """Keeps what autograd has computed."""

    def __init__(self) -> None:
        super().__init__(bidirectional=True)
        self.score = nn.Linear(16, 1).double()
        self.conv = nn.utils.weight_norm(nn.Conv1d(3, 3, 1).double())
        pruning.l1_unstructured(self.score, "bias", amount=0.0)
        self.kept = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        o, state = self.rnn(x)
        self.attention = torch.tanh(o).mean(1)
        self.kept.append({"state": state})
        return self.conv(self.fc(o).mT)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_tensors_that_autograd_has_computed_are_copied() -> None:
    model, x = Keeping().train(), data()
    model(x).sum().backward()
    pruned, masked = prune(model, {"l0": [0, 1]}), mask(model, {"l0": [0, 1]})
    assert model.attention.grad_fn is not None
    assert pruned.attention.grad_fn is None
    check_equal(pruned.eval(), masked.eval(), x)
    assert "grad" not in str(pruned.conv.weight_v.grad)
    pruned.train()(x).sum().backward()
    assert pruned.conv.weight_v.grad is not None


def test_pruning_in_steps_with_training_between() -> None:
    class Attending(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            o, _ = self.rnn(x)
            self.attention = o
            return self.fc(o)

    def tune(model: nn.Module, step: int) -> None:
        nn.functional.cross_entropy(model.train()(x)[:, -1], labels).backward()

    x, labels = data(), torch.tensor([0, 1])
    batches = [(x, labels)]
    found, _ = prune_in_steps(
        Attending(), batches, "l2", amount=0.5, steps=2, fine_tune=tune, descending=False
    )
    assert found.rnn.hidden_size == 4


def test_an_attribute_that_cannot_be_copied_is_named() -> None:
    model = Model()
    model.fc.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"attribute 'lock' of 'fc' \(lock\) cannot be copied"):
        prune(model, UNITS)
    with pytest.raises(TypeError, match=r"attribute 'lock' of 'fc' \(lock\) cannot be copied"):
        mask(model, UNITS)


def test_functions_that_hold_the_model_hold_the_copy() -> None:
    model, x = Model(), data()
    fc = model.fc
    model.head = lambda o: model.fc(o)
    model.heads = {"first": [lambda o: fc(o)]}
    pruned, masked = prune(model, [], consumers=["fc"]), mask(model, [])
    for copied in (pruned, masked):
        with torch.no_grad():
            copied.fc.weight.zero_()
        assert torch.equal(copied.head(model.rnn(x)[0]), copied.fc(model.rnn(x)[0]))
        assert not torch.equal(model.head(model.rnn(x)[0]), copied.head(model.rnn(x)[0]))

    class Through(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x)[0])

    model = Through()
    model.head = lambda o: model.fc(o)
    check_equal(prune(model, UNITS), mask(model, UNITS), x)


def test_under_inference_mode() -> None:
    model, x = Model(), data()
    with torch.inference_mode():
        pruned = prune(model, UNITS)
    pruned(x).sum().backward()
    assert pruned.rnn.weight_hh_l0.grad is not None


# Scripted and compiled parts


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_scripted_modules() -> None:
    class Scripted(Model):
        def __init__(self) -> None:
            super().__init__()
            self.front = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.Tanh())).double()
            self.unused = torch.jit.script(nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(self.front(x))

    model, x = Scripted(), data()
    check_equal(prune(model, UNITS), mask(model, UNITS), x)
    assert prune(model.float(), UNITS)(x.float()).dtype == torch.float32
    head = Model()
    head.fc = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Linear(8, 3)).double())
    with pytest.raises(ValueError, match=r"sums over the units, .* in 'fc' \(Script\)"):
        prune(head, UNITS)

    @torch.jit.script
    def swish(x):  # type: ignore[no-untyped-def]
        return x * torch.sigmoid(x)

    class Function(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(swish(self.rnn(x)[0]))

    check_equal(prune(Function(), UNITS), mask(Function(), UNITS), x)


# Examples


class Named(typing.NamedTuple):
    x: torch.Tensor
    scale: float


@dataclasses.dataclass
class Batch:
    x: torch.Tensor
    scale: float


def scaled(batch: object) -> torch.Tensor:
    if isinstance(batch, PackedSequence):
        return pad_packed_sequence(batch, batch_first=True)[0]
    if isinstance(batch, dict):
        return batch["x"] * batch["scale"]
    return batch.x * batch.scale


class OneArgument(Model):
    def forward(self, batch: object) -> torch.Tensor:
        if isinstance(batch, PackedSequence):
            return self.fc(self.rnn(batch)[0].data)
        return super().forward(scaled(batch))


@pytest.mark.parametrize(
    "example",
    [
        Named(data(), 2.0),
        Batch(data(), 2.0),
        {"x": data(), "scale": 2.0},
        pack_padded_sequence(data(), [5, 3], batch_first=True),
    ],
    ids=["named tuple", "dataclass", "dict", "packed"],
)
def test_an_example_is_the_argument(example) -> None:  # type: ignore[no-untyped-def]
    model = OneArgument()
    masked = mask(model, UNITS)
    for given in (example, (example,), {"batch": example}, Arguments(example)):
        check_equal(prune(model, UNITS, example=given), masked, example)


class TwoArguments(Model):
    def forward(self, x: torch.Tensor, *, scale: float, offset: float = 0.0) -> torch.Tensor:
        return super().forward(x * scale + offset)


def test_arguments_by_place_and_by_name() -> None:
    model, x = TwoArguments(), data()
    masked = mask(model, UNITS)
    for given in (Arguments(x, scale=2.0), {"x": x, "scale": 2.0}, Arguments(x=x, scale=2.0)):
        check_equal(prune(model, UNITS, example=given), masked, x, scale=2.0)
    assert repr(Arguments(1, scale=2.0)) == "Arguments(1, scale=2.0)"
    with pytest.raises(TypeError, match="scale"):
        prune(model, UNITS, example=x)


def test_lengths_are_made_up() -> None:
    class Lengths(Model):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = pack_padded_sequence(x, lengths, batch_first=True)
            return self.fc(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])

    model = Lengths()
    check_equal(prune(model, UNITS), mask(model, UNITS), data(), torch.tensor([5, 2]))


class Consuming(Model):
    """Uses up what it is given."""

    def forward(self, batch) -> torch.Tensor:  # type: ignore[no-untyped-def]
        if isinstance(batch, torch.Tensor):
            return super().forward(batch.div_(255.0).sub_(0.5))
        if isinstance(batch, dict):
            return super().forward(batch.pop("x"))
        return super().forward(torch.stack(list(batch), 1))


def test_every_run_has_an_example_of_its_own() -> None:
    model, x = Consuming(), 255 * torch.rand(2, 5, 4, dtype=torch.float64)
    before = x.clone()
    pruned, masked = prune(model, UNITS, example=x), mask(model, UNITS)
    assert torch.equal(x, before)
    assert x._version == 0
    check_equal(pruned, masked, x)
    batch = {"x": x}
    prune(model, UNITS, example=(batch,))
    assert list(batch) == ["x"]
    prune(model, UNITS, example=(iter(x.unbind(1)),))
    with pytest.raises(TypeError, match="example: cannot be copied"):
        prune(model, UNITS, example=((step for step in x.unbind(1)),))
    computed = (x.clone().requires_grad_() * 1.0,)
    prune(Model(), UNITS, example=computed)
    assert computed[0].grad_fn is not None


# Randomness, the same for both


def test_a_model_that_is_random_in_evaluation_mode() -> None:
    class Random(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = super().forward(nn.functional.dropout(x, 0.5))
            y = y + torch.randn_like(y) * np.random.rand()  # noqa: NPY002
            return nn.functional.dropout(y * (2 if random.random() < 0.5 else 1), 0.5)

    model, x = Random(), data()
    pruned, masked = prune(model, UNITS, example=x), mask(model, UNITS)
    results = []
    for one in (pruned, masked):
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        results.append(one(x))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


# Padding, and lengths that the example does not have


class Padded(Model):
    def __init__(self, value: float, read) -> None:  # type: ignore[no-untyped-def]
        super().__init__(nn.GRU)
        self.value, self.read = value, read

    def forward(self, x: torch.Tensor, lengths) -> torch.Tensor:  # type: ignore[no-untyped-def]
        if lengths is None:  # known by the steps that are not 0
            lengths = (x != 0).any(-1).sum(1)
        elif not isinstance(lengths, list) and lengths.dtype == torch.bool:
            lengths = lengths.sum(1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        o, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, padding_value=self.value)
        return self.fc(self.read(o))


SHORT = torch.tensor([6, 2, 3])
LENGTHS = {
    "tensor": (torch.tensor([6, 6, 6]), SHORT),
    "list": ([6, 6, 6], SHORT.tolist()),
    "mask": (torch.ones(3, 6).bool(), torch.arange(6) < SHORT[:, None]),
    "zeros": (None, None),
}


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("which", ["equal", "short"])
def test_padding_may_only_lose_a_maximum(kind: str, which: str) -> None:
    equal, short = LENGTHS[kind]
    x, lengths = data(3, 6, 4), equal if which == "equal" else short
    if kind == "zeros" and which == "short":
        x = x * (torch.arange(6) < SHORT[:, None])[..., None]
    model = Padded(-torch.inf, lambda o: o.max(1)[0])
    pruned, masked = prune(model, UNITS, example=(x, lengths)), mask(model, UNITS)
    for given in (short, equal):
        check_equal(pruned, masked, x, given)
    wrong = {
        "exp": lambda o: o.exp().mean(1),
        "sigmoid": lambda o: o.sigmoid().mean(1),
        "steps": lambda o: o.tanh(),
        "elu": nn.functional.elu,
    }
    for read in wrong.values():
        with pytest.raises(ValueError, match="pad"):
            prune(Padded(-torch.inf, read), UNITS, example=(x, lengths))
    for value in (1.0, 0.5):
        with pytest.raises(ValueError, match="pad"):
            prune(Padded(value, lambda o: o.max(1)[0]), UNITS, example=(x, lengths))
    low = Padded(-1024.0, lambda o: o.max(1)[0])
    check_equal(prune(low, UNITS, example=(x, lengths)), mask(low, UNITS), x, short)
