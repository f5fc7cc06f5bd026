"""Rivals are timed in turn with tefast, so that a ratio compares two moments next to each other."""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tefast


@pytest.fixture
def in_turn(benchmark):
    """Time a function; before each of its rounds, time tefast on the same workload.

    What was found is left in the benchmark's `extra_info`: the median of the ratios, pair by pair,
    and both medians in milliseconds.
    """

    def run(rival, work, threads, *, rounds, expected=None, times=1, beside=None):
        beside = beside or (lambda: score(work, threads))
        own = []

        def tefast_first():
            start = time.perf_counter()
            beside()
            own.append(time.perf_counter() - start)

        if benchmark.disabled:  # only whether the result is right
            result = benchmark(rival)
            if expected is not None:
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
            return
        beside()
        # One warm-up round: compilers compile, caches fill.
        result = benchmark.pedantic(rival, setup=tefast_first, rounds=rounds, warmup_rounds=1)
        if expected is not None:
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
        timed = [times * seconds for seconds in benchmark.stats.stats.data]
        own = own[-len(timed) :]
        benchmark.group = f"{work.name} {work.shape}, {work.bins} bins, threads: {threads}"
        benchmark.extra_info.update(
            workload=work.name,
            threads=threads,
            milliseconds=1e3 * statistics.median(timed),
            tefast_milliseconds=1e3 * statistics.median(own),
            ratio=statistics.median(a / b for a, b in zip(timed, own, strict=True)),
            rounds=rounds,
            times=times,
        )

    return run


def score(work, threads, **options):
    """tefast's answer to a workload."""
    return tefast.transfer_entropy(
        work.h, work.y, backend="cpu", threads=threads, **{**work.options, **options}
    )
