"""All pairs: to the last bit what a loop over `transfer_entropy` gives, by every way there is."""

import itertools
import re
import signal
import subprocess
import sys
import warnings
from collections import Counter
from contextlib import nullcontext

import emulated
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import RUNNABLE, using

import tefast
from tefast import _backends
from tefast._backends import int8_products
from tefast._backends.inputs import PairStates
from tefast._counting import pairs
from tefast._inputs.kinds import to_numpy


def looped(x, bins, delays, x_range=None, **options):
    """(D, S, U): a call for every source and delay; NaN for a series and itself."""
    units = np.shape(x)[-1]

    def one(s, d):
        ranges = {}
        if x_range is not None:
            low, high = (np.broadcast_to(end, units) for end in x_range)
            ranges = {"h_range": (low, high), "y_range": (low[s], high[s])}
        return tefast.transfer_entropy(x, x[..., s], bins, delay=d, **options, **ranges)

    found = np.array([[one(s, d) for s in range(units)] for d in delays])
    found[:, range(units), range(units)] = np.nan
    return found


def check(x, bins=16, delays=(1,), **options):
    every = looped(x, bins, delays, **options)
    found = tefast.pairwise_transfer_entropy(x, bins, delays=delays, by_delay=True, **options)
    np.testing.assert_array_equal(found.te_by_delay, every)
    some = ~np.isnan(every).all(axis=0)
    best = np.where(np.isnan(every), -np.inf, every).argmax(axis=0)
    np.testing.assert_array_equal(found.te[some], np.nanmax(every[:, some], axis=0))
    assert np.isnan(found.te[~some]).all()
    np.testing.assert_array_equal(found.delay[some], np.array(delays)[best[some]])
    return found


@pytest.fixture(params=["bits", "steps", "windows"])
def way(request, monkeypatch):
    """Every way in which pairs are counted, whatever takes the least time."""
    monkeypatch.setattr(pairs.Pairs, "by_bits", request.param == "bits")
    if request.param == "windows":
        monkeypatch.setattr(pairs.Pairs, "has_kernel", False)
    return request.param


@st.composite
def cases(draw):
    sequences, steps = draw(st.integers(1, 3)), draw(st.integers(12, 90))
    units, bins = draw(st.integers(2, 5)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    options = {
        "target_history": draw(st.integers(1, 2)),
        "source_history": draw(st.integers(1, 2)),
        "target_step": draw(st.integers(1, 2)),
        "source_step": draw(st.integers(1, 2)),
        "bias": draw(st.sampled_from([None, "miller_madow", "grassberger"])),
        "base": draw(st.sampled_from([2, np.e])),
    }
    x = rng.integers(0, bins, (sequences, steps, units))
    kind = draw(st.sampled_from(["symbols", "floats", "quantile", "gaps", "mask", "lengths"]))
    if kind in ("floats", "quantile", "gaps"):
        x = rng.normal(size=x.shape)
    if kind == "quantile":
        options["binning"] = "quantile"
    if kind == "gaps":
        x[rng.random(x.shape) < 0.05] = np.nan
        options["nan_policy"] = "omit"
    if kind == "mask":
        options["mask"] = rng.random(x.shape[:2]) < 0.9
    if kind == "lengths":
        options["lengths"] = rng.integers(10, steps + 1, sequences)
    delays = tuple(sorted(draw(st.sets(st.integers(0, 4), min_size=1, max_size=3))))
    return x, bins, delays, options


@settings(max_examples=25, deadline=None)
@given(case=cases(), name=st.sampled_from(["bits", "steps", "windows"]))
def test_equal_to_a_loop(case, name):
    x, bins, delays, options = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs.Pairs, "by_bits", name == "bits")
        if name == "windows":
            patch.setattr(pairs.Pairs, "has_kernel", False)
        check(x, bins, delays, **options)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bins", [2, 3, 5])
def test_every_instruction_set_and_number_of_threads(level, threads, bins, way):
    # 21 series, so that tiles of 4 by 4 have a rest; more steps than are multiplied at a time.
    steps = 33_000 if bins == 2 and way == "bits" else 700
    x = np.random.default_rng(bins).integers(0, bins, (steps, 21))
    with using(level):
        found = tefast.pairwise_transfer_entropy(x, bins, delays=(1, 64, 65), threads=threads)
    once = np.array([
        [tefast.transfer_entropy(x, x[:, s], bins, delay=d) for s in range(21)]
        for d in (1, 64, 65)
    ])  # fmt: skip
    once[:, range(21), range(21)] = np.nan
    np.testing.assert_array_equal(found.te, once.max(axis=0))


@pytest.mark.parametrize("tile", [{"ROW_BYTES": 1}, {"TILE_BITS": 1}, {"CODE_BYTES": 1},
                                  {"TILE_CELLS": 1}])  # fmt: skip
@pytest.mark.parametrize("bias", [None, "miller_madow"])
def test_tiles_of_any_size(tile, bias, way, monkeypatch):
    for name, size in tile.items():
        monkeypatch.setattr(pairs, name, size)
    x = np.random.default_rng(5).integers(0, 3, (2, 60, 7))
    check(x, 3, (1, 2), bias=bias)


def test_each_series_has_its_own_range_and_a_range_may_be_given():
    x = np.random.default_rng(6).normal(size=(300, 4)) * [1, 10, 100, 1000]
    check(x, 4)
    check(x, 4, x_range=(-50.0, 50.0))
    check(x, 4, x_range=(np.full(4, -50.0), np.array([1.0, 20.0, 50.0, 60.0])))


@pytest.mark.parametrize("kind", ["symbols", "floats"])
def test_a_mask_of_single_values_leaves_them_out_of_each_series(kind, way):
    rng = np.random.default_rng(22)
    mask = rng.random((2, 60, 4)) < 0.8
    x = rng.integers(0, 3, mask.shape) if kind == "symbols" else rng.normal(size=mask.shape)
    gone = np.where(mask, x, np.nan)
    edges = {"binning": [0.5, 1.5]} if kind == "symbols" else {}
    for delays in ((1,), (0, 2)):
        found = tefast.pairwise_transfer_entropy(x, 3, delays=delays, mask=mask)
        same = tefast.pairwise_transfer_entropy(gone, 3, delays=delays, nan_policy="omit", **edges)
        np.testing.assert_array_equal(found.te, same.te)


def test_the_reference_counts_the_same():
    x = np.random.default_rng(7).integers(0, 3, (2, 50, 4))
    for options in ({}, {"target_history": 2}, {"bias": "grassberger", "source_history": 2}):
        one = check(x, 3, (1, 2), backend="reference", **options)
        other = check(x, 3, (1, 2), backend="cpu", **options)
        np.testing.assert_allclose(one.te, other.te, atol=1e-12)


@pytest.mark.parametrize("place", ["emulated", pytest.param("gpu", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("significance", [None, "shuffle", "conditional"])
def test_the_gpu_counts_the_same(place, significance, way, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(int8_products, "CELLS", 60)  # a few pairs at a time
    monkeypatch.setattr(pairs, "CODE_BYTES", 500)  # a few series at a time
    x = np.random.default_rng(9).integers(0, 3, (60, 5))
    options = {"delays": (0, 2), "significance": significance, "surrogates": 9, "alpha": 0.9}
    one = tefast.pairwise_transfer_entropy(x, 3, **options)
    with emulated.backend() if place == "emulated" else nullcontext():
        there = torch.from_numpy(x) if place == "emulated" else torch.from_numpy(x).cuda()
        other = tefast.pairwise_transfer_entropy(there, 3, backend="cuda", **options)
    exact = 0 if way == "bits" else 1e-12
    np.testing.assert_allclose(other.te, one.te, rtol=0, atol=exact)
    np.testing.assert_array_equal(other.delay, one.delay)
    if significance is not None:
        np.testing.assert_allclose(other.null_mean, one.null_mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", _backends.NAMES)
def test_a_backend_offers_all_that_is_asked_of_one(name):
    backend = _backends.load(name)
    asked = {each for each in vars(_backends.Backend) if not each.startswith("_")}
    optional = {
        "LOCAL_MOVES": {"local_values"},
        "RECENT_ROWS": {"recent", "count_recent", "move_recent"},
    }
    for most, functions in optional.items():
        assert functions <= asked
        asked -= set() if getattr(backend, most) else functions
    assert asked <= set(vars(backend))


@pytest.mark.parametrize(
    "place", ["cpu", "reference", "emulated", pytest.param("gpu", marks=pytest.mark.cuda)]
)
def test_backends_make_the_same_tables(place):
    if place == "emulated":
        pytest.importorskip("torch")
    on_gpu = place in ("emulated", "gpu")
    with emulated.backend() if place == "emulated" else nullcontext():
        check_tables(_backends.load("cuda" if on_gpu else place))


def check_tables(load):
    rng = np.random.default_rng(8)
    codes = rng.integers(-1, 3, (2, 300, 5)).astype(np.int16)
    kept = rng.random(600) < 0.9
    targets = load.pair_states(codes, 3, [2, 1, 0], None)
    moved = load.moved_states(load.pair_states(codes, 3, [1, 0], None), 67, kept, None)
    assert isinstance(moved, PairStates)
    counts = to_numpy(load.count_pairs(targets, moved, 3, None))
    assert counts.shape == (5, 5, 9, 3, 9)
    flat = codes.reshape(600, 5)
    for s, u in itertools.product(range(5), repeat=2):
        expected = np.zeros((9, 3, 9), int)
        for n, t in itertools.product(range(2), range(300)):
            at = n * 300 + t - 67
            if t < 2 or not kept[n * 300 + t] or at < 0 or at % 300 < 1:
                continue
            past, step = codes[n, t - 2 : t, u], codes[n, t, u]
            state = flat[at - 1 : at + 1, s]
            if min(*past, step, *state) < 0:
                continue
            expected[past[0] * 3 + past[1], step, state[0] * 3 + state[1]] += 1
        np.testing.assert_array_equal(counts[s, u], expected)
    part = load.count_pairs(targets.series(slice(1, 3)), moved.series(slice(4, 5)), 3, None)
    np.testing.assert_array_equal(to_numpy(part), counts[4:5, 1:3])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # few trials, rare values, few surrogates
@pytest.mark.parametrize("method", ["circular", "shuffle", "trials", "conditional", "chi2"])
@pytest.mark.parametrize(("bins", "delay", "past"), [(2, 1, 1), (7, 1, 1), (2, 0, 1), (3, 0, 2)])
def test_each_source_is_tested_as_by_itself(method, bins, delay, past):
    if method == "chi2":
        pytest.importorskip("scipy")
    x = np.random.default_rng(9).normal(size=(4, 60, 4))
    x[:, 1:, 2] += x[:, :-1, 0]
    x[1, :7, 3] = np.nan
    how = {"binning": "quantile", "nan_policy": "omit", "seed": 3, "surrogates": 70}
    how["target_history"] = past
    found = tefast.pairwise_transfer_entropy(x, bins, significance=method, delays=delay, **how)
    for s in range(4):
        one = tefast.significance(x, x[..., s], bins, method=method, delay=delay, **how)
        others = np.arange(4) != s
        for name in ("te", "p_value", "null_mean", "null_std", "effective_te"):
            mine, theirs = getattr(found, name)[s], getattr(one, name)
            np.testing.assert_array_equal(mine[others], theirs[others])
            assert np.isnan(mine[s])
    np.testing.assert_array_equal(found.q_value, tefast.benjamini_hochberg(found.p_value))


@pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
@pytest.mark.parametrize("history", [1, 2])
def test_a_permuted_source_is_the_same_at_every_delay(history):
    """Permutations of nearly as many steps from the same random numbers would be nearly alike."""
    x = np.random.default_rng(24).integers(0, 2, (300, 3))
    delays, how = range(1, 7), {"source_history": history}
    found = tefast.pairwise_transfer_entropy(
        x, 2, delays=delays, significance="shuffle", surrogates=20, seed=2, **how
    )
    for s, u in itertools.permutations(range(3), 2):
        # States are permuted: of two steps, four of them, as one step of four symbols.
        states = x[:, s] if history == 1 else np.append(0, x[1:, s] + 2 * x[:-1, s])
        best = np.zeros(20)
        for i in range(20):
            drawn = states.copy()
            places = slice(history - 1, len(x) - 1)
            drawn[places] = np.random.default_rng([2, i]).permutation(states[places])
            for d in delays:
                first = history - 1 + d
                after, past = x[first:, u].tolist(), x[first - 1 : -1, u].tolist()
                cells = zip(after, past, drawn[first - d : len(x) - d].tolist(), strict=True)
                best[i] = max(best[i], naive.transfer_entropy(Counter(cells), np.e))
        te = found.te[s, u] * np.log(2)
        assert found.p_value[s, u] == (1 + np.count_nonzero(best >= te - 1e-12)) / 21


@pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
def test_a_permuted_source_may_have_more_states_than_can_be_numbered():
    x = np.random.default_rng(26).integers(0, 2, (400, 3))
    how = {"source_history": 64, "significance": "shuffle", "surrogates": 9}
    found = tefast.pairwise_transfer_entropy(x, 2, delays=[0, 1, 2], **how)
    assert np.nanmin(found.p_value) > 0


@pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
def test_the_best_delay_is_held_against_the_best_of_each_surrogate():
    x = np.random.default_rng(10).integers(0, 2, (400, 3))
    delays = range(1, 9)
    found = tefast.pairwise_transfer_entropy(
        x, 2, delays=delays, significance="circular", surrogates=30, seed=1
    )
    turns = 8 * (np.random.default_rng(1).permutation(49) + 1)  # as far apart as delays span
    for s, u in itertools.permutations(range(3), 2):
        best = np.zeros(31)
        for d in delays:
            best[30] = max(
                best[30], tefast.transfer_entropy(x[:, u], x[:, s], 2, delay=d, base=np.e)
            )
            for i in range(30):
                turned = np.roll(x[:, s], turns[i])
                te = tefast.transfer_entropy(x[:, u], turned, 2, delay=d, base=np.e)
                best[i] = max(best[i], te)
        p = (1 + np.count_nonzero(best[:30] >= best[30] - 1e-12)) / 31
        assert found.p_value[s, u] == p
        assert found.null_mean[s, u] == pytest.approx(best[:30].mean() / np.log(2))


def test_sources_by_name_and_by_number():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(11).normal(size=(200, 4)), columns=list("abcd"))
    whole = tefast.pairwise_transfer_entropy(frame, 3)
    assert whole.names == whole.source_names == tuple("abcd")
    for sources in (["c", "a"], [2, 0], [-2, 0]):
        found = tefast.pairwise_transfer_entropy(frame, 3, sources=sources)
        assert found.source_names == ("c", "a")
        np.testing.assert_array_equal(found.te, whole.te[[2, 0]])


def test_labels_and_booleans():
    words = np.random.default_rng(12).choice(["rain", "sun", "fog"], (150, 3))
    codes = np.unique(words, return_inverse=True)[1].reshape(words.shape)
    found = tefast.pairwise_transfer_entropy(words, binning="symbols")
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(codes, 3).te)
    spikes = codes == 1
    found = tefast.pairwise_transfer_entropy(spikes, 2)
    np.testing.assert_array_equal(found.te, looped(spikes.astype(int), 2, (1,))[0])


@pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
def test_a_checkpoint_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "ROW_BYTES", 1)  # a pair a tile
    x = np.random.default_rng(13).integers(0, 2, (300, 5))
    how = {"delays": (1, 2), "significance": "circular", "surrogates": 20}
    whole = tefast.pairwise_transfer_entropy(x, 2, **how)
    folder = tmp_path / "network"

    def stop(done, total):
        assert total == 25
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tefast.pairwise_transfer_entropy(x, 2, **how, checkpoint=folder, progress=stop)
    with (folder / "tiles").open("ab") as file:
        file.write(b"\x07\x00")  # killed while it wrote
    seen = []
    found = tefast.pairwise_transfer_entropy(
        x, 2, **how, checkpoint=folder, progress=lambda done, _: seen.append(done)
    )
    assert seen == list(range(12, 26))
    for name in ("te", "delay", "p_value", "q_value", "effective_te", "coincidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert isinstance(found.te, np.memmap)
    with pytest.raises(ValueError, match="holds results of bins=2, now 3"):
        tefast.pairwise_transfer_entropy(x, 3, **how, checkpoint=folder)
    x[7, 1] = 1 - x[7, 1]
    with pytest.raises(ValueError, match="holds results of codes="):
        tefast.pairwise_transfer_entropy(x, 2, **how, checkpoint=folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="which holds other files"):
        tefast.pairwise_transfer_entropy(x, 2, **how, checkpoint=tmp_path / "mine")


KILLED = """
import os, signal, sys
import numpy as np
import tefast
from tefast._counting import pairs
from tefast._support import tiles
from tefast._support.tiles import TiledResults

tiles.SETTLE_AFTER = 0  # what was done is known even if the process ends at once
pairs.ROW_BYTES = 1  # a pair a tile
x = np.random.default_rng(20).integers(0, 2, (200, 4))
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "beginning":
    TiledResults.ready = die
tefast.pairwise_transfer_entropy(
    x, 2, checkpoint=sys.argv[1], progress=lambda done, _: done == int(sys.argv[3]) and die()
)
"""


def test_a_checkpoint_outlives_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "ROW_BYTES", 1)
    x = np.random.default_rng(20).integers(0, 2, (200, 4))
    folder = tmp_path / "network"
    for moment in (("beginning", "0"), ("beginning", "0"), ("tile", "3"), ("tile", "9")):
        killed = subprocess.run([sys.executable, "-c", KILLED, folder, *moment], check=False)
        assert killed.returncode == -signal.SIGKILL
    seen = []
    found = tefast.pairwise_transfer_entropy(
        x, 2, checkpoint=folder, progress=lambda done, _: seen.append(done)
    )
    assert seen == list(range(10, 17))
    np.testing.assert_array_equal(found.te, tefast.pairwise_transfer_entropy(x, 2).te)


def test_a_checkpoint_is_not_gone_on_with_by_a_backend_that_rounds_otherwise(tmp_path):
    x = np.random.default_rng(20).integers(0, 2, (200, 4))
    tefast.pairwise_transfer_entropy(x, 2, checkpoint=tmp_path / "new", backend="reference")
    with pytest.raises(ValueError, match="rounding"):
        tefast.pairwise_transfer_entropy(x, 2, checkpoint=tmp_path / "new", backend="cpu")


def test_too_few_surrogates_are_told():
    x = np.random.default_rng(16).integers(0, 2, (400, 3))
    x[1:, 2] = x[:-1, 0]
    with pytest.warns(RuntimeWarning, match="1 of 6 pairs exceeds all of 19 surrogates"):
        tefast.pairwise_transfer_entropy(x, 2, significance="circular", surrogates=19)


def test_how_many_surrogates_there_were_is_said():
    x = np.random.default_rng(19).integers(0, 2, (8, 4))
    x[1:, 2] = x[:-1, 0]
    with pytest.warns(RuntimeWarning, match="there are no more than 7 different ones"):
        found = tefast.pairwise_transfer_entropy(x, 2, significance="circular", seed=1)
    assert found.surrogates == 7
    assert np.nanmin(found.p_value) == 1 / 8
    gaps = np.random.default_rng(18).normal(size=(30, 3))
    gaps[5:20, 1] = np.nan
    found = tefast.pairwise_transfer_entropy(
        gaps, 2, significance="circular", nan_policy="omit", seed=1
    )
    assert found.surrogates == 14  # of series 1, which can be turned in 15 ways


@pytest.mark.parametrize("method", ["chi2", "shuffle", "conditional", "circular"])
def test_memory_that_a_test_ignores_is_told(method):
    if method == "chi2":
        pytest.importorskip("scipy")
    rng = np.random.default_rng(19)
    slow = np.cumsum(rng.normal(size=(3000, 5)), axis=0)
    names = list("abcde")
    pandas = pytest.importorskip("pandas")
    how = {"bins": 3, "significance": method, "surrogates": 9}
    frame = pandas.DataFrame(slow, columns=names)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tefast.pairwise_transfer_entropy(frame, **how)
        memory = [str(each.message) for each in told if "memory" in str(each.message)]
    if method == "circular":
        assert memory == []
        return
    (message,) = memory
    assert re.search(r"of 20 pairs looked at have memory .* like [a-e] -> [a-e] that", message)
    source, target = re.search("like ([a-e]) -> ([a-e])", message).groups()
    assert source != target
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        tefast.pairwise_transfer_entropy(rng.normal(size=(3000, 5)), **how)
        assert not [each for each in told if "memory" in str(each.message)]


def test_rare_values_are_told_before_the_chi_square_law_is_used():
    pytest.importorskip("scipy")
    x = np.random.default_rng(20).integers(0, 12, (1500, 4))
    with pytest.warns(RuntimeWarning, match=r"significance='chi2', source 0: it with .* rejects"):
        tefast.pairwise_transfer_entropy(x, 12, significance="chi2")


def test_a_test_that_cannot_be_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"^significance='trials' exchanges the sources"):
        tefast.pairwise_transfer_entropy(X, 2, significance="trials", checkpoint=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.filterwarnings("ignore:significance=:RuntimeWarning")
@pytest.mark.parametrize("method", ["chi2", "circular", "trials", "shuffle", "conditional"])
def test_a_series_without_values_spoils_no_other(method):
    if method == "chi2":
        pytest.importorskip("scipy")
    x = np.random.default_rng(21).normal(size=(20, 30, 4))
    how = {"bins": 2, "significance": method, "surrogates": 19, "nan_policy": "omit"}
    whole = tefast.pairwise_transfer_entropy(x[..., :3], **how)
    x[..., 3] = np.nan
    found = tefast.pairwise_transfer_entropy(x, **how)
    np.testing.assert_array_equal(found.p_value[:3, :3], whole.p_value)
    assert np.isnan(found.p_value[3]).all()
    assert np.isnan(found.p_value[:, 3]).all()
    assert found.surrogates == whole.surrogates


def test_the_byte_order_may_be_called_by_its_name():
    x = np.random.default_rng(23).normal(size=(100, 3))
    whole = tefast.pairwise_transfer_entropy(x, 3)
    for order in "<>":
        named = x.astype(x.dtype.newbyteorder(order))
        np.testing.assert_array_equal(tefast.pairwise_transfer_entropy(named, 3).te, whole.te)


def test_another_array_gets_the_whole_result_of_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "TILE_PAIRS", 5)  # a source a tile
    x = np.random.default_rng(22).integers(0, 2, (200, 5))

    def stop(done, total):
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tefast.pairwise_transfer_entropy(
            x, 2, checkpoint=tmp_path / "c", out=np.zeros((5, 5)), progress=stop
        )
    out = np.zeros((5, 5))
    found = tefast.pairwise_transfer_entropy(x, 2, checkpoint=tmp_path / "c", out=out)
    assert found.te is out
    expected = tefast.pairwise_transfer_entropy(x, 2).te
    np.testing.assert_array_equal(out, expected)
    again = tefast.pairwise_transfer_entropy(x, 2, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(again.te, expected)


def test_out_gets_the_result(tmp_path):
    x = np.random.default_rng(14).integers(0, 2, (100, 3))
    out = np.lib.format.open_memmap(tmp_path / "te.npy", "w+", np.float64, (3, 3))
    found = tefast.pairwise_transfer_entropy(x, 2, out=out)
    assert found.te is out
    np.testing.assert_array_equal(np.load(tmp_path / "te.npy"), looped(x, 2, (1,))[0])


X = np.random.default_rng(15).integers(0, 2, (50, 3))


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"x": X[:, :1]}, ValueError, "x must hold two series or more, got one"),
    ({"x": X[0]}, ValueError, "x must hold two series or more"),
    ({"delays": 50}, ValueError, "delay=50 takes at least 51 steps, x of shape"),
    ({"bias": "grassberger", "significance": "shuffle"}, ValueError, "does not go with signific"),
    ({"delays": []}, ValueError, "delays must be one or more different integers"),
    ({"delays": (1, 1)}, ValueError, "delays must be one or more different integers"),
    ({"delays": -1}, ValueError, "delays must be an integer, 0 or more, got -1"),
    ({"delays": 1.5}, TypeError, "delays must be an integer"),
    ({"sources": [3]}, ValueError, "there is no series 3 among 3"),
    ({"sources": ["v1"]}, ValueError, "'v1' is no series; known are 0, 1, 2"),
    ({"sources": []}, ValueError, "sources must be one or more different series"),
    ({"sources": [1, 1]}, ValueError, "sources must be one or more different series"),
    ({"sources": "abc"}, TypeError, "sources must be a sequence of series"),
    ({"significance": "magic"}, ValueError, "unknown significance 'magic'; known are 'chi2'"),
    ({"surrogates": 0}, ValueError, "surrogates must be a positive integer"),
    ({"out": np.zeros((3, 2))}, ValueError, r"out must have shape \(3, 3\), got \(3, 2\)"),
    ({"out": np.zeros((3, 3), int)}, TypeError, "out must be an array of float64"),
    ({"x": np.full((50, 2), 7)}, ValueError, r"x\[0, 0\] = 7 is not one"),
    ({"x": np.full((50, 2), np.nan)}, ValueError, "x must hold no NaN, got 100"),
    ({"bias": "none"}, ValueError, "unknown bias"),
])  # fmt: skip
def test_what_is_wrong_is_said(given, error, message):
    with pytest.raises(error, match=message):
        tefast.pairwise_transfer_entropy(**{"x": X, "bins": 2, **given})


def test_a_result_beyond_memory_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("tefast._pairing.plan.memory_limit", lambda: 80)
    with pytest.raises(ValueError, match="pass checkpoint=, a folder in which it is kept"):
        tefast.pairwise_transfer_entropy(X, 2)


@pytest.mark.parametrize(("bins", "histories"), [(2, 1), (3, 1), (4, 1), (5, 1), (2, 2)])
def test_sums_about_two_to_the_64(bins, histories):
    # With so many steps in one cell, A + B is above 2**64 and C + D below it.
    x = np.zeros((49_000 + 250 * histories, 2), int)
    at = np.arange(20, 40_000, 50)
    x[at, 0] = x[at + 1, 1] = 1 + np.arange(len(at)) % (bins - 1)
    how = {"bins": bins, "source_history": histories, "target_history": histories}
    found = tefast.pairwise_transfer_entropy(x, **how).te
    want = tefast.transfer_entropy(x[:, 1:], x[:, 0], **how)
    assert found[0, 1] == want[0] > 0.1
