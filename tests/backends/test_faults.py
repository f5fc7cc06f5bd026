"""Memory that runs out, many threads at once, forks, and Ctrl-C."""

import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tefast

linux = pytest.mark.skipif(sys.platform != "linux", reason="what the system's limits do elsewhere")

DATA = """
import numpy as np, tefast
rng = np.random.default_rng(0)
h, y = rng.random((60, 25, 96), dtype=np.float32), rng.random((60, 25))
x = rng.random((1500, 24))
inputs = (h, y, x)
"""


def in_process(code, **environment):
    """What a process of its own prints, and how it ends."""
    return subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", DATA + code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_WAIT_POLICY": "passive", **environment},
    )


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    """Environment variables of a process whose n-th large allocation fails."""
    compiler = shutil.which("gcc")
    if not compiler or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"):
        pytest.skip("needs gcc and glibc")
    library = tmp_path_factory.mktemp("preloaded") / "failing_malloc.so"
    source = Path(__file__).parent.parent / "native" / "failing_malloc.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


EACH_FAILS = """
import ctypes
malloc = ctypes.CDLL(None)
malloc.fail_at.argtypes = [ctypes.c_long, ctypes.c_size_t]
malloc.until_failure.restype = ctypes.c_long
copies = [array.copy() for array in inputs]

def forget():
    # Large buffers are kept for the next call, up to 24 MB. Two that have no room beside each other
    # push all others out.
    from tefast import _native
    for rows in (1_400_000, 700_000):
        given = _native.Input(np.zeros((1, rows, 16), np.uint8), "uint8", False, None, 2, None)
        nothing = np.full((1, 1, rows), -1, np.int16)
        _native.transfer_entropies(given, nothing, 2, False, 2, [1, 0])

def each_fails(call, least):
    # One allocation after the other fails, until there is none left in a call.
    expected, failed = call(), 0
    for n in range(10_000):
        forget()
        malloc.fail_at(n, least)
        try:
            found = call()
        except MemoryError:
            found = None
        reached = malloc.until_failure() < 0
        malloc.fail_at(-1, 0)
        failed += found is None
        assert found is None or np.array_equal(found, expected, equal_nan=True), n
        if not reached:
            break
    assert np.array_equal(call(), expected, equal_nan=True)
    assert all(map(np.array_equal, inputs, copies))
    return failed
"""

CALLS = {
    "transfer": "tefast.transfer_entropy(h, y, threads=2)",
    "bins": "tefast.transfer_entropy(h, y, 128, threads=2)",
    "histories": "tefast.transfer_entropy(h, y, 4, target_history=2, threads=2)",
    "strided": "tefast.transfer_entropy(h[:, ::-1], y[:, ::-1], source_history=2, threads=2)",
    "quantile": "tefast.transfer_entropy(h, y, binning='quantile', threads=2)",
    "local": "tefast.local_transfer_entropy(h, y, threads=2)",
    "information": "tefast.mutual_information(h, y, threads=2)",
    "significance": "tefast.significance(h, y, 4, surrogates=20, threads=2).p_value",
    "conditional": "tefast.significance(h, y, 4, surrogates=20, method='conditional').p_value",
    "pairs": "tefast.pairwise_transfer_entropy(x, 3, threads=2).te",
    "pairs of many bins": "tefast.pairwise_transfer_entropy(x, 16, threads=2).te",
}


@linux
@pytest.mark.parametrize("name", CALLS)
def test_memory_that_runs_out_is_a_memory_error_and_nothing_is_lost(failing, name):
    # Smaller allocations are also NumPy's own, some of which it does not check.
    code = f"assert each_fails(lambda: {CALLS[name]}, 70_000) > 0"
    done = in_process(EACH_FAILS + code, **failing)
    assert done.returncode == 0, done.stderr[-2000:]


@linux
def test_memory_that_runs_out_in_a_parallel_region_does_not_end_the_process(failing):
    code = """
from tefast import _native
own, source = rng.integers(0, 16, (2000, 4)), rng.integers(0, 4, 2000)
orders = np.array([rng.permutation(2000) for _ in range(3)], np.uint32)
codes = rng.integers(0, 3, (1, 3000, 9)).astype(np.int16)
# Larger than what OpenMP itself asks for, and smaller than any array of these calls.
assert each_fails(
    lambda: _native.conditional_surrogates(own, 4, source, orders, 2), 7_000
) > 10
rows, every = _native.pack_windows(codes, 3, [1, 0], 1)
side = _native.PairSide(rows, every)
assert each_fails(lambda: _native.count_pairs(side, side, 3, 2), 7_000) > 1
"""
    done = in_process(EACH_FAILS + code, **failing)
    assert done.returncode == 0, done.stderr[-2000:]


@linux
def test_a_stream_goes_on_with_what_it_had(failing):
    code = """
whole = tefast.TransferEntropy(96, h_range=(0, 1), y_range=(0, 1), threads=2)
whole.update(h, y)
stream = tefast.TransferEntropy(96, h_range=(0, 1), y_range=(0, 1), threads=2)
stream.update(h[:20], y[:20])
failed = 0
for n in range(1000):
    forget()
    malloc.fail_at(n, 70_000)
    try:
        stream.update(h[20:], y[20:])
    except MemoryError:
        failed += 1
        malloc.fail_at(-1, 0)
        continue
    malloc.fail_at(-1, 0)
    break
assert failed, failed
assert np.array_equal(stream.compute(), whole.compute())
assert np.array_equal(stream.counts, whole.counts)
"""
    done = in_process(EACH_FAILS + code, **failing)
    assert done.returncode == 0, done.stderr[-2000:]


@linux
def test_a_checkpoint_survives_memory_that_runs_out(failing, tmp_path):
    code = """
expected = tefast.pairwise_transfer_entropy(x, 16, threads=2).te
for n in range(1000):
    malloc.fail_at(n, 70_000)
    try:
        found = tefast.pairwise_transfer_entropy(x, 16, threads=2, checkpoint=os.environ["FOLDER"])
    except MemoryError:
        continue
    finally:
        malloc.fail_at(-1, 0)
    break
assert n > 0
assert np.array_equal(found.te, expected, equal_nan=True)
"""
    done = in_process("import os" + EACH_FAILS + code, FOLDER=str(tmp_path / "folder"), **failing)
    assert done.returncode == 0, done.stderr[-2000:]


@linux
def test_threads_that_the_system_does_not_start_are_done_without():
    # GNU's OpenMP would end the process.
    code = """
import resource
expected = tefast.transfer_entropy(h, y, threads=1)
room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (room + 2**26, room + 2**26))
assert np.array_equal(tefast.transfer_entropy(h, y, threads=200), expected)
"""
    done = in_process(code)
    assert done.returncode == 0, done.stderr[-2000:]


def of_everything(seed, threads=2):
    """What the entry points give for data of their own."""
    rng = np.random.default_rng(seed)
    h, y, x = rng.random((8, 9, 18)), rng.random((8, 9)), rng.random((90, 4))
    stream = tefast.TransferEntropy(18, 4, h_range=(0, 1), y_range=(0, 1), threads=threads)
    stream.update(h, y)
    return [
        tefast.transfer_entropy(h, y, 4, threads=threads),
        tefast.transfer_entropy(h, y, 4, target_history=2, threads=threads),
        tefast.transfer_entropy(h, y, 4, binning="quantile", threads=threads),
        tefast.mutual_information(h, y, 4, threads=threads),
        tefast.entropy(h, 4, threads=threads),
        tefast.local_transfer_entropy(h, y, 4),
        tefast.significance(h, y, 4, surrogates=9, threads=threads).p_value,
        tefast.significance(h, y, 4, surrogates=9, method="conditional", threads=threads).p_value,
        tefast.pairwise_transfer_entropy(x, 3, threads=threads).te,
        tefast.pairwise_transfer_entropy(x, 16, threads=threads).te,
        stream.compute(),
    ]


def same(found, expected):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


@pytest.mark.filterwarnings("ignore")
def test_64_threads_at_once_give_what_one_gives():
    expected = [of_everything(seed, threads=1) for seed in range(64)]
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(of_everything, range(64)))
    assert all(map(same, found, expected))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", multiprocessing.get_all_start_methods())
def test_processes_count_after_their_parent_has_used_threads(way):
    expected = of_everything(0)
    with multiprocessing.get_context(way).Pool(1) as pool:
        assert same(pool.apply_async(of_everything, (0,)).get(timeout=240), expected)


ENDLESS = {
    "one long series": """
steps = 2**31
long = [np.broadcast_to(np.float32(0.5), shape) for shape in ((1, steps, 1), (1, steps))]
call = lambda: tefast.transfer_entropy(
    *long, h_range=(0, 1), y_range=(0, 1), threads=2
)
""",
    "a layer": """
large = [np.broadcast_to(array[:1], (2**22, *array.shape[1:])) for array in (h, y)]
call = lambda: tefast.transfer_entropy(*large, threads=2)
""",
    "a stream": """
large = [np.broadcast_to(array[:1], (2**22, *array.shape[1:])) for array in (h, y)]
stream = tefast.TransferEntropy(96, h_range=(0, 1), y_range=(0, 1), threads=2)
stream.update(h, y)
before = stream.counts.copy()

def call():
    try:
        stream.update(*large)
    finally:
        assert np.array_equal(stream.counts, before)

""",
    "significance": """
call = lambda: tefast.significance(h, y, surrogates=1_000_000, threads=2)
""",
    "conditional": """
call = lambda: tefast.significance(h, y, surrogates=1_000_000, method="conditional")
""",
    "pairs": """
many = rng.random((20_000, 1000))
call = lambda: tefast.pairwise_transfer_entropy(many, 8, threads=2)
""",
}


@linux
@pytest.mark.parametrize("name", ENDLESS)
def test_ctrl_c_ends_a_call_of_minutes(name):
    # Held to time of the processors, not of the clock: others may keep the machine busy.
    code = """
import os, signal, threading, time
sent = []

def interrupt():
    time.sleep(1)
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt, daemon=True).start()
try:
    call()
except KeyboardInterrupt:
    used = time.process_time() - sent[0]
    assert used < 2, used
else:
    raise AssertionError("the call was over before the signal")
assert np.isfinite(tefast.transfer_entropy(h, y)).all()
"""
    done = in_process(ENDLESS[name] + code)
    assert done.returncode == 0, done.stderr[-2000:]
