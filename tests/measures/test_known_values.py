"""Transfer entropies that are known from theory, met by every backend."""

import math

import naive
import numpy as np
import pytest
from processes import PROCESSES

import tefast

# Five short binary trials, the arrays that PyInform's own tests use, and what it computes on them.
TRIALS_X = [
    [1, 1, 1, 0, 0, 1, 1, 0, 1, 0],
    [0, 1, 0, 1, 1, 1, 0, 0, 0, 0],
    [0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
    [0, 0, 1, 0, 0, 0, 1, 0, 0, 1],
    [0, 0, 1, 1, 1, 1, 1, 0, 0, 0],
]
TRIALS_Y = [
    [0, 1, 0, 0, 0, 1, 0, 1, 1, 0],
    [0, 0, 0, 1, 1, 1, 0, 1, 0, 0],
    [1, 0, 1, 0, 1, 0, 0, 0, 1, 0],
    [0, 1, 1, 0, 1, 1, 1, 1, 1, 1],
    [0, 0, 1, 1, 0, 0, 0, 0, 0, 1],
]

by_name = pytest.mark.parametrize(
    "process", PROCESSES, ids=lambda process: f"{process.name}-{process.alphabet}"
)


@by_name
def test_enumerated_law_has_the_known_value(process):
    assert naive.transfer_entropy(process.joint()) == pytest.approx(process.bits, abs=1e-11)


@by_name
def test_exact_proportions(process, backend):
    h, y = process.transitions()
    te = tefast.transfer_entropy(h[..., None], y, bins=process.alphabet, backend=backend)
    np.testing.assert_allclose(te, [process.bits], atol=1e-11)


@by_name
def test_simulation_within_its_own_error(process, backend):
    h, y = process.simulate(sequences=40, steps=2001, seed=1)
    size = process.alphabet

    def score(rows):
        return tefast.transfer_entropy(h[rows, :, None], y[rows], bins=size, backend=backend)[0]

    everything = np.arange(len(h))
    left_out = np.array([score(np.delete(everything, n)) for n in everything])
    error = math.sqrt((len(h) - 1) * left_out.var())  # jackknife over sequences
    bias = size * (size - 1) ** 2 / (2 * 40 * 2000) / math.log(2)
    assert abs(score(everything) - process.bits) <= 5 * error + 2 * bias


@pytest.mark.parametrize(
    ("a", "b", "c", "sign"),
    [(0.0, 0.0, 1.0, 0.130812036), (0.5, 0.7, 0.8, 0.107796554)],
)
def test_signs_of_a_gaussian_process(a, b, c, sign, backend):
    # x' = a x + c y + e, y' = b y + e'; one edge at 0 keeps the signs. Values in nats.
    rng = np.random.default_rng(2)
    sequences, warm, steps = 500, 50, 1000
    x, y = np.zeros((2, sequences, warm + steps))
    noise = rng.standard_normal((2, sequences, warm + steps))
    for t in range(warm + steps - 1):
        x[:, t + 1] = a * x[:, t] + c * y[:, t] + noise[0, :, t]
        y[:, t + 1] = b * y[:, t] + noise[1, :, t]
    h, y = x[:, warm:, None], y[:, warm:]
    options = {"bins": 2, "binning": [0.0], "base": math.e, "backend": backend}
    te = tefast.transfer_entropy(h, y, **options)[0]
    parts = [tefast.transfer_entropy(h[n::20], y[n::20], **options)[0] for n in range(20)]
    assert abs(te - sign) <= 5 * np.std(parts, ddof=1) / math.sqrt(20) + 1e-5


def test_ensemble_of_trials(backend):
    x, y = np.array(TRIALS_X), np.array(TRIALS_Y)
    there = tefast.transfer_entropy(x[..., None], y, bins=2, backend=backend)
    back = tefast.transfer_entropy(y[..., None], x, bins=2, backend=backend)
    np.testing.assert_allclose(there, [0.028249560628], atol=1e-11)
    np.testing.assert_allclose(back, [0.010005329676], atol=1e-11)


def test_trials_are_never_glued(backend):
    x, y = np.array(TRIALS_X), np.array(TRIALS_Y)
    glued = tefast.transfer_entropy(x.ravel(), y.ravel(), bins=2, backend=backend)
    np.testing.assert_allclose(glued, [0.027151303255], atol=1e-11)
    apart = tefast.transfer_entropy(x[..., None], y, bins=2, backend=backend)
    assert abs(glued - apart) > 1e-3


def test_bias_on_independent_data():
    # B^k (B^l - 1)(B - 1) / (2 N) = 16 * 15 * 15 / 40,000 nats, to first order in 1 / N.
    rng = np.random.default_rng(3)
    h, y = rng.integers(0, 16, (20_001, 200)), rng.integers(0, 16, 20_001)
    te = tefast.transfer_entropy(h, y, base=math.e)
    error = te.std(ddof=1) / math.sqrt(te.size)
    second_order = 0.09**2  # the next term of the expansion is of this size
    assert abs(te.mean() - 0.09) <= 5 * error + second_order
