"""States of several steps, against loops over the steps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tefast import states, values
from tefast.states import Embedding

codes_of = hnp.arrays(
    st.sampled_from([np.int16, np.int64]),
    st.tuples(st.integers(1, 3), st.integers(1, 6)) | st.just((2, 3, 2)),
    elements=st.integers(-1, 4),
)


@settings(max_examples=150, deadline=None)
@given(codes=codes_of, length=st.integers(1, 7), shift=st.integers(-7, 7))
def test_history_is_the_number_whose_digits_are_the_steps(codes, length, shift):
    result = states.history(codes, 5, length, shift)
    assert result.dtype == np.int64
    steps = codes.shape[1]
    for place in np.ndindex(codes.shape):
        n, t, *unit = place
        at = [t - shift - back for back in reversed(range(length))]
        digits = [int(codes[(n, i, *unit)]) if 0 <= i < steps else -1 for i in at]
        known = -1 if -1 in digits else int("".join(map(str, digits)), 5)
        assert result[place] == known


@settings(max_examples=100, deadline=None)
@given(codes=codes_of, steps=st.integers(-8, 8))
def test_moved_is_what_was_steps_earlier(codes, steps):
    result = states.moved(codes, steps)
    assert result.dtype == codes.dtype
    for t in range(codes.shape[1]):
        inside = 0 <= t - steps < codes.shape[1]
        np.testing.assert_array_equal(result[:, t], codes[:, t - steps] if inside else -1)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_together_tells_every_combination_apart(data):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    shape = (2, 5)
    parts = [
        data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, size - 1))) for size in sizes
    ]
    result = states.together(parts, sizes)
    for place in np.ndindex(shape):
        known = [int(part[place]) for part in parts]
        if -1 in known:
            assert result[place] == -1
        else:
            assert list(np.unravel_index(result[place], sizes)) == known
    assert result.max() < math.prod(sizes)


@pytest.mark.parametrize(
    ("embedding", "first"),
    [((1, 1, 1), 0), ((3, 1, 1), 2), ((1, 3, 1), 2), ((1, 1, 3), 2), ((2, 3, 2), 3)],
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


def test_integers_of_any_kind_are_taken():
    assert Embedding.check(np.int8(2), np.uint64(3), np.array(4)) == Embedding(2, 3, 4)
    assert states.check_not_negative(np.int32(0), "delay") == 0
    with pytest.raises(ValueError, match="delay must be an integer, 0 or more, got -1"):
        states.check_not_negative(-1, "delay")
    with pytest.raises(TypeError, match="delay must be an integer, 0 or more, got False"):
        states.check_not_negative(False, "delay")
