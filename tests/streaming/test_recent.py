"""Short batches, whose counts are kept in 16 bits until somebody asks."""

import copy
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import tefast
from tefast._streaming import recent


def batch(rng, rows=20, units=19):
    h, y = rng.random((rows, 30, units)), rng.random((rows, 30))
    h[:, 1:, 3] = y[:, :-1]
    return h, y


def empty(**how):
    return tefast.TransferEntropy(units=19, bins=5, h_range=(0, 1), y_range=(0, 1), **how)


def waiting(streamed):
    """Rows whose counts are in 16 bits."""
    return streamed._recent._rows


def test_they_wait_until_somebody_asks():
    rng, streamed = np.random.default_rng(0), empty()
    batches = [batch(rng) for _ in range(7)]
    for h, y in batches:
        streamed.update(h, y)
    assert waiting(streamed) == 7 * 20 * 30
    whole = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    expected = tefast.transfer_entropy(*whole, bins=5, h_range=(0, 1), y_range=(0, 1))
    np.testing.assert_array_equal(streamed.compute(), expected)
    assert waiting(streamed) == 0
    streamed.update(*batches[0])
    assert streamed.counts.sum() == 8 * 20 * 29 * 19


def test_no_counter_overflows():
    streamed, shape = empty(), (100, 300, 19)
    for _ in range(9):  # one cell takes them all
        streamed.update(np.zeros(shape), np.zeros(shape[:2]))
        assert waiting(streamed) <= 65535
    assert streamed.counts[:, 0, 0, 0].tolist() == [9 * 100 * 299] * 19


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_adds_nothing(bad):
    rng, streamed = np.random.default_rng(1), empty()
    h, y = batch(rng)
    streamed.update(h, y)
    before = empty()
    before.update(h, y)
    h = h.copy()
    h[19, 29, 18] = bad
    with pytest.raises(ValueError, match=r"h\[19, 29, 18\]"):
        streamed.update(h, y)
    np.testing.assert_array_equal(streamed.counts, before.counts)


def test_nan_left_out_and_lengths():
    rng, streamed = np.random.default_rng(2), empty(nan_policy="omit", threads=2)
    h, y = batch(rng)
    h[rng.random(h.shape) < 0.1] = np.nan
    lengths = rng.integers(0, 31, 20)
    streamed.update(h, y, lengths)
    assert waiting(streamed)
    expected = tefast.transfer_entropy(
        h, y, bins=5, h_range=(0, 1), y_range=(0, 1), lengths=lengths, nan_policy="omit"
    )
    np.testing.assert_array_equal(streamed.compute(), expected)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_them(copied):
    streamed = empty()
    streamed.update(*batch(np.random.default_rng(3)))
    other = copied(streamed)
    assert waiting(other)
    other.update(*batch(np.random.default_rng(4)))
    streamed.update(*batch(np.random.default_rng(4)))
    np.testing.assert_array_equal(other.counts, streamed.counts)
    streamed.merge(other)
    np.testing.assert_array_equal(streamed.counts, 2 * other.counts)
    assert streamed.state_dict()["counts"].sum() == streamed.counts.sum()
    streamed.update(*batch(np.random.default_rng(5)))
    streamed.reset()
    assert not streamed.counts.any()


def test_long_batches_and_large_counts_go_without(monkeypatch):
    rng = np.random.default_rng(6)
    monkeypatch.setattr(recent, "MOST_VALUES", 11400)
    streamed, plain = empty(), empty()
    for rows in (20, 21, 20):
        h, y = batch(rng, rows)
        streamed.update(h, y)
        plain.update(h, y)
        assert plain.counts is not None  # asked for after every batch
    np.testing.assert_array_equal(streamed.counts, plain.counts)
    monkeypatch.setattr(recent, "MOST_BYTES", 100)
    assert streamed.counts is not None
    streamed.update(*batch(rng))
    assert not waiting(streamed)


@pytest.mark.parametrize("gaps", [False, True])
def test_a_signal_takes_the_batch_back(gaps):
    how = {"units": 500, "bins": 5, "h_range": (0, 1), "y_range": (0, 1), "nan_policy": "omit"}
    rng, streamed = np.random.default_rng(7), tefast.TransferEntropy(**how, threads=1)
    long, source = rng.random((400, 40, 500)), rng.random((400, 40))  # 8 million values
    if gaps:
        long[rng.random(long.shape) < 0.1] = np.nan
    plain = tefast.TransferEntropy(**how)
    plain.update(long, source)
    started = time.perf_counter()
    streamed.update(long, source)
    took, returned = time.perf_counter() - started, 1
    handler = signal.signal(signal.SIGINT, interrupt)
    try:
        for part in (0, 0.2, 0.3, 0.4, 0.5, 0.6):  # of the time it takes, while values become codes
            sender = threading.Thread(target=send, args=(part * took,))  # or are counted
            try:
                sender.start()
                streamed.update(long, source)
                returned += 1
                sender.join()
            except InterruptedError:
                sender.join()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert returned < 7
    np.testing.assert_array_equal(streamed.counts, returned * plain.counts)


def send(seconds):
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGINT)


def interrupt(number, frame):
    raise InterruptedError
