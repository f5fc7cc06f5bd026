"""Warnings point at the line of the caller."""

import inspect

import numpy as np
import pytest

import tefast


def test_a_warning_names_the_line_that_called_tefast():
    b = np.random.default_rng(0).random(64)
    here = inspect.currentframe()
    with pytest.warns(RuntimeWarning) as found:
        tefast.significance(np.roll(b, 1), b, bins=4, method="chi2")
    assert (found[0].filename, found[0].lineno) == (__file__, here.f_lineno - 1)
