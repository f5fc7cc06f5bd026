"""Transfer entropy of a layer of units: the C++ kernel beside plain NumPy.

Every benchmark asserts that its result is the reference's.
"""

import numpy as np
import pytest

import tefast

SIZES = {
    "small": (64, 25, 256),
    "layer": (512, 25, 1024),
}
LIMITS = {"h_range": (-1, 1), "y_range": (0, 1)}


@pytest.fixture(scope="module", params=SIZES)
def case(request):
    rng = np.random.default_rng(0)
    shape = SIZES[request.param]
    h = rng.uniform(-1, 1, shape).astype(np.float32)
    y = rng.uniform(0, 1, shape[:2]).astype(np.float32)
    return request.param, h, y, tefast.transfer_entropy(h, y, backend="reference", **LIMITS)


@pytest.mark.parametrize("threads", [1, 2])
def test_cpu(benchmark, case, threads):
    name, h, y, expected = case
    benchmark.group = f"transfer entropy, {name} {h.shape}"
    result = benchmark(tefast.transfer_entropy, h, y, backend="cpu", threads=threads, **LIMITS)
    np.testing.assert_array_equal(result, expected)


def test_reference(benchmark, case):
    name, h, y, expected = case
    benchmark.group = f"transfer entropy, {name} {h.shape}"
    options = {"backend": "reference", **LIMITS}
    result = benchmark.pedantic(
        tefast.transfer_entropy, args=(h, y), kwargs=options, rounds=3, warmup_rounds=1
    )
    np.testing.assert_array_equal(result, expected)
