"""All pairs: every shape and every way at a small size, its result asserted; nothing is timed.

`make bench-pairs` measures the same at full size.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import naive
import numpy as np
import pytest
from pairs import __main__ as all_of_it
from pairs import cycles, one, page, ways
from pairs.shapes import SHAPES, Shape

import tefast

PACKAGES = {"numba": "numba", "pyinform": "pyinform", "tnx": "tenex", "sparse": "scipy"}
# Those of many series and of few are alike when they are small.
SMALL = {
    name: shape.small()
    for name, shape in SHAPES.items()
    if shape.kind != "uniform" or shape.series == 200
}


def looped(shape):
    """(S, U) by a call for each source and delay."""
    x = shape.codes.T
    return np.max(
        [
            [
                tefast.transfer_entropy(x, x[:, s], delay=d, **ways.options(shape))
                for s in range(shape.many)
            ]
            for d in shape.delays
        ],
        axis=0,
    )


def by_definition(shape, source, target):
    series = [shape.codes[each].tolist() for each in (target, source)]
    highest = 0.0
    for delay in shape.delays:
        moves = naive.moves(
            *([each] for each in series), target_history=shape.target_history,
            source_history=shape.source_history, delay=delay,
        )  # fmt: skip
        counts = {}
        for _, (following, state, past) in moves:
            counts[following, past, state] = counts.get((following, past, state), 0) + 1
        highest = max(highest, naive.transfer_entropy(counts))
    return highest


@pytest.fixture(params=SMALL)
def shape(request):
    return SMALL[request.param]


def off_diagonal(shape):
    return np.arange(shape.many)[:, np.newaxis] != np.arange(shape.series)


def test_tefast(shape):
    found, others = ways.prepare(shape)(), off_diagonal(shape)
    np.testing.assert_array_equal(found[others], looped(shape)[others])
    for source, target in ((0, 1), (1, 2), (4, 0)):
        assert found[source, target] == pytest.approx(
            by_definition(shape, source, target), rel=1e-9, abs=1e-12
        )


@pytest.mark.parametrize("name", [name for name in ways.WAYS if name != "tefast"])
def test_others(shape, name):
    if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    way = ways.WAYS[name]
    part = replace(shape, delays=shape.delays[:1]) if name == "tnx" else shape
    reason = way.refuses(part) if name == "tnx" else None
    if reason is not None:
        pytest.skip(reason)
    found, others = way.prepare(part)(), off_diagonal(part)
    np.testing.assert_allclose(found[others], looped(part)[others], rtol=1e-9, atol=way.absolute)


@pytest.mark.parametrize("name", SMALL)
def test_data_have_all_symbols_and_nothing_else(name):
    shape = SMALL[name]
    assert shape.codes.dtype == np.uint8
    assert shape.codes.shape == (shape.series, shape.steps)
    if shape.kind != "genes":  # each gene has its own number of them
        assert len(np.unique(shape.codes)) == shape.symbols
    assert shape.codes.max() < shape.symbols
    np.testing.assert_array_equal(shape.codes, shape.small().codes)


@pytest.mark.parametrize("most", [1, 1e3, 1e5, 1e7, 1e9, 1e13])
def test_parts_have_no_more_transitions_than_a_way_can_stand(most):
    for shape in SHAPES.values():
        part = shape.part(most)
        assert part.transitions <= max(most, 1) or (part.series, part.many) == (2, 1)
        assert part.many <= part.series <= shape.series
        assert min(part.counted, part.pairs) >= 1
        assert (part == shape) == (shape.transitions <= most)


def test_a_wrong_result_is_an_error():
    shape = Shape("made", 4, 300, 2)
    for way in ("tefast", "numpy"):
        way = ways.WAYS[way]
        te = way.prepare(shape)()
        one.check(shape, way, te)
        te[2, 1] += 1e-6
        with pytest.raises(AssertionError):
            one.check(shape, way, te)


def test_cycles_of_perf():
    told = "8123456789,,cycles:u,1000000,100.00,,\n"
    assert cycles.counted(told) == 8_123_456_789
    assert cycles.counted("<not supported>,,cycles:u,0,100.00,,\n") is None


def test_all_of_it_goes_on_past_what_fails(tmp_path, monkeypatch, capfd):
    """One command, in small: a rival that fails is named, and the others have their rows."""
    monkeypatch.setenv("PYTHONPATH", str(Path(one.__file__).parents[1]), prepend=":")
    out = tmp_path / "pairs.json"
    broken = ways.Way("numpy", "broken", None, environment={"PYTHONHASHSEED": "none"})
    shape = SHAPES["mESC, 2 symbols"]
    jobs = [(shape, ways.WAYS["tefast"]), (shape, broken), (shape, ways.WAYS["numpy"])]
    results = all_of_it.run(jobs, out, small=True)
    assert json.loads(out.read_text()) == results
    first, failed, last = results["rows"]
    assert "failed" in failed
    assert first["pairs"] == last["pairs"] == 20
    assert first["rounds"] == 1
    text = page.tables(results)
    assert "failed: " in text
    assert "NumPy, one-hot matrix products" in text
    assert "not measured" in text  # of a few series nothing stands beside what others published
    times = first["per_second"] / last["per_second"]
    assert f"| {page.number(times)} |\n" in text
    before = page.PAGE.read_text(encoding="utf-8")
    written = page.with_tables(before, results)
    assert text in written
    assert page.with_tables(written, page.committed()) == before
    assert "[3/3]" in capfd.readouterr().out


def test_rows_are_chosen_by_words(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(Path(one.__file__).parents[1]), prepend=":")
    out = tmp_path / "pairs.json"
    assert all_of_it.main(["-k", "ito: tefast, with avx2", "--small", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["shape"], row["way"]) == ("Ito", "avx2")
    assert row["bound"]["level"] in ("avx2", "baseline")
    with pytest.raises(SystemExit):
        all_of_it.main(["-k", "no such row"])
    assert "no row holds" in capfd.readouterr().err
