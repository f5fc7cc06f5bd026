"""Surrogates that exchange the source's states within each past: against plain loops."""

import itertools
import math
from collections import Counter

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import _backends
from tefast._significance import drawing

ml_dtypes = pytest.importorskip("ml_dtypes")
NATIVE = _backends.load("cpu")._native
few_on_purpose = pytest.mark.filterwarnings("ignore:.* exceeds? all of:RuntimeWarning")


def sample(shape, pasts, nexts, states, *, surrogates=4, missing=0.1, seed=0):
    """(past, next) in one integer (M, U), the source's states (M,), and orders (S, M)."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, pasts * nexts, shape)
    own[rng.random(shape) < missing] = -1
    orders = [rng.permutation(np.arange(shape[0], dtype=np.uint32)) for _ in range(surrogates)]
    orders = np.array(orders, dtype=np.uint32).reshape(surrogates, shape[0])
    return own, rng.integers(0, states, shape[0]), orders


def counts_of(own, nexts, source, order):
    """Counts of (next, past, state) of each unit, by plain loops."""
    found = []
    for unit in own.T.tolist():
        moves = [
            (j, (key % nexts, state, key // nexts))
            for j, (key, state) in enumerate(zip(unit, source.tolist(), strict=True))
            if key >= 0
        ]
        rows = naive.exchanged(moves, range(len(unit)), order.tolist())
        found.append(Counter((following, past, state) for following, state, past in rows))
    return found


def nats_of(counts):
    """Transfer entropy in nats from a counter of (next, past, state), with sums by cell."""
    total = sum(counts.values())
    both, moved, once = Counter(), Counter(), Counter()
    for (following, past, state), n in counts.items():
        both[past, state] += n
        moved[following, past] += n
        once[past] += n
    if not total:
        return math.nan
    return sum(
        n / total * math.log(n * once[past] / (both[past, state] * moved[following, past]))
        for (following, past, state), n in counts.items()
    )


def run(own, nexts, source, orders, backend="cpu", threads=2):
    return _backends.load(backend).conditional_surrogates(own, nexts, source, orders, threads)


def compared(own, nexts, source, orders, backend="cpu"):
    found = run(own, nexts, source, orders, backend)
    assert found.shape == (len(orders), own.shape[1])
    for row, order in zip(found, orders, strict=True):
        expected = [nats_of(each) for each in counts_of(own, nexts, source, order)]
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-11)


def test_counts_are_those_of_plain_loops():
    own, source, orders = sample((300, 7), 5, 5, 5)
    nats = run(own, 5, source, orders)
    for row, order in zip(nats, orders, strict=True):
        table = np.zeros((7, 5, 5, 5), np.int64)
        for unit, counts in zip(table, counts_of(own, 5, source, order), strict=True):
            for cell, n in counts.items():
                unit[cell] = n
        # The kernel measures in integers, so equal counts are equal to the last bit.
        np.testing.assert_array_equal(row, NATIVE.score_counts(table, 1))


@pytest.mark.parametrize(
    ("pasts", "nexts", "states"),
    [
        (2, 2, 2),
        (1, 200, 1),
        (60, 3, 70),  # few of the cells are met
        (10**12, 4, 10**15),  # keys far beyond their number
        (4, 2, 2**62),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_every_size(pasts, nexts, states, missing, backend):
    compared(*arranged(sample((150, 3), pasts, nexts, states, missing=missing), nexts), backend)


def arranged(made, nexts):
    own, source, orders = made
    return own, nexts, source, orders


def test_cells_too_many_for_a_table():
    # Every transition has a row and a state of its own among 2,100 x 2,100.
    own, source = np.arange(2100)[:, np.newaxis] % 2098, np.arange(2100)
    own[7] = -1
    orders = np.array([np.random.default_rng(1).permutation(2100)], dtype=np.uint32)
    compared(own, 1049, source, orders)
    np.testing.assert_allclose(
        run(own, 1049, source, orders), run(own, 1049, source, orders, "reference"), atol=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    nexts = data.draw(st.integers(1, 4))
    shape = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 3))
    sizes = [data.draw(st.sampled_from([1, 2, 3, 2**40])) for _ in range(2)]
    made = sample(
        shape, sizes[0], nexts, sizes[1], surrogates=data.draw(st.integers(0, 3)),
        missing=data.draw(st.sampled_from([0.0, 0.5])), seed=data.draw(st.integers(0, 2**32)),
    )  # fmt: skip
    for backend in ("cpu", "reference"):
        compared(*arranged(made, nexts), backend)


@pytest.mark.parametrize("units", [1, 2, 17])
def test_threads_and_neighbours_do_not_matter(units):
    own, source, orders = sample((500, units), 4, 4, 4, surrogates=9)
    one = run(own, 4, source, orders, threads=1)
    np.testing.assert_array_equal(run(own, 4, source, orders, threads=5), one)
    alone = [run(own[:, [u]], 4, source, orders)[:, 0] for u in range(units)]
    np.testing.assert_array_equal(np.transpose(alone), one)
    np.testing.assert_array_equal(run(own, 4, source, orders[3:5]), one[3:5])


def test_every_exchange_within_a_past_is_as_likely():
    # Two pasts with three and two transitions, all with another state: the 120 orders of five give
    # 3! 2! exchanges, each ten times.
    moves = [(j, (0, j, past)) for j, past in enumerate([0, 1, 0, 0, 1])]
    exchanges = Counter()
    for order in itertools.permutations(range(5)):
        states = [state for _, state, _ in naive.exchanged(moves, range(5), order)]
        exchanges[tuple(sorted(zip(order, states, strict=True)))] += 1
    assert sorted(exchanges.values()) == [10] * 12


def test_arguments_that_do_not_fit_are_refused():
    own, source, orders = sample((6, 2), 2, 2, 2)
    with pytest.raises(ValueError, match=r"own must have shape \(M, U\), source \(M,\) and"):
        run(own, 2, source[1:], orders)
    with pytest.raises(ValueError, match="nexts must be positive"):
        run(own, 0, source, orders)
    with pytest.raises(ValueError, match="a state below 0"):
        run(own, 2, source - 5, orders)
    for wrong in (6, orders[-1, 0]):
        orders[-1, 1] = wrong
        with pytest.raises(ValueError, match=r"no permutation of 0 \.\. M - 1"):
            run(own, 2, source, orders)


# What follows goes through `significance`.


def significance(h, y, bins, **options):
    """What it found, and transfer entropies in bits of its surrogates (S, U)."""
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        plain = drawing.Source.surrogates

        def spy(*given):
            for some in plain(*given):
                drawn.append(some)
                yield some

        patch.setattr(drawing.Source, "surrogates", spy)
        found = tefast.significance(h, y, bins, method="conditional", **options)
    return found, np.concatenate(drawn) / math.log(2)


def by_loops(h, y, lengths, seed, surrogates, *, target_history=1, source_history=1, delay=1):
    """The same of codes as nested lists with None, (N, T, U) and (N, T)."""
    places = []
    for n, series in enumerate(y):
        valid = len(series) if lengths is None else lengths[n]
        for t in range(len(series)):
            before = [t - delay - i for i in range(source_history)]
            if min(before) >= 0 and max(before) < valid:
                places += [(n, t)] * (None not in [series[i] for i in before])
    scores = []
    for i in range(surrogates):
        positions = np.arange(len(places), dtype=np.uint32)
        order = np.random.default_rng([seed, i]).permutation(positions)
        row = []
        for u in range(len(h[0][0])):
            unit = [[step[u] for step in sequence] for sequence in h]
            moves = naive.moves(unit, y, lengths, target_history, source_history, delay)
            rows = naive.exchanged(moves, places, order.tolist())
            counts = Counter((following, given, source) for following, source, given in rows)
            row.append(nats_of(counts) / math.log(2))
        scores.append(row)
    return np.array(scores)


HISTORIES = [
    {},
    {"target_history": 2},
    {"source_history": 2, "delay": 2},
    {"delay": 0},
    {"target_history": 3, "source_history": 2, "delay": 3},
]


@few_on_purpose
@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: "-".join(history) or "plain")
@pytest.mark.parametrize("gaps", [None, "lengths", "nan", "mask"])
def test_histories_and_gaps(history, gaps, backend):
    rng = np.random.default_rng(3)
    h, y = rng.integers(0, 3, (4, 15, 2)), rng.integers(0, 3, (4, 15))
    options, lengths = {"surrogates": 3, "seed": 5, "backend": backend, **history}, None
    h_lists, y_lists = h.tolist(), y.tolist()
    values = h, y
    if gaps == "lengths":
        lengths = [15, 9, 0, 12]
        options["lengths"] = lengths
    elif gaps is not None:
        of_h, of_y = rng.random(h.shape) < 0.1, rng.random(y.shape) < 0.1
        if gaps == "mask":
            of_h[:], of_y[:] = (rng.random(y.shape) < 0.1)[..., np.newaxis], False
            of_y |= of_h[..., 0]
            options["mask"] = ~of_y
        else:
            values = np.where(of_h, np.nan, h), np.where(of_y, np.nan, y)
            options |= {"nan_policy": "omit", "binning": [0.5, 1.5]}
        for n, t, u in np.argwhere(of_h):
            h_lists[n][t][u] = None
        for n, t in np.argwhere(of_y):
            y_lists[n][t] = None
    found, drawn = significance(*values, 3, **options)
    expected = by_loops(h_lists, y_lists, lengths, 5, 3, **history)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12)
    assert (found.method, found.surrogates) == ("conditional", 3)
    more = (drawn >= found.te - 1e-12).sum(axis=0)
    np.testing.assert_array_equal(found.p_value, (1 + more) / 4)


@few_on_purpose
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4", "f8", "u1", "i2", "i8"])
def test_every_dtype(dtype, backend):
    rng = np.random.default_rng(6)
    h, y = rng.integers(0, 4, (5, 20, 3)), rng.integers(0, 4, (5, 20))
    options = {"surrogates": 4, "backend": backend}
    if np.dtype(dtype).kind not in "iu":
        options["binning"] = [0.5, 1.5, 2.5]
    _, drawn = significance(h.astype(dtype), y.astype(dtype), 4, **options)
    expected = by_loops(h.tolist(), y.tolist(), None, 0, 4)
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-12)


@few_on_purpose
@pytest.mark.parametrize("limit", [1, 50_000])
def test_batches_do_not_matter(limit, monkeypatch):
    rng = np.random.default_rng(7)
    h, y = rng.integers(0, 3, (30, 40, 9)), rng.integers(0, 3, (30, 40))
    _, expected = significance(h, y, 3, surrogates=13, threads=1)
    monkeypatch.setattr(drawing, "BATCH_BYTES", limit)
    _, drawn = significance(h, y, 3, surrogates=13, threads=3)
    np.testing.assert_array_equal(drawn, expected)
    _, alone = significance(h[..., 4:5], y, 3, surrogates=13)
    np.testing.assert_array_equal(alone[:, 0], expected[:, 4])


def agreeing(rng, steps, symbols, coupling):
    """A target (T,), and a source that mostly agrees with the target's present."""
    h, y = np.zeros(steps, int), np.zeros(steps, int)
    for t in range(steps):
        y[t] = rng.integers(symbols) if rng.random() < 0.1 else h[t]
        if t < steps - 1:
            other = h[t] if rng.random() < 0.7 else rng.integers(symbols)
            h[t + 1] = y[t] if rng.random() < coupling else other
    return h, y


def test_what_the_source_adds_to_a_present_that_it_agrees_with_is_found():
    rng = np.random.default_rng(8)
    found = {"conditional": [], "shuffle": []}
    for _ in range(12):
        h, y = agreeing(rng, 600, 6, 0.4)
        for method, values in found.items():
            values.append(tefast.significance(h, y, 6, method=method, surrogates=99).p_value)
    assert np.mean(np.array(found["conditional"]) <= 0.05) > 0.9
    assert np.mean(np.array(found["shuffle"]) <= 0.05) < 0.5


@few_on_purpose
def test_nothing_is_found_where_the_source_only_agrees():
    rng = np.random.default_rng(9)
    p = [
        tefast.significance(*agreeing(rng, 300, 4, 0.0), 4, method="conditional", surrogates=39)
        for _ in range(60)
    ]
    rejected = sum(float(np.squeeze(found.p_value)) <= 0.05 for found in p)
    assert rejected <= 10  # 3 are expected; more than 10 have a chance of 0.03 %
