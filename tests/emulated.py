"""The CUDA kernels on an emulated device: compiled for the host, called with NumPy arrays.

`tests/native/emulated` stands in for the CUDA runtime: threads of a block are fibers that run in a
random order, shared memory is poisoned and fenced. `operators` has PyTorch's operators on top of
them, registered for tensors of the CPU, and `backend` makes of these the backend "cuda".
"""

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tefast._backends.inputs import BinnedValues
from tefast._inputs import values
from tefast.binning import Binning

ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "tests" / "native"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
DTYPES = (
    "float16", "bfloat16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
NAMESPACE = "tefast_emulated"
DEFAULTS = {"processors": 3, "shared": 232448, "threads": 256}


class Passed(ctypes.Structure):
    """An input as tests/native/exports.cpp takes it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("shape", ctypes.c_int64 * 3),
        ("stride", ctypes.c_int64 * 3),
        ("edges", ctypes.c_void_p),
        ("unit_stride", ctypes.c_int64),
        ("bins", ctypes.c_int),
        ("lengths", ctypes.c_void_p),
    )


@functools.cache
def folder():
    """Where libraries are built, until the process ends."""
    made = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, made)
    return made


def compile_shared(name, sources, *options):
    """The path of a shared library made of these sources."""
    out = folder() / name
    command = [
        COMPILER, "-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off",
        "-Wall", "-Wextra", "-Wno-unknown-pragmas", f"-I{ROOT / 'csrc'}",
        "-x", "c++", *map(str, sources), "-x", "none", *options, "-o", str(out),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return out


@functools.cache
def library():
    """The compiled kernels."""
    sources = [*(ROOT / "csrc" / "cuda").glob("*.cu"), ROOT / "csrc" / "cuda" / "plan.cpp"]
    sources += [NATIVE / "exports.cpp", NATIVE / "emulated" / "emulated.cpp"]
    out = compile_shared("libemulated.so", sources, f"-I{NATIVE / 'emulated'}", "-lpthread")
    loaded = ctypes.CDLL(str(out))
    loaded.tefast_message.restype = ctypes.c_char_p
    loaded.tefast_taken.restype = ctypes.c_size_t
    loaded.emulated_launches.restype = ctypes.c_long
    loaded.emulated_fail_after.argtypes = [ctypes.c_long]
    return loaded


@functools.cache
def operators():
    """``torch.ops.tefast_emulated``: the operators for tensors of the CPU."""
    import torch

    from tefast._backends import operators as real

    library()
    torch_folder = Path(torch.__file__).parent
    out = compile_shared(
        "libemulated_operators.so",
        [ROOT / "csrc" / "cuda" / "operators.cpp"],
        "-DTEFAST_EMULATED_DEVICE", f"-DTEFAST_NAMESPACE={NAMESPACE}",
        "-DTORCH_TARGET_VERSION=0x020a000000000000", "-isystem", str(torch_folder / "include"),
        str(folder() / "libemulated.so"), f"-Wl,-rpath,{folder()}",
        f"-L{torch_folder / 'lib'}", "-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu",
    )  # fmt: skip
    torch.ops.load_library(out)
    real.register_fakes(NAMESPACE)
    return torch.ops.tefast_emulated


@contextmanager
def backend():
    """`tefast._backends.cuda` on the emulated device, whose tensors are those of the CPU."""
    from tefast._backends import cuda
    from tefast._backends import operators as real

    operators()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "KIND", "cpu")
        patch.setattr(cuda, "missing", lambda: None)
        patch.setattr(real, "NAMESPACE", NAMESPACE)
        yield cuda


def set_device(**limits):
    """Multiprocessors, bytes of shared memory and threads of a block; the others by default."""
    for name, value in {**DEFAULTS, **limits}.items():
        library().emulated_set(name.encode(), ctypes.c_int(value))


def limit(tables=0, joint=0):
    """Bytes that tables, and counts to be measured, may take together; 0: what is usual."""
    library().tefast_limit(ctypes.c_int64(tables), ctypes.c_int64(joint))


def taken():
    """Bytes of memory that the last call asked for."""
    return library().tefast_taken()


def _call(name, *arguments):
    if getattr(library(), name)(*arguments):
        raise RuntimeError(library().tefast_message().decode())


def _at(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


def _passed(binned):
    """Keeps no reference: the caller's arrays must outlive the call."""
    data, binning, lengths = binned.values, binned.binning, binned.lengths
    edges = binning.edges
    return Passed(
        data.array.ctypes.data,
        DTYPES.index(data.dtype),
        (ctypes.c_int64 * 3)(*data.array.shape),
        (ctypes.c_int64 * 3)(*data.array.strides),
        None if edges is None else edges.ctypes.data,
        0 if edges is None or len(edges) == 1 else binning.bins - 1,
        binning.bins,
        None if lengths is None else lengths.ctypes.data,
    )


def scan(data, bins, lengths=None):
    """found (5,), low and high (U,)."""
    found = np.full(5, 77, np.int64)
    low, high = np.full((2, data.array.shape[2]), 77.0)
    passed = _passed(BinnedValues(data, Binning(bins, None), lengths))
    _call("tefast_scan", ctypes.byref(passed), _at(found), _at(low), _at(high))
    return found, low, high


def encode(data):
    """Codes (N, T, U)."""
    codes = np.full(data.values.array.shape, 77, np.int16)
    _call("tefast_encode", ctypes.byref(_passed(data)), _at(codes))
    return codes


def count_values(data):
    """Counts (U, bins)."""
    counts = np.zeros((data.values.array.shape[2], data.binning.bins), np.int64)
    _call("tefast_count_values", ctypes.byref(_passed(data)), _at(counts))
    return counts


def count_transitions(target, source, states):
    """Counts (U, bins, bins, states)."""
    bins = target.binning.bins
    counts = np.zeros((target.values.array.shape[2], bins, bins, states), np.int64)
    passed = ctypes.byref(_passed(target))
    _call("tefast_count_transitions", passed, _at(source), states, _at(counts))
    return counts


def score_counts(counts):
    """Nats (U,)."""
    nats = np.full(len(counts), 77.0)
    units, bins, _, states = counts.shape
    _call("tefast_score_counts", _at(counts), ctypes.c_int64(units), bins, states, _at(nats))
    return nats


def transfer_entropy(target, source, omit=False):
    """Nats (U,) and what was seen."""
    nats, seen = np.full(target.values.array.shape[2], 77.0), np.full(1, 77, np.int32)
    passed = [_passed(target), _passed(source)]
    _call("tefast_transfer_entropy", *map(ctypes.byref, passed), int(omit), _at(nats), _at(seen))
    return nats, int(seen[0])


def inputs(h, y):
    """Both as `tefast._inputs.values.Values`."""
    target = values.target(h)
    return target, values.source(y, target)
