"""The one-shot functions: what users pass, what comes back, and what is refused."""

import math
import os
import re
import subprocess
import sys

import levels
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tefast
from tefast import _backends

rng = np.random.default_rng(7)
H = rng.uniform(-1, 1, (6, 12, 5))
Y = rng.uniform(0, 1, (6, 12))


def naive_scores(h, y, bins, h_edges, y_edges, lengths=None, base=2):
    """h_edges: one row for each unit."""
    source = [[naive.code(v, y_edges) for v in row] for row in y.tolist()]
    scores = []
    for u, edges in enumerate(h_edges):
        unit = [[naive.code(v, edges) for v in row] for row in h[:, :, u].tolist()]
        scores.append(naive.transfer_entropy(naive.transitions(unit, source, lengths), base))
    return scores


def own_edges(values, bins):
    return naive.uniform_edges(float(np.nanmin(values)), float(np.nanmax(values)), bins)


@pytest.mark.parametrize("base", [2, math.e, 10])
@pytest.mark.parametrize("bins", [2, 3, 16])
def test_ranges_of_the_data(bins, base, backend):
    expected = naive_scores(
        H, Y, bins, [own_edges(H[..., u], bins) for u in range(5)], own_edges(Y, bins), base=base
    )
    result = tefast.transfer_entropy(H, Y, bins, base=base, backend=backend)
    assert result.shape == (5,)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_ranges_that_are_given_clamp(backend):
    low, high = np.linspace(-0.5, -0.1, 5), np.linspace(0.1, 0.5, 5)
    h_edges = [naive.uniform_edges(*ends, 8) for ends in zip(low, high, strict=True)]
    expected = naive_scores(H, Y, 8, h_edges, naive.uniform_edges(0.25, 0.75, 8))
    result = tefast.transfer_entropy(
        H, Y, 8, h_range=(low, high), y_range=(0.25, 0.75), backend=backend
    )
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_quantile_bins(backend):
    def edges(values):
        ordered = sorted(values.ravel().tolist())
        cuts = []
        for i in range(1, 4):  # linear interpolation between order statistics
            place = i / 4 * (len(ordered) - 1)
            left = math.floor(place)
            cuts.append(ordered[left] + (place - left) * (ordered[left + 1] - ordered[left]))
        return cuts

    expected = naive_scores(H, Y, 4, [edges(H[..., u]) for u in range(5)], edges(Y))
    result = tefast.transfer_entropy(H, Y, 4, binning="quantile", backend=backend)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_quantile_bins_hold_equally_many():
    h = rng.standard_exponential((10, 100, 3)).astype(np.float32)
    np.testing.assert_allclose(tefast.entropy(h, 8, binning="quantile"), 3.0, atol=1e-4)


def test_edges_that_are_given(backend):
    cuts = [-0.3, 0.2, 0.21]
    expected = naive_scores(H, Y, 4, [cuts] * 5, cuts)
    result = tefast.transfer_entropy(H, Y, 4, binning=cuts, backend=backend)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_lengths_and_nan_are_left_out(backend):
    lengths = [12, 0, 1, 7, 2, 12]
    h, y = H.copy(), Y.copy()
    for n, length in enumerate(lengths):
        h[n, length:], y[n, length:] = np.nan, np.inf  # padding is never looked at
    h[0, 3, 1], y[3, 2] = np.nan, np.nan
    limits = {"h_range": (-1, 1), "y_range": (0, 1)}
    edges = naive.uniform_edges(-1.0, 1.0, 16)
    expected = naive_scores(h, y, 16, [edges] * 5, naive.uniform_edges(0.0, 1.0, 16), lengths)
    result = tefast.transfer_entropy(
        h, y, lengths=lengths, nan_policy="omit", backend=backend, **limits
    )
    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_a_unit_that_is_nan_throughout_is_nan_and_alone(backend):
    h = H.copy()
    h[..., 2] = np.nan
    result = tefast.transfer_entropy(h, Y, nan_policy="omit", backend=backend)
    assert np.isnan(result).tolist() == [False, False, True, False, False]
    assert np.isnan(tefast.entropy(h, nan_policy="omit", backend=backend)).sum() == 1


def test_constant_units_have_none(backend):
    h = np.full((3, 10, 4), [0.0, -7.5, 1e300, 5e-324])
    y = rng.random((3, 10))
    result = tefast.transfer_entropy(h, y, backend=backend)
    assert result.tolist() == [0.0] * 4
    assert tefast.entropy(h, backend=backend).tolist() == [0.0] * 4
    constant_source = tefast.transfer_entropy(y[..., None], np.ones((3, 10)), backend=backend)
    assert constant_source.tolist() == [0.0]


def test_the_largest_and_smallest_ranges(backend):
    h = np.array([-1.7e308, 1.7e308] * 5 + [0.0])
    tiny = np.array([0.0, 5e-324] * 5 + [0.0])
    y = np.array([0, 1] * 5 + [0])
    h[4] = h[7] = 1e307
    assert np.isfinite(tefast.transfer_entropy(h, y, backend=backend)).all()
    assert tefast.entropy(tiny, backend=backend) == pytest.approx(naive.entropy(tiny.tolist()))


@pytest.mark.parametrize("shape", [(40,), (40, 3), (2, 40, 3)])
def test_ranks(shape, backend):
    h = rng.random(shape)
    y = rng.random(shape[:-1] if len(shape) > 1 else shape)
    full = h.reshape(1, 40, -1) if h.ndim < 3 else h
    full_y = y.reshape(len(full), 40)
    result = tefast.transfer_entropy(h, y, backend=backend)
    np.testing.assert_array_equal(result, tefast.transfer_entropy(full, full_y, backend=backend))
    assert result.shape == shape[-1:] if len(shape) > 1 else isinstance(result, np.float64)


def test_inputs_are_never_changed(backend):
    h, y = H.copy(), Y.copy()
    lengths = np.full(6, 12)
    for options in ({}, {"binning": "quantile"}, {"nan_policy": "omit"}, {"lengths": lengths}):
        tefast.transfer_entropy(h, y, backend=backend, **options)
    np.testing.assert_array_equal(h, H)
    np.testing.assert_array_equal(y, Y)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), bins=st.integers(2, 40), units=st.integers(1, 40))
def test_threads_and_instruction_sets_do_not_matter(seed, bins, units):
    local = np.random.default_rng(seed)
    h = local.standard_normal((3, 9, units)).astype(np.float32)
    y = local.standard_normal((3, 9))
    expected = tefast.transfer_entropy(h, y, bins, backend="cpu", threads=1)
    for level in levels.RUNNABLE:
        with levels.using(level):
            for threads in (1, 2, 3, None):
                result = tefast.transfer_entropy(h, y, bins, backend="cpu", threads=threads)
                np.testing.assert_array_equal(result, expected)
    # NumPy sums logarithms of ratios, the kernel n log n in whole numbers.
    reference = tefast.transfer_entropy(h, y, bins, backend="reference")
    np.testing.assert_allclose(expected, reference, rtol=0, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_names_of_symbols_and_order_of_sequences_do_not_matter(seed):
    local = np.random.default_rng(seed)
    h, y = local.integers(0, 5, (6, 8, 4)), local.integers(0, 5, (6, 8))
    te = tefast.transfer_entropy(h, y, bins=5)
    other, order = local.permutation(5), local.permutation(6)
    np.testing.assert_allclose(tefast.transfer_entropy(other[h], y, bins=5), te, atol=1e-12)
    np.testing.assert_allclose(tefast.transfer_entropy(h, other[y], bins=5), te, atol=1e-12)
    np.testing.assert_array_equal(tefast.transfer_entropy(h[order], y[order], bins=5), te)


def test_entropy(backend):
    expected = [
        naive.entropy([naive.code(v, own_edges(H[..., u], 16)) for v in H[..., u].ravel()])
        for u in range(5)
    ]
    np.testing.assert_allclose(tefast.entropy(H, backend=backend), expected, atol=1e-12)
    one_step = tefast.entropy(rng.integers(0, 4, (1000, 1, 2)), bins=4, backend=backend)
    np.testing.assert_allclose(one_step, 2.0, atol=0.02)


SYMBOLS = rng.integers(0, 4, (6, 12, 5))


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


ERRORS = [
    # shapes
    ((H[None], Y), {}, ValueError, r"h \(target\) must have shape \(N, T, U\), .* got \(1, 6, 12"),
    ((0.5, 0.5), {}, ValueError, r"h \(target\) must have shape .* got \(\)"),
    ((H, Y[:, :-1]), {}, ValueError, r"y \(source\) must have shape \(6, 12\) .* got \(6, 11\)"),
    ((H, Y[0]), {}, ValueError, r"y \(source\) must have shape \(6, 12\) .* got \(12,\)"),
    ((H[0], Y), {}, ValueError, r"y \(source\) must have shape \(12,\) .* got \(6, 12\)"),
    ((H[:, :1], Y[:, :1]), {}, ValueError, r"at least 2 steps, h \(target\) .* has 1"),
    ((H[:0], Y[:0]), {}, ValueError, r"h \(target\) has an empty axis: shape \(0, 12, 5\)"),
    ((H[..., :0], Y), {}, ValueError, r"empty axis: shape \(6, 12, 0\)"),
    # types
    ((H.astype(complex), Y), {}, TypeError, r"h \(target\) holds complex numbers; take their real"),
    ((H, Y.astype(str)), {}, TypeError, r"y \(source\) holds labels, such as y\[0, 0\] = "),
    ((H.astype(object), Y), {}, TypeError, r"h \(target\) holds objects of type float; convert"),
    ((H.astype(np.longdouble), Y), {}, TypeError, "got dtype .*(longdouble|float128|float96)"),
    ((np.ma.masked_less(H, 0), Y), {}, ValueError, r"h \(target\) must hold no NaN, got \d+"),
    # bins
    ((H, Y, 1), {}, ValueError, r"bins must lie in 2 \.\. 256, got 1"),
    ((H, Y, 257), {}, ValueError,
     r"bins must lie in 2 \.\. 256, got 257; integers and labels of more values are for "
     r"binning='symbols' alone, which finds up to 32767 symbols"),
    ((H, Y, 16.0), {}, TypeError, r"bins must be an integer in 2 \.\. 256, got 16.0"),
    ((H, Y, True), {}, TypeError, "bins must be an integer"),
    # values
    ((changed(H, (2, 3, 1), np.nan), Y), {}, ValueError,
     r"h \(target\) must hold no NaN, got 1, the first at h\[2, 3, 1\]"),
    ((H[0], changed(Y[0], slice(4, 6), np.nan)), {}, ValueError,
     r"y \(source\) must hold no NaN, got 2, the first at y\[4\]"),
    ((changed(H[0], (3, 1), np.nan), Y[0]), {}, ValueError, r"the first at h\[3, 1\]"),
    ((changed(H[0, :, 0], 3, np.nan), Y[0]), {}, ValueError, r"the first at h\[3\]"),
    ((H, changed(Y, (5, 1), np.nan)), {}, ValueError, r"the first at y\[5, 1\]"),
    ((changed(H, (slice(3, 5), 0, 0), -np.inf), Y), {"nan_policy": "omit"}, ValueError,
     r"h \(target\) must be finite, got 2 infinite values, the first at h\[3, 0, 0\]"),
    ((changed(SYMBOLS, (1, 2, 3), 4), Y), {"bins": 4}, ValueError,
     r"symbols 0 \.\. 3 \(bins=4\), but h\[1, 2, 3\] = 4 is not one; 1 lie outside"),
    ((changed(SYMBOLS, (0, 0, 0), -1), Y), {"bins": 4}, ValueError, r"h\[0, 0, 0\] = -1"),
    ((H, changed(SYMBOLS[..., 0].astype(np.uint64), (5, 11), 2**64 - 1)), {"bins": 4}, ValueError,
     r"y\[5, 11\] = 18446744073709551615"),
    ((np.full_like(H, np.nan), Y), {"nan_policy": "omit"}, ValueError, "no transition is left"),
    # ranges and binning
    ((H, Y), {"h_range": (1, 0)}, ValueError,
     r"h_range must be finite with low < high, got \(1.0, 0.0\)"),
    ((H, Y), {"y_range": (0, np.inf)}, ValueError, "y_range must be finite with low < high"),
    ((H, Y), {"h_range": 3}, TypeError, r"h_range must be \(low, high\), real numbers, got 3"),
    ((H, Y), {"h_range": "01"}, TypeError, "real numbers, got '01'"),
    ((H, Y), {"h_range": {0, 1}}, TypeError, r"real numbers, got \{0, 1\}"),
    ((H, Y, 3), {"binning": [0, 1j]}, TypeError, "an array of inner edges, got list"),
    ((H, Y), {"base": "2"}, TypeError, "base must be a number above 1, got '2'"),
    ((H, Y), {"h_range": ([0, 0], [1, 1])}, ValueError, r"shape \(5,\), got shape \(2,\)"),
    ((H, Y), {"h_range": ([0, 0, 2, 0, 0], 1)}, ValueError, r"\(2.0, 1.0\) for unit 2"),
    ((SYMBOLS, Y), {"h_range": (0, 1)}, ValueError, r"h_range is given, but h .* holds int"),
    ((H, Y), {"binning": "uniformly"}, ValueError, "unknown binning 'uniformly'; known are 'unif"),
    ((H, Y), {"binning": [0.0]}, ValueError, r"takes an array of 15 inner edges.*pass bins=2"),
    ((H, Y, 3), {"binning": [0.5, 0.1]}, ValueError, r"must be finite and rise, got \[0.5, 0.1\]"),
    ((H, Y, 3), {"binning": [0.5, np.nan]}, ValueError, "must be finite and rise"),
    ((H, Y), {"binning": None}, (TypeError, ValueError), "inner edges"),
    ((H, Y), {"binning": object()}, TypeError, "inner edges, got object"),
    ((H, Y), {"binning": "quantile", "h_range": (0, 1)}, ValueError, "goes with binning='uniform'"),
    ((SYMBOLS, SYMBOLS[..., 0]), {"binning": "quantile"}, ValueError, "symbols and are not binned"),
    # lengths
    ((H, Y), {"lengths": [1, 2]}, ValueError, r"lengths must have shape \(6,\), got \(2,\)"),
    ((H, Y), {"lengths": [12, 12, 13, 1, 1, 1]}, ValueError, r"T = 12, got lengths\[2\] = 13"),
    ((H, Y), {"lengths": [12, -1, 3, 1, 1, 1]}, ValueError, r"got lengths\[1\] = -1"),
    ((H, Y), {"lengths": np.ones(6)}, TypeError, "lengths must be integers, got float64"),
    ((H, Y), {"lengths": [True] * 6}, TypeError, "lengths must be integers, got bool"),
    ((H, Y), {"lengths": [None] * 6}, TypeError, "lengths must be integers, got object"),
    ((H, Y), {"lengths": [1] * 6}, ValueError, "no transition is left"),
    # names and numbers
    ((H, Y), {"nan_policy": "drop"}, ValueError, "unknown nan_policy 'drop'; known are 'raise'"),
    ((H, Y), {"backend": "gpu"}, ValueError, "unknown backend 'gpu'; known are 'auto'"),
    ((H, Y), {"threads": 0}, ValueError, r"threads must lie in 1 \.\. 4096, got 0"),
    ((H, Y), {"threads": 1.5}, TypeError, "threads must be a positive integer or None, got 1.5"),
    ((H, Y), {"base": 1}, ValueError, "base must be a finite number above 1"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "options", "error", "message"), ERRORS)
def test_bad_input(arguments, options, error, message, backend):
    with pytest.raises(error, match=message):
        tefast.transfer_entropy(*arguments, **{"backend": backend, **options})


def test_bad_input_to_entropy(backend):
    with pytest.raises(ValueError, match="no value is left"):
        tefast.entropy(np.full((3, 2), np.nan), nan_policy="omit", backend=backend)
    with pytest.raises(ValueError, match="symbols and are not binned"):
        tefast.entropy(SYMBOLS, binning="quantile", backend=backend)


def test_auto_falls_back_and_says_so(monkeypatch):
    from tefast._backends import cpu

    monkeypatch.setattr(cpu, "_reason", "its compiled module cannot be loaded (gone)")
    with pytest.warns(RuntimeWarning, match="counts with NumPy.*gone"):
        result = tefast.transfer_entropy(H, Y)
    np.testing.assert_array_equal(result, tefast.transfer_entropy(H, Y, backend="reference"))
    with pytest.raises(ValueError, match=re.escape("'cpu' is not available: its compiled module")):
        tefast.transfer_entropy(H, Y, backend="cpu")
    assert tefast.build_info()["backends"]["cpu"].startswith("its compiled module")


def test_build_info_names_every_backend():
    info = tefast.build_info()
    assert set(info["backends"]) == set(_backends.NAMES)
    assert info["backends"]["cpu"] is True
    assert info["openmp"] >= 201107
    assert info["max_threads"] >= 1


def test_import_brings_in_numpy_alone():
    code = (
        "import sys, tefast; print(*(m for m in ('torch', 'av', 'matplotlib') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tefast.nothing


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_counts_too():
    # As a data loader's worker does, after the parent has used threads.
    code = """
import os, signal, sys
import numpy as np
import tefast
h, y = np.random.default_rng(0).random((64, 25, 64)), np.random.default_rng(1).random((64, 25))
before = tefast.transfer_entropy(h, y, threads=2)
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(0 if (tefast.transfer_entropy(h, y, threads=2) == before).all() else 1)
sys.exit(os.waitpid(child, 0)[1])
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_threads_run_without_the_gil(monkeypatch):
    # While another thread is inside the kernel, this one must get on. The flag is set and cleared
    # right beside the native call, and threads are switched often, so that a kernel that kept the
    # lock would leave this one a few dozen turns (as sorting a list does, which keeps it).
    from threading import Thread

    from tefast._backends import cpu

    native, inside = cpu._native.transfer_entropy, []

    def watched(*arguments):
        inside.append(True)
        result = native(*arguments)
        inside.clear()
        return result

    monkeypatch.setattr(cpu._native, "transfer_entropy", watched)
    h, y = rng.random((1000, 50, 256), dtype=np.float32), rng.random((1000, 50))
    counter = Thread(target=tefast.transfer_entropy, args=(h, y), kwargs={"threads": 1})
    interval, turns = sys.getswitchinterval(), 0
    sys.setswitchinterval(1e-5)
    try:
        counter.start()
        while counter.is_alive():
            turns += bool(inside)
        counter.join()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 1000


def test_edges_of_each_unit_and_of_each_input(backend):
    units = np.sort(rng.uniform(-0.8, 0.8, (5, 3)), axis=1)
    units[2] = 0.1  # as those of a constant unit
    own = [-0.3, 0.0, 0.2]
    options = {"bins": 4, "backend": backend}
    together = tefast.transfer_entropy(H, Y, binning={"h": units, "y": own}, **options)
    for u in range(5):
        if u == 2:
            continue
        alone = tefast.transfer_entropy(
            H[..., u : u + 1], Y, binning={"h": units[u], "y": own}, **options
        )
        np.testing.assert_allclose(together[u], alone[0], rtol=0, atol=1e-13)
    mixed = tefast.transfer_entropy(H, Y, binning={"h": "quantile"}, y_range=(0, 1), **options)
    edges = tefast.learn_edges(H, 4, binning="quantile", backend=backend)
    assert edges.shape == (5, 3)
    learned = tefast.transfer_entropy(H, Y, binning={"h": edges}, y_range=(0, 1), **options)
    np.testing.assert_array_equal(learned, mixed)
    uniform = tefast.learn_edges(H, 4, h_range=(-1, 1), backend=backend)
    np.testing.assert_array_equal(uniform, np.broadcast_to([-0.5, 0.0, 0.5], (5, 3)))


def test_edges_learned_on_one_batch_serve_all():
    edges = tefast.learn_edges(H[:3], 4, binning="quantile")
    te = tefast.TransferEntropy(5, 4, binning={"h": edges}, y_range=(-1, 1))
    for part in (slice(0, 2), slice(2, 6)):
        te.update(H[part], Y[part])
    expected = tefast.transfer_entropy(H, Y, 4, binning={"h": edges}, y_range=(-1, 1))
    np.testing.assert_array_equal(te.compute(), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"binning": np.zeros((4, 15))},
            r"edges for 4 units, but h \(target\) .* has 5; pass binn",
        ),
        (
            {"binning": np.zeros((5, 15))},
            r"edges for 5 units, but y \(source\) .* has 1; pass binn",
        ),
        ({"binning": {"x": "uniform"}}, "binning has the key 'x'; known are 'h', 'y', 'z'"),
        ({"binning": {"h": np.ones((5, 14))}}, "a row of them for each unit, got shape"),
        ({"binning": {"h": np.array([[2.0, 1.0]] * 5)}, "bins": 3}, "rise, got .* for unit 0"),
        ({"binning": {"y": "quantile"}, "y_range": (0, 1)}, "y_range goes with binning='uniform'"),
    ],
)
def test_edges_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        tefast.transfer_entropy(H, Y, **options)


def test_edges_of_symbols_cannot_be_learned():
    with pytest.raises(ValueError, match=r"holds integers .*, which are not binned"):
        tefast.learn_edges(SYMBOLS)
