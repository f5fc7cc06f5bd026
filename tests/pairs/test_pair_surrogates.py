"""The best of several delays beside surrogates: which there are, and what each of them gives."""

import numpy as np
import pytest

import tefast

pytestmark = pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")


@pytest.mark.parametrize("bins", [2, 9])  # by products of rows, and step by step
@pytest.mark.parametrize("method", ["circular", "trials"])
def test_a_surrogate_has_the_best_of_what_it_has_at_each_delay(bins, method):
    x = np.random.default_rng(0).random((6, 50, 4))
    x[2, 7:11, 1] = np.nan
    x[4, 20, :] = np.nan
    how = {
        "significance": method, "surrogates": 1, "seed": 5, "nan_policy": "omit",
        "x_range": (0, 1), "lengths": [50, 50, 31, 50, 50, 31],
    }  # fmt: skip
    delays = (0, 1, 2, 5)
    each = [tefast.pairwise_transfer_entropy(x, bins, delays=d, **how).null_mean for d in delays]
    best = tefast.pairwise_transfer_entropy(x, bins, delays=delays, **how).null_mean
    np.testing.assert_array_equal(best, np.max(each, axis=0))
    assert len(set(np.argmax(each, axis=0).ravel())) > 2


def test_a_coupling_is_not_held_against_itself_at_another_delay():
    """Turned by a step or more, the source would still be seen at one of the 20 delays."""
    x = np.random.default_rng(1).integers(0, 2, (1000, 2))
    x[9:, 1] = x[:-9, 0]
    found = tefast.pairwise_transfer_entropy(
        x, 2, delays=range(1, 21), significance="circular", surrogates=1000
    )
    assert found.delay[0, 1] == 9
    assert found.surrogates == 1000 // 20 - 1
    assert found.p_value[0, 1] == 1 / 50
    alone = tefast.pairwise_transfer_entropy(x, 2, delays=9, significance="circular")
    assert alone.surrogates == 200
    assert found.null_mean[0, 1] < found.te[0, 1] / 10


def test_a_series_hardly_longer_than_the_delays_cannot_be_turned():
    x = np.random.default_rng(5).integers(0, 2, (40, 3))
    with pytest.raises(
        ValueError, match=r"span of the delays, 30 steps, .* no more than 40 values"
    ):
        tefast.pairwise_transfer_entropy(x, 2, delays=range(1, 31), significance="circular")
