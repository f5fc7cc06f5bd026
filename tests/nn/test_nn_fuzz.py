"""Drawn models are refused by name or equal to masked ones, and the fuzzer sees what is broken."""

import collections

import fuzz_removal
import pytest

from tefast.nn._trace import comparison, trial

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # of the models' own code
]


@pytest.mark.parametrize("start", range(0, 2000, 250))
def test_drawn_models_are_refused_by_name_or_equal_to_masked_ones(start: int) -> None:
    counts = collections.Counter()
    for seed in range(start, start + 250):
        outcome = fuzz_removal.trial(seed)
        assert not outcome.is_fault, f"seed {seed}: {outcome}"
        counts[outcome.kind] += 1
    assert counts["pruned"] > 40
    assert counts["refused"] > 40
    assert counts["broken"] < 20


def faults(seeds) -> list[str]:  # type: ignore[no-untyped-def]
    outcomes = map(fuzz_removal.trial, seeds)
    return [outcome.kind for outcome in outcomes if outcome.is_fault]


def blind(*_: object, **__: object) -> None:
    """Finds no difference."""


def test_without_the_comparison_the_fuzzer_finds_models_that_differ(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(comparison.Follower, "_difference", blind)
    monkeypatch.setattr(comparison.Follower, "end", blind)
    monkeypatch.setattr(trial, "compare_results", blind)
    assert "different" in faults(range(60))
