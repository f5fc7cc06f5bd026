"""Cython with OpenMP, compiled for this very processor."""

import logging
import sys
from functools import cache
from pathlib import Path

import numpy as np
from workloads import H_RANGE, Y_RANGE, bin_of


@cache
def _kernel():
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    logging.getLogger().setLevel(logging.WARNING)  # setuptools tells every command
    build = Path(__file__).parents[2] / "build" / "cython"
    flags = ["-O3", "-march=native", "-fopenmp"]
    source = str(Path(__file__).with_name("kernel.pyx"))
    extension = Extension(
        "tefast_cython_rival", [source], extra_compile_args=flags, extra_link_args=["-fopenmp"]
    )
    modules = cythonize([extension], build_dir=str(build), quiet=True)
    command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(build), str(build)
    command.ensure_finalized()
    command.run()
    sys.path.insert(0, str(build))
    import tefast_cython_rival

    return tefast_cython_rival.transfer_entropy


def transfer_entropy(work, threads):
    low, high = H_RANGE
    result = np.empty(work.shape[2])
    state = bin_of(work.y, *Y_RANGE, work.bins)
    _kernel()(work.h, state, low, work.bins / (high - low), work.bins, result, threads)
    return result
