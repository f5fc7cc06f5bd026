"""The part of the calibration study that is on pairs, and its committed rows."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
import calibration  # noqa: E402
import calibration_pairs  # noqa: E402

sys.path.remove(BENCHMARKS)


@pytest.fixture(scope="module")
def committed():
    return calibration.committed()


def test_committed_rows_are_all_of_the_study(committed):
    expected = [
        (case.name, case.bins, case.sequences, case.steps, longest, method, case.sets * 20)
        for case in calibration_pairs.CASES
        for method in case.methods
        for longest in calibration_pairs.DELAYS
    ]
    names = ("data", "bins", "sequences", "steps", "delays", "method", "runs")
    assert [tuple(row[name] for name in names) for row in committed["pairs"]] == expected
    networks = [(kind, method) for kind, _, method in calibration_pairs.KNOWN for _ in range(4)]
    assert [(row["kind"], row["method"]) for row in committed["edges"]] == networks


def test_committed_rows_come_out_again(committed, monkeypatch):
    row = calibration_pairs.rates(calibration_pairs.CASES[0], "circular", 10)
    assert row in committed["pairs"]
    monkeypatch.setattr(calibration_pairs, "NETWORKS", 1)
    (found,) = calibration_pairs.edges(*calibration_pairs.KNOWN[2])
    assert found in committed["edges"]


def test_memory_makes_tests_err_that_ignore_it():
    case = next(case for case in calibration_pairs.CASES if case.data == "autoregressive")
    small = replace(case, sets=20)
    assert calibration_pairs.rates(small, "shuffle", 10)["low"] > 0.05
    assert calibration_pairs.rates(small, "circular", 10)["contains_level"]


def test_the_interval_knows_which_pairs_share_a_source():
    even = calibration_pairs.rate_of(np.array([1, 1, 1, 1] * 10), 20)
    assert (even["rate"], even["contains_level"]) == (0.05, True)
    assert even["low"] == pytest.approx(calibration.rate_of(np.array([1] * 40), 20)["low"])
    uneven = calibration_pairs.rate_of(np.array([0, 0, 0, 4] * 10), 20)
    assert uneven["rate"] == even["rate"]
    assert uneven["low"] < even["low"] < even["high"] < uneven["high"]
    assert calibration_pairs.rate_of(np.array([0, 0]), 20)["low"] == 0
    assert calibration_pairs.rate_of(np.array([20, 20]), 20)["high"] == 1
