"""The library as nvcc built it, as far as it goes without a GPU: it loads, declares and refuses.

`make cuda` builds one and names it in TEFAST_CUDA_LIBRARY; else the installed one is taken.
"""

import os
import subprocess
import sys
from pathlib import Path

import emulated
import pytest

from tefast._backends import operators

torch = pytest.importorskip("torch")

NAMED = os.environ.get("TEFAST_CUDA_LIBRARY")
LIBRARY = Path(NAMED) if NAMED else operators.path()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="this build has no CUDA library")


@pytest.fixture(scope="module")
def ops():
    assert operators._failure(LIBRARY) is None
    return torch.ops.tefast


def test_declares_what_the_emulated_one_does(ops):
    twin = emulated.operators()
    for name in operators.FAKES:
        declared, expected = (str(getattr(x, name).default._schema) for x in (ops, twin))
        assert declared == expected.replace(emulated.NAMESPACE, "tefast")


def test_fakes_of_tensors_on_a_gpu(ops):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        h, y = (torch.empty(shape, device="cuda:0") for shape in ((5, 9, 7), (5, 9, 1)))
        edges = torch.empty(1, 3, dtype=torch.float64, device="cuda:0")
        nats, seen = ops.transfer_entropy(h, edges, y, edges, 4, None, False)
        assert (nats.shape, nats.dtype, nats.device) == ((7,), torch.float64, h.device)
        assert (seen.shape, seen.dtype) == ((), torch.int32)
        found, low, high = ops.scan(h, 4, None)
        assert (found.shape, low.shape, high.shape) == ((5,), (7,), (7,))
        codes = ops.encode(h, edges, 4, None)
        assert (codes.shape, codes.dtype) == (h.shape, torch.int16)
        occupied, counts = (
            torch.empty(shape, dtype=torch.int64, device="cuda:0")
            for shape in ((7, 4), (7, 4, 4, 4))
        )
        source = torch.empty(5, 9, dtype=torch.int16, device="cuda:0")
        assert ops.count_values_(occupied, h, edges, None) is None
        assert ops.count_transitions_(counts, h, edges, source, None) is None
        assert ops.score_counts(counts).shape == (7,)


def test_refuses_tensors_of_the_cpu(ops):
    with pytest.raises(NotImplementedError, match=r"tefast::score_counts.*'CPU' backend"):
        ops.score_counts(torch.zeros(2, 3, 3, 3, dtype=torch.int64))


def test_needs_no_library_that_pytorch_has_not_loaded():
    lines = subprocess.run(
        ["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    needed = {line.split("[")[1].rstrip("]") for line in lines if "(NEEDED)" in line}
    allowed = {"libtorch.so", "libtorch_cpu.so", "libstdc++.so.6", "libgcc_s.so.1", "libm.so.6",
               "libc.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1",
               "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}  # fmt: skip
    assert needed <= allowed


def test_counting_on_the_cpu_never_loads_pytorch():
    """The module that counts on the CPU does not link what the CUDA library does."""
    from tefast import _native

    shown = subprocess.run(
        ["readelf", "-d", _native.__file__], capture_output=True, text=True, check=True
    ).stdout
    assert "torch" not in shown
    assert "cuda" not in shown


def test_a_process_without_a_gpu_is_told_so():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    code = "import tefast; tefast.transfer_entropy([[0.1], [0.2]], [0.1, 0.2], backend='cuda')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ValueError: backend 'cuda' is not available: " in done.stderr
