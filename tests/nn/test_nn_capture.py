"""Capture: the units' outputs and the true label's probability, one batch at a time."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from tefast.nn import SequenceClassifier, capture

pytestmark = pytest.mark.usefixtures("one_thread")


def make(cell: str = "lstm") -> SequenceClassifier:
    torch.manual_seed(0)
    return SequenceClassifier(3, 4, hidden_size=6, fc_size=5, cell=cell)


def batches(sizes: tuple[int, ...] = (4, 2)) -> list[tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(n, 7, 3, generator=generator),
            torch.randint(0, 4, (n,), generator=generator),
        )
        for n in sizes
    ]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_values_by_hand(cell: str) -> None:
    model = make(cell)
    count = 0
    for (h, y), (x, labels) in zip(capture(model, batches()), batches(), strict=True):
        count += 1
        outputs = model.rnn(x)[0]
        assert torch.equal(h, outputs)
        logits = model(x).detach().double().numpy()
        e = np.exp(logits)
        for i, label in enumerate(labels.tolist()):
            expected = e[i, :, label] / e[i].sum(axis=1)
            np.testing.assert_allclose(y[i].numpy(), expected, rtol=1e-5)
        assert not h.requires_grad
        assert not y.requires_grad
    assert count == 2


def test_lengths_pass_through() -> None:
    lengths = torch.tensor([7, 3, 5, 7])
    ((x, labels),) = batches((4,))
    ((h, y, given),) = capture(make(), [(x, labels, lengths)])
    assert torch.equal(given, lengths)
    assert h.shape == (4, 7, 6)
    assert y.shape == (4, 7)
    ((h2, y2),) = capture(make(), [[x, labels.to(torch.uint8)]])
    assert torch.equal(h, h2)
    assert torch.equal(y, y2)


def test_runs_in_evaluation_mode_and_restores_every_flag() -> None:
    class Dropping(SequenceClassifier):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            return super().forward(x)

    model = Dropping(3, 4, hidden_size=6, fc_size=5)
    model.fc1.eval()
    for _ in capture(model, batches()):
        # Between batches the model is the caller's own.
        assert model.training
        assert not model.fc1.training
        assert torch.is_grad_enabled()
        assert not model.rnn._forward_hooks
    assert model.training


def test_left_early_and_after_an_error() -> None:
    model = make()
    captured = capture(model, batches())
    next(captured)
    captured.close()
    assert model.training
    assert not model.rnn._forward_hooks

    class Failing(SequenceClassifier):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise RuntimeError("out of luck")

    failing = Failing(3, 4, hidden_size=6, fc_size=5)
    with pytest.raises(RuntimeError, match="out of luck"):
        next(capture(failing, batches()))
    assert failing.training
    assert torch.is_grad_enabled()
    assert not failing.rnn._forward_hooks


def test_nothing_outlives_its_batch() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    def feed():  # type: ignore[no-untyped-def]
        for batch in batches((3, 3, 3)):
            gc.collect()
            assert all(reference() is None for reference in seen)
            yield batch

    captured = capture(make(), feed())
    for _ in range(3):
        h, y = next(captured)
        seen += [weakref.ref(h), weakref.ref(y)]
        del h, y
    assert len(seen) == 6


def test_batches_are_read_one_at_a_time() -> None:
    read = []

    def feed():  # type: ignore[no-untyped-def]
        for number, batch in enumerate(batches((2, 2, 2))):
            read.append(number)
            yield batch

    captured = capture(make(), feed())
    assert read == []
    next(captured)
    assert read == [0]


class Custom(nn.Module):
    """A recurrent layer under another name, with a chosen treatment of its output."""

    def __init__(self, act=lambda h: h, *, twice: bool = False, **options: bool) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.body = nn.ModuleDict({"gru": nn.GRU(3, 6, **{"batch_first": True, **options})})
        self.act, self.twice = act, twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.twice:
            self.body["gru"](x)
        return self.act(self.body["gru"](x)[0])


def test_dotted_name() -> None:
    ((h, y),) = capture(Custom(), batches((2,)), rnn="body.gru")
    labels = batches((2,))[0][1]
    assert h.shape == (2, 7, 6)
    torch.testing.assert_close(y[1], h[1].softmax(1)[:, labels[1]])


def test_half_precision_logits_give_float32_probabilities() -> None:
    model = make().to(torch.bfloat16)
    ((x, labels),) = batches((2,))
    ((h, y),) = capture(model, [(x.to(torch.bfloat16), labels)])
    assert h.dtype == torch.bfloat16
    assert y.dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "name", "error", "message"),
    [
        (make(), "lstm", ValueError, "has no submodule 'lstm'; it has 'rnn', 'fc1', 'fc2'"),
        (make(), "fc1", TypeError, "submodule 'fc1': expected an nn.LSTM, nn.GRU or nn.RNN"),
        (Custom(bidirectional=True), "body.gru", ValueError, "'body.gru': .* bidirectional"),
    ],
)
def test_bad_models_are_refused_at_once(model, name, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        capture(model, batches(), rnn=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"act": lambda h: h[:, ::2]}, r"source: expected shape \(2, 7\), .*, got \(2, 4\)"),
        (
            {"act": lambda h: (h, h)},
            r"expected logits of shape \(n, C\) .*, got tuple; .* forward=",
        ),
        ({"act": lambda h: h[..., :1]}, r"two classes or more, got one; .* source=.binary_prob"),
        ({"act": lambda h: h[:1, -1]}, r"labels: expected shape \(1,\), got \(2,\)"),
    ],
)
def test_bad_outputs(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(capture(Custom(**options), batches((2,)), rnn="body.gru"))


def test_time_first() -> None:
    ((x, labels),) = batches((2,))
    model, given = Custom(batch_first=False), [(x.transpose(0, 1), labels)]

    def forward(model, batch):  # type: ignore[no-untyped-def]
        return model(batch[0]).transpose(0, 1)

    ((h, y),) = capture(model, given, rnn="body.gru", forward=forward)
    expected = model.body["gru"](x.transpose(0, 1))[0].transpose(0, 1)
    assert torch.equal(h, expected)
    torch.testing.assert_close(y[1], h[1].softmax(1)[:, labels[1]])


def test_a_layer_that_runs_twice_gives_two_sets_of_sequences() -> None:
    found = list(capture(Custom(twice=True), batches((2,)), rnn="body.gru"))
    assert [tuple(h.shape) for h, _ in found] == [(2, 7, 6)] * 2
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


X, LABELS = batches((2,))[0]


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ((X, LABELS + 4), ValueError, r"labels: expected 0\.\.3, got [4-7]"),
        ((X, LABELS - 4), ValueError, r"labels: expected 0\.\.3, got -"),
        ((X, LABELS[:1]), ValueError, r"labels: expected shape \(2,\) or \(2, 7\), got \(1,\)"),
        ((X, LABELS.float()), TypeError, r"labels: expected integers, got torch\.float32"),
        ((X, [0, 1]), TypeError, "labels: expected a tensor, got list"),
        ((X[0], LABELS), ValueError, r"expected a batch of sequences, got an output \(7, 6\)"),
        (
            (X, LABELS, LABELS[:1]),
            ValueError,
            r"lengths: expected a tensor of shape \(2,\), got \(1,\)",
        ),
        ((X,), ValueError, r"labels: expected them at 1 .*, got a tuple of 1 items; labels="),
        (X, TypeError, r"expected a tuple such as \(x, labels\), got Tensor; .* forward="),
    ],
)
def test_bad_batches(batch, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        next(capture(make(), [batch]))
