"""Malformed arguments of the compiled module are refused, or it gives what NumPy gives."""

import collections
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "native"))

import fuzz_native
import twin_native


@pytest.mark.parametrize("start", range(0, 4000, 500))
def test_drawn_arguments_are_refused_or_give_what_numpy_gives(start):
    counts = collections.Counter()
    for seed in range(start, start + 500):
        kind, text = fuzz_native.trial(seed)
        assert kind in fuzz_native.OUTCOMES, f"seed {seed}: {kind}: {text}"
        counts[kind] += 1
    assert counts["right"] > 250
    assert counts["refused"] > 50
    assert counts["unknown"] < 50


def test_the_fuzzer_sees_what_is_wrong(monkeypatch):
    windows = twin_native.windows
    monkeypatch.setattr(twin_native, "windows", lambda *given: windows(*given) + 1)
    kinds = {fuzz_native.trial(seed)[0] for seed in range(300)}
    assert "wrong" in kinds or "taken" in kinds
