"""The calibration study on a small scale, and what its page shows of the committed run."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import processes
import pytest
from scipy.stats import binomtest

import tefast

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "calibration.md"
sys.path.insert(0, str(ROOT / "benchmarks"))
import calibration  # noqa: E402
import calibration_page  # noqa: E402

sys.path.remove(str(ROOT / "benchmarks"))

UNLIKELY = 1e-4


@pytest.fixture(scope="module")
def committed():
    return calibration.committed()


def chance(row):
    """Of a number of rejections as far from 5 % as this one, if 5 % is right."""
    return binomtest(row["rejected"], row["runs"], calibration.LEVEL).pvalue


def quick(bins, history=1):
    (case,) = (
        case for case in calibration.INDEPENDENT
        if (case.bins, case.history) == (bins, history) and "shuffle" in case.methods
    )  # fmt: skip
    return case


@pytest.mark.parametrize("method", calibration.SHIFTED)
@pytest.mark.parametrize("bins", [2, 16])
def test_surrogates_reject_a_twentieth_of_independent_data(method, bins):
    (row,) = calibration.rates(replace(quick(bins), groups=15, units=40), method)
    assert row["runs"] == 600
    assert chance(row) > UNLIKELY
    assert row["low"] < row["rate"] < row["high"]


@pytest.mark.parametrize(("bins", "history"), [(2, 1), (4, 1), (2, 2)])
def test_chi_square_takes_nats(bins, history):
    nats, bits = calibration.rates(replace(quick(bins, history), groups=60, units=20), "chi2")
    assert (nats["method"], bits["method"]) == ("chi2", calibration.BITS)
    assert chance(nats) > UNLIKELY
    assert chance(bits) < UNLIKELY  # and so it would if tefast gave bits to the law


def test_a_coupling_is_found():
    case = next(case for case in calibration.WEAK if case.coupling == max(calibration.COUPLINGS))
    for method in ("shuffle", "chi2"):
        row = calibration.rates(replace(case, groups=3), method)[0]
        assert row["rate"] > 0.9
        assert not row["contains_level"]


def test_memory_in_both_makes_permutations_reject_too_often():
    case = next(case for case in calibration.WITH_MEMORY if case.steps == 4801)
    small = replace(case, groups=20, units=20)
    rows = {method: calibration.rates(small, method)[0] for method in calibration.ALONE_METHODS}
    assert chance(rows.pop("circular")) > UNLIKELY
    assert all(chance(row) < UNLIKELY for row in rows.values())


def test_slow_signals_fool_all_that_break_memory_up():
    case = next(case for case in calibration.WITH_MEMORY if case.data.startswith("slow"))
    small = replace(case, groups=2)
    assert calibration.rates(small, "shuffle")[0]["rate"] > 0.3
    assert calibration.rates(small, "circular")[0]["rate"] < 0.2


def test_what_an_agreeing_source_adds_is_found_within_pasts_alone():
    weak = next(case for case in calibration.AGREEING if case.coupling == 0.2)
    small = replace(weak, groups=40)
    conditional, shuffled = (
        calibration.rates(small, method)[0]["rate"] for method in ("conditional", "shuffle")
    )
    assert conditional > shuffled + 0.2
    none = next(case for case in calibration.AGREEING if not case.coupling)
    assert chance(calibration.rates(replace(none, groups=200), "conditional")[0]) > UNLIKELY


@pytest.mark.parametrize(("bins", "coupling"), [(4, 0.0), (4, 0.3), (6, 0.4)])
def test_the_known_value_of_an_agreeing_source(bins, coupling):
    y, h = calibration.agreeing(np.random.default_rng(0), bins, (2000, 51), 1, coupling)
    found = tefast.transfer_entropy(h, y, bins, bias="miller_madow")
    assert found[0] == pytest.approx(calibration.agreeing_bits(bins, coupling), abs=0.002)


def test_intervals_and_dispersion():
    row = calibration.rate_of(np.array([0, 1, 0, 1]), 10)
    assert (row["runs"], row["rejected"], row["rate"]) == (40, 2, 0.05)
    assert row["contains_level"]
    assert 0 < row["low"] < 0.01 < 0.15 < row["high"] < 0.2  # 0.6 to 16.9 % in tables
    assert row["dispersion"] == pytest.approx((1 / 3) / (10 * 0.05 * 0.95))
    assert calibration.rate_of(np.array([10, 10]), 10)["dispersion"] is None


def test_known_values_are_those_of_the_processes():
    by_name = {(each.name, each.alphabet): each.bits for each in processes.PROCESSES}
    for data, bins, bits in calibration.KNOWN[3:]:
        assert by_name[data, bins] == bits
        y, h = calibration.Case(data, bins, sequences=2000, units=5).draw(0)
        found = tefast.transfer_entropy(h, y, bins, bias="miller_madow")
        np.testing.assert_allclose(found, bits, atol=0.015)
    channel = by_name["symmetric channel", 4]
    assert calibration.true_bits(4, 0.5) == pytest.approx(channel, abs=1e-9)


@pytest.mark.parametrize(("data", "same"), [("Markov chains", 0.9), ("independent", 0.5)])
def test_data_have_the_memory_that_they_are_said_to_have(data, same):
    y, h = calibration.Case(data, 2, sequences=2000, units=2).draw(0)
    for series in (y, h):
        assert np.mean(series[:, 1:] == series[:, :-1]) == pytest.approx(same, abs=0.01)
    both = calibration.Case("autoregressive source and target", 2, sequences=2000, units=2)
    sign = 1 - np.arccos(calibration.MEMORY) / np.pi
    for series in both.draw(0):
        assert np.mean(series[:, 1:] == series[:, :-1]) == pytest.approx(sign, abs=0.01)


def test_the_bias_is_what_the_formula_says():
    case = calibration.Case("independent", 4, sequences=1, steps=3001, groups=5, units=40)
    row = calibration.estimates(case, 0.0)
    assert row["mean"]["plug-in"] == pytest.approx(row["formula"], rel=0.05)
    for name in ("miller_madow", "grassberger", "effective_te"):
        assert abs(row["mean"][name]) < row["formula"] / 10


def test_committed_rows_are_all_of_the_study_and_come_out_again(committed):
    parts = {
        "independent": calibration.INDEPENDENT,
        "memory": calibration.WITH_MEMORY,
        "power": calibration.WEAK,
        "agreeing": calibration.AGREEING,
    }
    for part, cases in parts.items():
        expected = []
        for case in cases:
            for method in case.methods:
                names = [method, calibration.BITS] if method == "chi2" else [method]
                told = calibration.described(case) | {"runs": case.groups * case.units}
                expected += [told | {"method": name} for name in names]
        found = committed[part]
        assert [{key: row[key] for key in expected[0]} for row in found] == expected
        for row in found:
            assert row["rate"] == row["rejected"] / row["runs"]
            assert row["low"] <= row["rate"] <= row["high"]
    assert (committed["level"], committed["surrogates"]) == (0.05, 199)
    assert len(committed["bias"]) == len(calibration.ESTIMATED)
    again = calibration.rates(quick(2), "chi2")
    assert again == [row for row in committed["independent"] if row in again]


def test_every_test_in_the_independent_and_memory_parts_has_2000_runs(committed):
    assert all(row["runs"] >= 2000 for part in ("independent", "memory") for row in committed[part])
    assert all(row["runs"] >= 2000 for row in committed["agreeing"] if not row["coupling"])


def test_the_page_shows_the_committed_results(committed):
    text = PAGE.read_text(encoding="utf-8")
    assert calibration_page.filled(text, committed) == text
    for table in calibration_page.TABLES.values():
        assert table(committed) in text


@pytest.mark.parametrize("part", ["independent", "memory", "power", "agreeing"])
def test_another_result_is_another_page(committed, part):
    other = copy.deepcopy(committed)
    other[part][0]["rate"] += 0.01
    text = PAGE.read_text(encoding="utf-8")
    assert calibration_page.filled(text, other) != text


def test_a_page_without_a_place_for_a_table_is_refused(committed):
    with pytest.raises(ValueError, match="no place for 'summary'"):
        calibration_page.filled("", committed)


def test_the_figure_is_drawn(committed, tmp_path):
    calibration_page.draw(committed, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").read_bytes()[:4] == b"\x89PNG"
