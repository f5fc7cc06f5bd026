"""Pasts of several steps: the kernels of single steps against windows, which are counted alone."""

import numpy as np
import pytest
from levels import RUNNABLE, using

import tefast
from tefast._backends import cpu

# Tables of 16, of 4 and of 1 unit at a time, and the largest there is.
SIZES = [(2, 2), (16, 2), (2, 11), (25, 2), (40, 2), (2, 15), (6, 3)]


def both(monkeypatch, *given, **how):
    """What the kernels of single steps find, and what is found of windows."""
    found = tefast.transfer_entropy(*given, **how)
    with monkeypatch.context() as patched:
        patched.setattr(cpu, "LONG_PASTS", 0)
        return found, tefast.transfer_entropy(*given, **how)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(("bins", "past"), SIZES)
@pytest.mark.parametrize("units", [1, 3, 20])
def test_they_are_what_windows_are(level, bins, past, units, monkeypatch):
    rng = np.random.default_rng([bins, past, units])
    h, y = rng.random((7, 60, units)) ** 3, rng.random((7, 60))
    h[:, 1:, 0] = (h[:, 1:, 0] + y[:, :-1]) / 2
    gaps = h.copy()
    gaps[rng.random(h.shape) < 0.01] = np.nan
    lengths = rng.integers(past, 61, 7)
    with using(level):
        for how in (
            {},
            {"lengths": lengths, "delay": 0},
            {"target_step": 2, "source_history": 2 if bins < 25 else 1, "threads": 2},
        ):
            if 2 * past + 1 > 60 and "target_step" in how:
                continue
            found, windows = both(monkeypatch, h, y, bins, target_history=past, **how)
            np.testing.assert_array_equal(found, windows)
        found, windows = both(
            monkeypatch, gaps, y, bins, target_history=past, nan_policy="omit", lengths=lengths
        )
        np.testing.assert_array_equal(found, windows)


@pytest.mark.filterwarnings("ignore:method=:RuntimeWarning")  # few surrogates
def test_surrogates_too(monkeypatch):
    rng = np.random.default_rng(1)
    h, y = rng.random((12, 40, 5)), rng.random((12, 40))
    for method in ("trials", "circular", "shuffle"):
        for delay in (0, 1, 3):
            how = {"bins": 3, "target_history": 2, "delay": delay, "method": method}
            found = tefast.significance(h, y, surrogates=99, **how)
            with monkeypatch.context() as patched:
                patched.setattr(cpu, "LONG_PASTS", 0)
                windows = tefast.significance(h, y, surrogates=99, **how)
            np.testing.assert_array_equal(found.te, windows.te)
            for name in ("null_mean", "null_std"):  # windows are scored in bits, and back in nats
                np.testing.assert_allclose(getattr(found, name), getattr(windows, name), rtol=1e-12)


def test_a_source_without_a_past_is_refused():
    from tefast import _native

    given = _native.Input(np.zeros((1, 9, 2), np.int64), "int64", False, None, 2, None)
    sources = np.zeros((1, 1, 9), np.int16)
    with pytest.raises(ValueError, match="a source has a state before there is a past"):
        _native.transfer_entropies(given, sources, 2, False, 1, [1, 0])
    with pytest.raises(ValueError, match="more than 65,536 cells"):
        _native.transfer_entropies(given, sources, 2, False, 1, list(range(15, -1, -1)))
