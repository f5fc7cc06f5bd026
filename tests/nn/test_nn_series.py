"""Series for classes, single logits and numbers, at every step or once for a sequence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import tefast
from tefast.nn import capture, criteria, prune_in_steps, score
from tefast.nn.series import LOSSES, SOURCES

pytestmark = pytest.mark.usefixtures("one_thread")

N, T = 24, 6


class Regression(nn.Module):
    """One number, or several, at every step or once for a sequence."""

    def __init__(self, numbers: int = 1, last: bool = False, flat: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc = nn.GRU(3, 4, batch_first=True), nn.Linear(4, numbers)
        self.last, self.flat = last, flat
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.rnn(x)[0]
        found = self.fc(output[:, -1] if self.last else output)
        return found[..., 0] if self.flat else found


def inputs() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(N, T, 3).double()


def te(model: Regression, x: torch.Tensor, y: torch.Tensor, lengths=None) -> torch.Tensor:  # type: ignore[no-untyped-def]
    low, high = float(y.min()), float(y.max())
    if lengths is not None:
        valid = torch.arange(T) < lengths[:, None]
        low, high = float(y[valid].min()), float(y[valid].max())
    return tefast.transfer_entropy(
        model.rnn(x)[0].detach(), y.detach(), 3, h_range=(-1, 1), y_range=(low, high),
        lengths=lengths,
    )  # fmt: skip


NAMES = ("transfer_entropy", "reverse_transfer_entropy", "mutual_information", "taylor")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [(N,), (N, 1), (N, T)])
def test_numbers_are_not_taken_for_classes(name: str, last: bool, shape: tuple) -> None:
    for numbers in (1, 2):
        model, batches = Regression(numbers, last), [(inputs(), torch.rand(shape))]
        with pytest.raises(TypeError, match=r"integers, got torch.float32; .* source=.*loss="):
            score(model, batches, name)
        with pytest.raises(TypeError, match=r"integers, got torch.float32"):
            score(model, batches, name)[0, 0]
        with pytest.raises(TypeError, match=r"integers, got torch.float32"):
            prune_in_steps(model, batches, name, amount=0.5, descending=False)


def test_entropy_of_units_needs_no_labels() -> None:
    model, x = Regression(), inputs()
    for batch in ((x, torch.rand(N)), (x, None), (x,)):
        for name in ("entropy", "active_information", "activation_magnitude"):
            assert (score(model, [batch], name)[0, 0] > 0).all()


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [(N, T), (N, T, 1), (N,), (N, 1)])
def test_squared_error_and_target_at_every_step(shape: tuple, flat: bool, lengths: bool) -> None:
    model, x, targets = Regression(flat=flat), inputs(), torch.randn(shape)
    steps = torch.randint(2, T + 1, (N,)) if lengths else None
    if lengths and len(shape) > 1 and shape[1] == T:  # whatever padding holds
        targets[torch.arange(T) >= steps[:, None]] = torch.nan
    batch = (x, targets, steps) if lengths else (x, targets)
    each = targets.double().reshape(N, -1).expand(N, T)
    predicted = model(x).reshape(N, T).detach()
    error = (predicted - each).square()
    found = score(model, [batch], "transfer_entropy", bins=3, source="squared_error")
    torch.testing.assert_close(found[0, 0], te(model, x, error, steps), rtol=0, atol=1e-12)
    found = score(model, [batch], "transfer_entropy", bins=3, source="target")
    torch.testing.assert_close(found[0, 0], te(model, x, each, steps), rtol=0, atol=1e-12)
    own = score(model, [batch], "transfer_entropy", bins=3,
                       source=lambda _result, _batch: error)  # fmt: skip
    torch.testing.assert_close(own[0, 0], te(model, x, error, steps), rtol=0, atol=1e-12)
    # "taylor" by hand: the gradient of the mean over what counts.
    valid = torch.ones(N, T).bool() if steps is None else torch.arange(T) < steps[:, None]
    h = model.rnn(x)[0].detach().requires_grad_()
    (model.fc(h)[..., 0] - each).square()[valid].mean().backward()
    expected = (h.detach() * h.grad).nan_to_num().sum(1).abs().mean(0) * N
    found = score(model, [batch], "taylor", loss="squared_error")[0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert (found > 0).all()


@pytest.mark.parametrize("numbers", [1, 2, T])
def test_forecasts_once_for_a_sequence(numbers: int) -> None:
    model, x, targets = Regression(numbers, last=True), inputs(), torch.randn(N, numbers).double()
    after = model.fc(model.rnn(x)[0]).detach()  # what it would say after every step
    error = (after - targets[:, None]).square().mean(2)
    found = score(model, [(x, targets)], "transfer_entropy", bins=3, source="squared_error")
    torch.testing.assert_close(found[0, 0], te(model, x, error), rtol=0, atol=1e-12)
    if numbers == 1:
        flat = Regression(1, last=True, flat=True)
        for shape in ((N,), (N, 1)):
            batch = (x, targets.reshape(shape))
            again = score(flat, [batch], "transfer_entropy", bins=3, source="squared_error")
            assert torch.equal(again[0, 0], found[0, 0])
            assert (score(flat, [batch], "taylor", loss="squared_error")[0, 0] > 0).all()
    h = model.rnn(x)[0].detach().requires_grad_()
    (model.fc(h[:, -1]) - targets).square().mean().backward()
    expected = (h.detach() * h.grad).sum(1).abs().mean(0) * N
    loss = score(model, [(x, targets)], "taylor", loss="squared_error")[0, 0]
    torch.testing.assert_close(loss, expected)
    if numbers > 1:
        with pytest.raises(ValueError, match=f"target: expected one number a step, got {numbers}"):
            score(model, [(x, targets)], "transfer_entropy", source="target")


def test_columns_that_may_be_steps_or_not() -> None:
    """As many columns as steps: two runs show whether they are steps."""

    class Mixed(Regression):
        """Every step is read by others too."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = self.fc(self.rnn(x)[0])[..., 0]
            return found + found.mean(1, keepdim=True)

    class Beside(Regression):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[..., 0].cumsum(1).flip(1) + x[..., 0]

    x, targets = inputs(), torch.randn(N, T).double()
    model = Mixed()
    error = (model(x).detach() - targets).square()
    found = score(model, [(x, targets)], "transfer_entropy", bins=3, source="squared_error")
    torch.testing.assert_close(found[0, 0], te(model, x, error), rtol=0, atol=1e-12)
    for option in ({"source": "squared_error"}, {"loss": "squared_error"}):
        name = "taylor" if "loss" in option else "transfer_entropy"
        with pytest.raises(ValueError, match=r"whose columns may be steps or not; give source="):
            score(Beside(), [(x, targets)], name, **option)


@pytest.mark.parametrize("cell", [False, True])
def test_steps_that_come_first(cell: bool) -> None:
    """As many sequences as steps: the shape does not say which axis is which."""

    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn, self.fc = nn.GRUCell(3, 4) if cell else nn.GRU(3, 4), nn.Linear(4, 3)
            self.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not cell:
                return self.fc(self.rnn(x)[0])
            state, outputs = None, []
            for step in x:
                state = self.rnn(step, state)
                outputs.append(state)
            return self.fc(torch.stack(outputs))

    model, x = TimeFirst(), torch.randn(T, T, 3).double()
    batch = (x, torch.randint(0, 3, (T,)))
    for name in ("transfer_entropy", "taylor"):
        with pytest.raises(ValueError, match="with the steps first; let forward=function"):
            score(model, [batch], name)
        with pytest.raises(ValueError, match=r"labels: expected shape|expected shape \(4, 6\)"):
            score(model, [(x[:, :4], batch[1][:4])], name)
    turned = {"forward": lambda model, batch: model(batch[0]).transpose(0, 1)}
    assert (score(model, [batch], "taylor", **turned)[0, 0] > 0).all()


def test_steps_padded_further_than_the_batch_needs() -> None:
    class Tagger(Regression):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = pack_padded_sequence(x, lengths, True, enforce_sorted=False)
            return self.fc(pad_packed_sequence(self.rnn(packed)[0], True, total_length=self.to)[0])

    x, steps = inputs(), torch.randint(2, T, (N,))
    for numbers, targets, names in (
        (3, torch.randint(0, 3, (N, T + 2)), {"source": "label_probability"}),
        (1, torch.randn(N, T + 2), {"source": "squared_error", "loss": "squared_error"}),
    ):
        model = Tagger(numbers)
        for padding in (-100, 7):
            labels = targets.masked_fill(torch.arange(T + 2) >= steps[:, None], padding)
            found = []
            for model.to in (None, int(steps.max()) + 1):
                for name in ("transfer_entropy", "taylor"):
                    found.append(score(
                        model, [(x, labels, steps)], name, **names, bins=3,
                        forward=lambda model, batch: model(batch[0], batch[2]),
                    )[0, 0])  # fmt: skip
            assert torch.equal(found[0], found[2])
            torch.testing.assert_close(found[1], found[3])
            assert (found[1] > 0).all()


def test_labels_that_stand_for_none() -> None:
    model, x = Regression(3), inputs()
    labels = torch.randint(0, 3, (N, T))
    ignored = labels.clone()
    ignored[:, ::2] = -100
    h = model.rnn(x)[0].detach().requires_grad_()
    nn.functional.cross_entropy(model.fc(h).flatten(0, 1), ignored.flatten()).backward()
    expected = (h.detach() * h.grad).sum(1).abs().mean(0) * N
    torch.testing.assert_close(score(model, [(x, ignored)], "taylor")[0, 0], expected)
    with pytest.raises(ValueError, match=r"got -100, which stands for none; .* lengths="):
        score(model, [(x, ignored)], "transfer_entropy")


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_one_logit(dtype: torch.dtype, last: bool) -> None:
    model, x = Regression(1, last), inputs()
    labels = torch.randint(0, 2, (N,)).to(dtype)
    probability = torch.sigmoid(model.fc(model.rnn(x)[0]))[..., 0].detach()
    y = torch.where(labels.bool()[:, None], probability, 1 - probability)
    expected = tefast.transfer_entropy(
        model.rnn(x)[0].detach(), y, 3, h_range=(-1, 1), y_range=(0, 1)
    )
    how = {"source": "binary_probability", "loss": "binary_cross_entropy"}
    found = score(model, [(x, labels)], "transfer_entropy", bins=3, **how)[0, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    h = model.rnn(x)[0].detach().requires_grad_()
    logits = model.fc(h[:, -1] if last else h)[..., 0]
    each = labels.double() if last else labels.double()[:, None].expand(N, T)
    nn.functional.binary_cross_entropy_with_logits(logits, each).backward()
    slope = (h.detach() * h.grad).sum(1).abs().mean(0) * N
    torch.testing.assert_close(score(model, [(x, labels)], "taylor", **how)[0, 0], slope)
    if dtype is not torch.float32:
        with pytest.raises(ValueError, match=r"two classes or more, got one; .*binary_probability"):
            score(model, [(x, labels)], "transfer_entropy")
    with pytest.raises(ValueError, match="labels: expected zeros and ones, got 2"):
        score(model, [(x, labels.long() + 1)], "transfer_entropy", **how)


class Classifier(nn.Module):
    """Tokens and lengths to a class, by one of the ways in which a layer is read."""

    def __init__(self, how: str, kind: type = nn.LSTM, layers: int = 1, both: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.both = how, both
        self.embed = nn.Embedding(9, 3)
        self.rnn = kind(3, 4, layers, batch_first=True, bidirectional=both)
        self.fc = nn.Linear(4 * (1 + both), 3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1, 1)
        self.double()

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        embedded = self.embed(tokens)
        if self.how == "last output":
            return self.head(self.rnn(embedded)[0][:, -1])
        packed = pack_padded_sequence(embedded, lengths, True, enforce_sorted=False)
        output, state = self.rnn(packed)
        if self.how in ("final state", "cell state"):
            h = state[self.how == "cell state"] if isinstance(state, tuple) else state
            return self.head(torch.cat([h[-2], h[-1]], 1) if self.both else h[-1])
        output = pad_packed_sequence(output, True)[0]
        valid = torch.arange(output.shape[1]) < lengths[:, None]
        if self.how == "output at the end":
            return self.head(output[torch.arange(len(output)), lengths - 1])
        if self.how == "mean":
            return self.head((output * valid[..., None]).sum(1) / lengths[:, None])
        if self.how == "maximum":
            return self.head(output.masked_fill(~valid[..., None], -torch.inf).amax(1))
        weight = output.sum(2).masked_fill(~valid, -torch.inf).softmax(1)
        return self.head((output * weight[..., None]).sum(1))

    def head(self, read: torch.Tensor) -> torch.Tensor:
        return self.fc(read.tanh())


WAYS = ("last output", "final state", "cell state", "output at the end", "mean", "maximum",
        "attention")  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_one_result_for_a_sequence(data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(WAYS))
    kind = nn.LSTM if how == "cell state" else data.draw(st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]))
    both, layers = data.draw(st.booleans()), data.draw(st.integers(1, 2))
    model = Classifier(how, kind, layers, both)
    n = data.draw(st.integers(1, 5))
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, T), min_size=n, max_size=n)))
    if how == "last output":
        lengths = torch.full((n,), T)
    tokens, labels = torch.randint(0, 9, (n, int(lengths.max()))), torch.randint(0, 3, (n,))
    if data.draw(st.booleans()):
        part = (layers - 1, int(both))
        found: list = []

        def keep(context: tefast.nn.Context) -> torch.Tensor:
            found.extend(context.observed())
            return torch.zeros(context.units)

        run = {"forward": lambda model, batch: model(*batch[:2]), "labels": 2, "lengths": 1}
        score(model, [(tokens, lengths, labels)], keep, parts=[part], **run)
        ((_, y, steps),) = found
        assert torch.equal(steps, lengths)
    elif layers == 1 and not both:
        ((_, y, steps),) = capture(
            model, [(tokens, labels, lengths)], forward=lambda m, b: m(b[0], b[2])
        )
    else:
        return
    for row, length in enumerate(lengths.tolist()):
        alone = model.embed(tokens[row : row + 1, :length])
        read = model.rnn(alone)[0][0]
        if how == "cell state":
            read = cells(model.rnn, alone)
        expected = model.head(read).softmax(1)[:, labels[row]]
        torch.testing.assert_close(y[row, :length], expected, rtol=0, atol=1e-12)


def cells(rnn: nn.LSTM, x: torch.Tensor) -> torch.Tensor:
    """The cell states (T, U) of the last layer: of a run up to every step, from either end."""
    steps, found = x.shape[1], []
    for step in range(steps):
        forward = rnn(x[:, : step + 1])[1][1]
        if not rnn.bidirectional:
            found.append(forward[-1][0])
            continue
        # Layer by layer, since the lower ones see the whole sequence.
        both = []
        y = x
        for layer in range(rnn.num_layers):
            ways = []
            for suffix in ("", "_reverse"):
                one = nn.LSTM(y.shape[2], 4, batch_first=True).double()
                for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                    own = getattr(rnn, f"{role}_l{layer}{suffix}")
                    getattr(one, f"{role}_l0").data.copy_(own.data)
                ways.append((one, y.flip(1) if suffix else y))
            if layer == rnn.num_layers - 1:
                both = [ways[0][0](ways[0][1][:, : step + 1])[1][1][-1, 0],
                        ways[1][0](ways[1][1][:, : steps - step])[1][1][-1, 0]]  # fmt: skip
            outputs = [one(way)[0] for one, way in ways]
            y = torch.cat([outputs[0], outputs[1].flip(1)], 2)
        found.append(torch.cat(both))
    return torch.stack(found)


def text(n: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    lengths = torch.randint(2, T + 1, (n,))
    lengths[0] = T
    return torch.randint(0, 9, (n, T)), lengths, torch.randint(0, 3, (n,))


@pytest.mark.filterwarnings("ignore:method='chi2' with:RuntimeWarning")
def test_the_ordinary_text_classifier_fits() -> None:
    """Packed, in both directions, final states, batches (tokens, lengths, labels)."""
    model, batch = Classifier("final state", nn.LSTM, 2, True), text()
    run = {"forward": lambda model, batch: model(*batch[:2]), "labels": 2, "lengths": 1}
    for name in criteria.NAMED:
        scores = score(model, [batch], name, bins=3, **run)
        assert [len(one) for one in scores.values()] == [4] * 4
        assert all(one.isfinite().all() for one in scores.values())
        if "significant" not in name:
            assert any((one != 0).any() for one in scores.values()), name
    for message, where in (("forward=", {}), ("lengths= and labels=", {"forward": run["forward"]})):
        with pytest.raises((TypeError, ValueError), match=message):
            score(model, [batch], "transfer_entropy", **where)
    single = Classifier("final state")
    assert torch.equal(
        score(single, [batch], "transfer_entropy", **run)[0, 0],
        score(single, [batch], "transfer_entropy", **run)[0, 0],
    )
    assert score(single, [batch], "transfer_entropy", **run, of="gates")[0, 0].shape == (4, 4)


def test_layers_and_cells_one_behind_the_other() -> None:
    """Whichever is scored, the series is what is said of a step by all of them."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.GRU(3, 4, batch_first=True), nn.LSTMCell(4, 5)
            self.fc = nn.Linear(5, 3)
            self.double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = None
            for step in self.first(x)[0].unbind(1):
                state = self.second(step, state)
            return self.fc(state[0])

    model, x, labels = Two(), inputs(), torch.randint(0, 3, (N,))
    expected = [model(x[:, : step + 1]).softmax(1)[torch.arange(N), labels] for step in range(T)]
    for name in ("first", "second"):
        found: list = []
        score(model, [(x, labels)], lambda context, found=found: (
            found.extend(context.observed()), torch.zeros(context.units))[1], rnn=name)  # fmt: skip
        torch.testing.assert_close(found[0].y, torch.stack(expected, 1).detach())


def test_a_series_over_steps_that_cannot_be_made() -> None:
    class Sized(Regression):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output, state = self.rnn(x)
            assert not torch.equal(output[:, 0], output[:, 1])
            return self.fc(state[-1])

    class Joined(Regression):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[1][-1]).reshape(N // 2, -1)

    x, labels = inputs(), torch.randint(0, 3, (N,))
    with pytest.raises(ValueError, match=r"(?s)does not run where .* give source=function"):
        score(Sized(3), [(x, labels)], "transfer_entropy")
    with pytest.raises(ValueError, match=r"a result for each of the 24 sequences .* got .12, 6.; "):
        score(Joined(3), [(x, labels[:12])], "transfer_entropy")
    with pytest.raises(ValueError, match=r"labels: expected 0\.\.2, got [3-5]"):  # before many runs
        score(Sized(3), [(x, labels + 3)], "transfer_entropy")


def test_a_state_from_batch_to_batch_beside_further_runs() -> None:
    """The runs that make a series over steps start where the model's own run did."""

    class Stateful(Regression):
        state = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, self.state = self.rnn(x, self.state)
            return self.fc(self.state[-1])

    model, x, labels = Stateful(3), inputs(), torch.randint(0, 3, (N,))
    found = list(capture(model, [(x, labels)] * 2))
    state = None
    for h, y in found:
        output, state = model.rnn(x, state)
        torch.testing.assert_close(h, output)
        expected = model.fc(output).softmax(2).gather(2, labels[:, None, None].expand(-1, T, 1))
        torch.testing.assert_close(y, expected[..., 0])
    assert not torch.equal(found[0][1], found[1][1])


def test_names_of_sources_and_losses() -> None:
    model, batch = Regression(3), (inputs(), torch.randint(0, 3, (N,)))
    for option, known in (("source", SOURCES), ("loss", LOSSES)):
        with pytest.raises(ValueError, match=f"{option}: expected one of {next(iter(known))}, "):
            score(model, [batch], "random", **{option: "error"})
    for name, function in {**SOURCES, **LOSSES}.items():
        option = "source" if name in SOURCES and function is SOURCES[name] else "loss"
        score(model, [batch], "random", **{option: name})
    with pytest.raises(TypeError, match=r"read again, .* with y_range= they would be read once"):
        score(model, iter([batch]), "transfer_entropy", source=lambda r, b: r[..., 0])
    given = {"source": lambda result, _batch: result[..., 0], "y_range": (-2, 2)}
    assert (score(model, iter([batch]), "transfer_entropy", **given)[0, 0] > 0).all()
    with pytest.raises(ValueError, match="source: expected finite numbers"):
        score(model, [batch], "transfer_entropy", source=lambda r, b: r[..., 0] * torch.nan)
    with pytest.raises(ValueError, match=r"targets: expected some for what the model gives, \(24"):
        score(model, [(inputs(), torch.rand(N))], "transfer_entropy",
                     source="squared_error")  # fmt: skip
