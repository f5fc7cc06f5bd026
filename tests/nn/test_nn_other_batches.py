"""`prune` also compares batches of other sizes and values than its example's."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tefast.nn import mask, prune
from tefast.nn._trace.comparison import TOLERANCES, alike
from tefast.nn._trace.derived import ONE_STEP, other_batches, twice
from tefast.nn._trace.examples import Arguments

pytestmark = pytest.mark.usefixtures("one_thread")


class Branching(nn.Module):
    """Divides by its layer's width only where `when` says so, and hides it beside a constant."""

    def __init__(self, when, offset=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.fc = nn.LSTM(3, 6, batch_first=True), nn.Linear(6, 4)
        self.when, self.offset = when, offset

    def forward(self, x, lengths=None):
        output, _ = self.rnn(x)
        if self.when(x, lengths):
            output = output / output.size(-1) ** 0.5
        return self.fc(output) * 1e-4 + self.offset


def example(count=3, steps=6):
    return (torch.randn(count, steps, 3, generator=torch.Generator().manual_seed(1)),)


ELSEWHERE = {
    "the first 5 steps": lambda x, n: x.shape[1] == 5,
    "the first 3 steps": lambda x, n: x.shape[1] == 3,
    "one step more": lambda x, n: x.shape[1] == 7,
    "more sequences": lambda x, n: len(x) > 3,
    "one sequence of": lambda x, n: len(x) == 1,
    "other signs": lambda x, n: x.sum() * example()[0].sum() < 0,
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_code_that_runs_only_on_other_batches_is_compared(name, offset):
    with pytest.raises(ValueError, match="does not give on") as error:
        prune(Branching(ELSEWHERE[name], offset), [1, 2], example=example())
    if name != "other signs":
        assert name in str(error.value)


def test_a_fill_hides_no_difference():
    """Nor does a constant that is equal in both models, though the mean lies with it."""

    class Filled(Branching):
        def forward(self, x, there):
            return super().forward(x).masked_fill(~there[..., None], -1e9)

    there = torch.ones(3, 6).bool()
    there[1, 2:] = False
    with pytest.raises(ValueError, match="the first 5 steps"):
        prune(Filled(ELSEWHERE["the first 5 steps"]), [1, 2], example=(*example(), there))


def test_one_sequence_is_tried_with_other_signs_too():
    given = example(1)
    model = Branching(lambda x, n: x.sum() * given[0].sum() < 0)
    with pytest.raises(ValueError, match="does not give on"):
        prune(model, [1, 2], example=given)


def test_a_packed_sequence_may_lie_beside_tensors_of_as_many_rows():
    class Beside(Branching):
        def forward(self, x, fixed):
            output = pad_packed_sequence(self.rnn(x)[0], batch_first=True)[0]
            return self.fc(output).sum(1) + fixed.sum(1, keepdim=True)

    packed = pack_padded_sequence(example(3, 5)[0], [5, 3, 2], batch_first=True)
    for fixed in (torch.randn(3, 8), torch.randn(3, 20)):
        pruned = prune(Beside(None), [1, 2], example=(packed, fixed))
        masked = mask(Beside(None), [1, 2])
        torch.testing.assert_close(pruned(packed, fixed), masked(packed, fixed))


def test_lengths_of_every_number_of_steps_are_compared():
    def short(x, n):
        return bool((n == 2).any())

    given = (*example(), torch.tensor([6, 6, 6]))
    with pytest.raises(ValueError, match="more sequences"):
        prune(Branching(short), [1, 2], example=given)


def test_a_pruned_model_that_fails_on_another_batch_is_refused():
    class Reshaping(Branching):
        def forward(self, x):
            output, _ = self.rnn(x)
            if x.shape[1] == 5:
                output = output.reshape(-1, 6).view(len(x), 5, 6)
            return self.fc(output)

    with pytest.raises(ValueError, match="does not run on the first 5 steps of the example"):
        prune(Reshaping(None), [1, 2], example=example())


def test_a_model_that_takes_only_its_example_is_pruned():
    class Fixed(Branching):
        def forward(self, x):
            if x.shape != (3, 6, 3):
                raise RuntimeError("three sequences of six steps are wanted")
            return self.fc(self.rnn(x)[0])

    model = Fixed(None)
    x = example()
    torch.testing.assert_close(
        prune(model, [1], example=x)(*x), mask(model, [1])(*x), atol=1e-6, rtol=1e-6
    )


def test_the_example_is_not_changed():
    x, lengths, flags = example()[0], torch.tensor([6, 2, 3]), torch.ones(3, 6).bool()
    before = [one.clone() for one in (x, lengths, flags)]
    for _, made in other_batches(Arguments(x, lengths, flags), 3, 6):
        for one in made.args:
            one.zero_()
    assert all(map(torch.equal, (x, lengths, flags), before))


def of(how, *given):
    made = how.of(Arguments(*given), 3, 6)
    return None if made is None else made.args


def test_first_and_double_steps_of_every_kind_of_argument():
    x, lengths = example()[0], [6, 2, 3]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    given = (x, x.transpose(0, 1), lengths, np.array(lengths), torch.tensor(lengths), packed)
    assert of(ONE_STEP, tuple(lengths)) == ((1, 1, 1),)
    first = of(ONE_STEP, *given)
    assert torch.equal(first[0], x[:, :1])
    assert torch.equal(first[1], x.transpose(0, 1)[:1])
    assert first[2] == [1] * 3
    assert first[3].tolist() == [1] * 3
    assert first[4].tolist() == [1] * 3
    padded, ends = pad_packed_sequence(first[5], batch_first=True)
    assert torch.equal(padded, x[:, :1])
    assert ends.tolist() == [1] * 3
    double = of(twice(6), *given)
    assert torch.equal(double[0], torch.cat([x, x], 1))
    assert double[2] == [12, 8, 9]
    padded, ends = pad_packed_sequence(double[5], batch_first=True)
    assert padded.shape == (3, 12, 3)
    assert ends.tolist() == [12, 8, 9]


def test_what_has_no_steps_is_not_made_again():
    assert of(ONE_STEP, torch.randn(2, 4), "text", 3) is None
    assert of(ONE_STEP, [7, 8, 9]) is None  # numbers above six are no lengths of six steps


def test_added_sequences_have_all_lengths_and_masks_that_end_there():
    x, lengths = example()[0], torch.tensor([6, 2, 3])
    flags = torch.arange(6) < lengths[:, None]
    state, labels = torch.randn(2, 3, 6), torch.randn(3)
    found = dict(other_batches(Arguments(x, lengths, flags, flags.T, state, labels), 3, 6))
    more = found["the example with more sequences"].args
    assert more[0].shape == (9, 6, 3)
    assert more[1].tolist() == [6, 2, 3, 6, 5, 4, 3, 2, 1]
    assert torch.equal(more[2], torch.arange(6) < more[1][:, None])
    assert more[3].equal(more[2].T)
    assert more[4].shape == (2, 9, 6)
    assert more[5].shape == (9,)
    one = found["one sequence of the example"].args
    assert [tuple(each.shape) for each in one] == [(1, 6, 3), (1,), (1, 6), (6, 1), (2, 1, 6), (1,)]
    assert torch.equal(one[0].flatten().sort()[0], -x[:1].flatten().sort(descending=True)[0])


def test_falling_lengths_stay_so():
    x = example()[0]
    packed = pack_padded_sequence(x, [6, 3, 2], batch_first=True)
    for what, made in other_batches(Arguments(packed, [6, 3, 2]), 3, 6):
        assert made.args[0].sorted_indices is None, what
        assert made.args[1] == sorted(made.args[1], reverse=True), what


def test_one_sequence_of_one_step_gives_other_sizes():
    names = [what for what, _ in other_batches(Arguments(torch.randn(1, 1, 3)), 1, 1)]
    assert names == ["the example with one step more", "the example with more sequences"]


def test_results_are_measured_from_the_mean_of_their_feature():
    tolerance, feature = TOLERANCES[torch.float64], torch.zeros(8, dtype=torch.int64)
    values = torch.arange(8).double() * 1e-5 + 1e6
    near, off = values * (1 + 1e-15), values + 1e-4 * torch.eye(8).double()[3]
    assert alike(near, values, feature, tolerance, about_mean=True)
    assert not alike(off, values, feature, tolerance, about_mean=True)
    assert alike(off, values, feature, tolerance)
    holes = values.clone()
    holes[0] = float("inf")
    assert not alike(
        torch.where(holes.isinf(), holes, off), holes, feature, tolerance, about_mean=True
    )
    assert alike(near[:2], values[:2], feature[:2], tolerance, about_mean=True)
