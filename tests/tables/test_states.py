"""States of several steps, against loops over the steps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tefast._inputs import values
from tefast._tables import states
from tefast._tables.states import Embedding, JointState

shapes = st.tuples(st.integers(1, 3), st.integers(1, 6)) | st.just((2, 3, 2))
codes_of = hnp.arrays(np.int64, shapes, elements=st.integers(-1, 4))
# Far from where numbers end, and where states have to be numbered anew.
limits = st.sampled_from([2**62, 200, 30])


@settings(max_examples=150, deadline=None)
@given(codes=codes_of, back=st.lists(st.integers(-7, 14), min_size=1, max_size=7))
def test_history_is_the_number_whose_digits_are_the_steps(codes, back):
    result = states.history(JointState(codes, 5), back)
    assert result.codes.dtype == np.int64
    assert result.size == 5 ** len(back)
    for place in np.ndindex(codes.shape):
        digits = digits_at(codes, back, place)
        known = -1 if -1 in digits else int("".join(map(str, digits)), 5)
        assert result.codes[place] == known


def digits_at(codes, back, place):
    n, t, *unit = place
    at = [t - steps for steps in back]
    return [int(codes[(n, i, *unit)]) if 0 <= i < codes.shape[1] else -1 for i in at]


@settings(max_examples=150, deadline=None)
@given(codes=codes_of, back=st.lists(st.integers(-3, 5), min_size=1, max_size=7), limit=limits)
def test_histories_of_more_states_than_can_be_numbered_tell_the_same_apart(codes, back, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "MOST_STATES", limit)
        result = states.history(JointState(codes, 5), back)
    found = {}
    for place in np.ndindex(codes.shape):
        digits = tuple(digits_at(codes, back, place))
        if -1 in digits:
            assert result.codes[place] == -1
        else:
            found.setdefault(digits, set()).add(int(result.codes[place]))
    assert all(len(numbers) == 1 for numbers in found.values())
    numbers = [min(found[digits]) for digits in sorted(found)]
    assert (np.diff(numbers) > 0).all()  # in the same order
    assert not numbers or 0 <= numbers[0] <= numbers[-1] < result.size


@settings(max_examples=100, deadline=None)
@given(codes=codes_of, steps=st.integers(-8, 8))
def test_moved_is_what_was_steps_earlier(codes, steps):
    result = JointState(codes, 5).moved(steps).codes
    assert result.dtype == codes.dtype
    for t in range(codes.shape[1]):
        inside = 0 <= t - steps < codes.shape[1]
        np.testing.assert_array_equal(result[:, t], codes[:, t - steps] if inside else -1)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), limit=limits)
def test_together_tells_every_combination_apart(data, limit):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    shape = (2, 5)
    parts = [
        data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, size - 1))) for size in sizes
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "MOST_STATES", limit)
        result = states.together(map(JointState, parts, sizes))
    found = {}
    for place in np.ndindex(shape):
        known = tuple(int(part[place]) for part in parts)
        if -1 in known:
            assert result.codes[place] == -1
        else:
            found.setdefault(known, set()).add(int(result.codes[place]))
            if limit == 2**62:
                assert np.unravel_index(result.codes[place], sizes) == known
    assert all(len(numbers) == 1 for numbers in found.values())
    assert len(set.union(set(), *found.values())) == len(found)
    assert result.codes.max() < result.size <= math.prod(sizes)


def test_more_states_that_occur_than_64_bits_can_number(monkeypatch):
    # As many would take 2**32 steps: what counts is said to be more here.
    class Many(JointState):
        def ranked(self):
            return JointState(self.codes, 2**32)

    few = Many(np.zeros((1, 2), np.int64), 2**40)
    with pytest.raises(ValueError, match="4294967296 x 4294967296 joint states cannot be numbered"):
        few.beside(few)


@pytest.mark.parametrize(
    ("embedding", "first"),
    [
        ((1, 1, 1), 0),
        ((3, 1, 1), 2),
        ((1, 3, 1), 2),
        ((1, 1, 3), 2),
        ((2, 3, 2), 3),
        ((3, 1, 1, 4), 8),
        ((1, 3, 2, 1, 4), 9),
        ((2, 2, 1, 5, 3), 5),
    ],
)
def test_first_step_that_a_transition_starts_from(embedding, first):
    assert Embedding(*embedding).first == first
    short = values.target(np.zeros((2, first + 1, 1)))
    with pytest.raises(ValueError, match=f"takes at least {first + 2} steps, .* has {first + 1}"):
        Embedding(*embedding).check_steps(short)
    Embedding(*embedding).check_steps(values.target(np.zeros((2, first + 2, 1))))


def test_one_step_is_not_spoken_of_as_a_history():
    with pytest.raises(ValueError, match=r"^a transition takes at least 2 steps"):
        Embedding().check_steps(values.target([0.0]))


def test_steps_of_histories():
    embedding = Embedding(3, 2, 4, 2, 5)
    assert list(embedding.past) == [5, 3, 1]
    assert list(embedding.source) == [9, 4]
    with pytest.raises(ValueError, match=r"and delay=4, target_step=2, source_step=5 takes at l"):
        embedding.check_steps(values.target(np.zeros(9)))


def test_the_step_of_a_history_of_one_step_says_nothing():
    assert Embedding.check(1, 1, 1, 7, 9) == Embedding()
    with pytest.raises(ValueError, match="source_step must be a positive integer, got 0"):
        Embedding.check(1, 1, 1, 7, 0)


def test_integers_of_any_kind_are_taken():
    assert Embedding.check(np.int8(2), np.uint64(3), np.array(4)) == Embedding(2, 3, 4)
    assert states.check_not_negative(np.int32(0), "delay") == 0
    with pytest.raises(ValueError, match="delay must be an integer, 0 or more, got -1"):
        states.check_not_negative(-1, "delay")
    with pytest.raises(TypeError, match="delay must be an integer, 0 or more, got False"):
        states.check_not_negative(False, "delay")
