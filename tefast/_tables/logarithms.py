"""Logarithms of quotients of counts: the same to the last bit in NumPy and in the CPU's kernel."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

ROOT = float.fromhex("0x1.6a09e667f3bcdp+0")
"""Of 2."""
SERIES = [1 / odd for odd in range(21, 1, -2)]
"""Of artanh(x) / x - 1 over x**2, in powers of x**2, the highest first."""


class LogUnit(NamedTuple):
    """What logarithms are found in.

    Attributes
    ----------
    nat : float
    two_high, two_low : float
        ln 2, in so few bits that its product with an exponent is exact, and the rest of it.
    """

    nat: float
    two_high: float
    two_low: float

    @classmethod
    def of_base(cls, base: float) -> LogUnit:
        """Logarithms to a base."""
        unit = Fraction(math.log(base))
        two = Fraction(math.log(2)) / unit
        high = float(np.float32(float(two)))
        return cls(float(1 / unit), high, float(two - Fraction(high)))


def log_ratios(p: Numbers, q: Numbers, unit: LogUnit) -> Numbers:
    """Logarithms of ``p / q``, each right but for its last place or two; exactly 0 where p = q.

    Libraries round logarithms in ways of their own. This one takes nothing but sums, products and
    quotients, which are the same everywhere: ``k ln 2 + 2 artanh(x)`` with ``x = (p - q) / (p +
    q)``, of p and q scaled by powers of two so that p / q lies between the roots of 1/2 and of 2.
    """
    a, of_p = np.frexp(p)
    b, of_q = np.frexp(q)
    above, below = a > ROOT * b, b > ROOT * a
    a[above] *= 0.5
    b[below] *= 0.5
    k = (of_p - of_q + above - below).astype(np.float64)
    x = (a - b) / (a + b)
    z = x * x
    series = np.full_like(z, SERIES[0])
    for factor in SERIES[1:]:
        series *= z
        series += factor
    twice = (x + x) * unit.nat
    found: Numbers = k * unit.two_high + (twice + (twice * (z * series) + k * unit.two_low))
    return found
