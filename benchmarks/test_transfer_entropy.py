"""tefast beside everything a user could pick instead, on activations of the sizes people have.

Every benchmark asserts that its result is tefast's to 1e-9.
"""

import os

import numpy as np
import pytest
from conftest import score
from workloads import WORKLOADS

import tefast

torch = pytest.importorskip("torch")
THREADS = len(os.sched_getaffinity(0))
PAPER = WORKLOADS["paper"]


@pytest.fixture(scope="module", autouse=True)
def same_threads():
    """Every library on as many threads as tefast."""
    import numba

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    numba.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def paper():
    return score(PAPER, THREADS)


def read_once(work):
    """One pass over h: how fast memory gives it up."""
    return torch.from_numpy(work.h).sum()


@pytest.mark.parametrize("threads", sorted({1, THREADS}))
@pytest.mark.parametrize("name", WORKLOADS)
def test_one_pass_read(in_turn, name, threads):
    torch.set_num_threads(threads)
    work = WORKLOADS[name]
    in_turn(lambda: read_once(work), work, threads, rounds=30)
    torch.set_num_threads(THREADS)


@pytest.mark.parametrize("name", ["range", "skewed", "wide"])
def test_beside_paper(in_turn, paper, name):
    """Other data of the same size: the ratio is of this workload to `paper`."""
    work = WORKLOADS[name]
    expected = tefast.transfer_entropy(work.h, work.y, backend="reference", **work.options)
    in_turn(
        lambda: score(work, THREADS), work, THREADS, rounds=20, expected=expected,
        beside=lambda: score(PAPER, THREADS),
    )  # fmt: skip


@pytest.mark.parametrize("name", WORKLOADS)
def test_one_thread(in_turn, name):
    work = WORKLOADS[name]
    in_turn(lambda: score(work, 1), work, THREADS, rounds=20, expected=score(work, THREADS))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtype(in_turn, dtype):
    """Read as it is, without a float32 copy."""
    h = torch.from_numpy(PAPER.h).to(getattr(torch, dtype))
    options = {**PAPER.options, "threads": THREADS}
    expected = tefast.transfer_entropy(h.float(), PAPER.y, **options)

    def of_dtype():
        return tefast.transfer_entropy(h, PAPER.y, **options)

    in_turn(of_dtype, PAPER, THREADS, rounds=10, expected=expected.numpy())


def test_numpy(in_turn, paper):
    from rivals import with_numpy

    in_turn(lambda: with_numpy.transfer_entropy(PAPER), PAPER, THREADS, rounds=3, expected=paper)


def test_torch(in_turn, paper):
    from rivals import with_torch

    in_turn(lambda: with_torch.transfer_entropy(PAPER), PAPER, THREADS, rounds=5, expected=paper)


def test_numba(in_turn, paper):
    from rivals import with_numba

    in_turn(lambda: with_numba.transfer_entropy(PAPER), PAPER, THREADS, rounds=10, expected=paper)


def test_cython(in_turn, paper):
    from rivals import with_cython

    in_turn(
        lambda: with_cython.transfer_entropy(PAPER, THREADS), PAPER, THREADS, rounds=10,
        expected=paper,
    )  # fmt: skip


@pytest.mark.parametrize("threads", sorted({1, THREADS}))
def test_pyinform_given_codes(in_turn, paper, threads):
    """It has one thread; here beside one of tefast's, and beside all."""
    from rivals import with_pyinform

    assert PAPER.codes  # binned beforehand, at no cost
    in_turn(lambda: with_pyinform.given_codes(PAPER), PAPER, threads, rounds=10, expected=paper)


def test_pyinform(in_turn, paper):
    from rivals import with_pyinform

    in_turn(lambda: with_pyinform.transfer_entropy(PAPER), PAPER, THREADS, rounds=3, expected=paper)


def test_infomeasure(in_turn):
    """32 of the 1024 units, taken 32 times: it works on one pair of series after the other."""
    from rivals import with_infomeasure

    some = Some(PAPER.name, PAPER.shape)
    n, t, _ = PAPER.shape
    glued = tefast.transfer_entropy(
        some.h.reshape(1, n * t, 32), some.y.reshape(1, -1), **PAPER.options
    )
    in_turn(
        lambda: with_infomeasure.transfer_entropy(some), PAPER, THREADS, rounds=1,
        expected=glued, times=32,
    )  # fmt: skip


class Some(type(PAPER)):
    """The first 32 units of `paper`."""

    @property
    def h(self):
        return np.ascontiguousarray(PAPER.h[:, :, :32])

    @property
    def codes(self):
        h, y = PAPER.codes
        return h[:32], y
