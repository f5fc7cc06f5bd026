"""Intervals and tests: against scipy's own, by hand, and at the ends."""

import numpy as np
import pytest
from scipy import stats

from tefast.experiment.results import Spread
from tefast.experiment.statistics import (
    against_zero,
    beside_chance,
    compared,
    corrected,
    interval,
    p_in_words,
    points,
    signed,
)


@pytest.mark.parametrize("seeds", [2, 3, 5, 40])
def test_the_test_over_seeds_is_the_paired_t_test(seeds):
    first, second = np.random.default_rng(seeds).normal(0.5, 0.1, (2, seeds))
    one = compared(dict(enumerate(first)), dict(enumerate(second)), 10**6)
    theirs = stats.ttest_rel(first, second)
    assert one.p == pytest.approx(theirs.pvalue)
    assert (one.low, one.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert one.seeds == seeds


def test_only_seeds_that_have_both_are_paired():
    one = compared({0: 0.5, 1: 0.75, 2: 0.0}, {1: 0.25, 0: 0.25, 7: 1.0}, 100)
    assert (one.mean, one.seeds) == (0.375, 2)
    assert compared({0: 1.0}, {1: 1.0}, 100) is None


def test_the_error_shown_is_the_one_used():
    exact = against_zero(Spread.of([0.01, 0.01, 0.01]), 96)
    assert exact.error == pytest.approx(1 / 96 / 3**0.5)
    assert exact.sign == 0
    assert points(exact) == "+1.0 points (-1.6 to +3.6; p = 0.24)"
    many = against_zero(Spread.of([0.01, 0.01, 0.01]), 1000)
    assert many.sign == 1
    assert many.low > 0


def test_one_seed_is_not_tested():
    one = against_zero(Spread.of([0.5]), 1000)
    assert (one.p, one.low, one.error, one.sign) == (None, None, None, 0)
    assert points(one) == "+50.0 points (one seed)"
    assert interval(Spread.of([0.5]), 100) is None
    assert p_in_words(None) == "one seed"


def test_what_rounds_to_0_has_no_minus():
    assert (signed(-0.04), signed(0.04), signed(-0.06)) == ("+0.0", "+0.0", "-0.1")


def test_holm_by_hand():
    spreads = [Spread(0.1, 0.01 * size, 5) for size in (2, 8, 5)]
    one = [against_zero(spread, 10**6) for spread in spreads]
    first, second, third = (each.p for each in one)
    assert first < third < second
    found = corrected([one[0], None, one[1], against_zero(Spread.of([0.1]), 9), one[2]])
    assert found[0].corrected == pytest.approx(3 * first)
    assert found[4].corrected == pytest.approx(max(3 * first, 2 * third))
    assert found[2].corrected == pytest.approx(max(3 * first, 2 * third, second))
    assert found[1] is None
    assert found[3].corrected is None
    assert [each.p for each in corrected(one)] == [first, second, third]


def test_corrected_p_values_neither_fall_nor_pass_1():
    one = [against_zero(Spread(0.01 * mean, 0.1, 4), 10**6) for mean in (1, 2, 3, 4, 5)]
    found = [each.corrected for each in corrected(one)]
    assert found == [1.0] * 5


def test_the_interval_of_an_accuracy_stays_within_0_and_1():
    assert interval(Spread.of([0.98, 1.0, 1.0]), 1000)[1] == 1.0
    assert interval(Spread.of([0.0, 0.01]), 1000)[0] == 0.0


@pytest.mark.parametrize(
    ("accuracy", "samples", "classes", "word"),
    [
        (0.9, 96, 10, None),
        (0.1, 96, 10, "not above chance"),
        (0.02, 96, 10, "below chance"),
        (0.15, 96, 10, "not above chance"),  # 14 right; 16 of 96 would be above
        (0.167, 96, 10, None),
        (0.0, 2, 2, "not above chance"),  # two samples show nothing
    ],
)
def test_accuracies_at_chance_get_a_word(accuracy, samples, classes, word):
    assert beside_chance(accuracy, samples, classes) == word
