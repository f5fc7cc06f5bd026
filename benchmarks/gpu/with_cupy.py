"""CuPy: a kernel of one's own, as one would write it in an afternoon.

Threads walk along sequences and count by atomics, `shared` into tables in shared memory for
neighbouring units, `shared` being possible up to 32 bins, `direct` straight into the counts.
"""

from functools import cache

import cupy
import numpy as np
import torch
from workloads import H_RANGE, Y_RANGE

SOURCE = r"""
#if BFLOAT16
typedef unsigned short Element;
__device__ float read(Element bits) { return __uint_as_float((unsigned)bits << 16); }
#else
typedef float Element;
__device__ float read(Element value) { return value; }
#endif

#define CELLS (BINS * BINS * BINS)

__device__ int code_of(float value, float low, float scale) {
    return (int)fminf(fmaxf((value - low) * scale, 0.0f), BINS - 1.0f);
}

// Blocks along x take WIDTH units each, those along y share the sequences.
extern "C" __global__ void count(const Element* __restrict__ h, const float* __restrict__ y,
                                 unsigned* counts, long long sequences, int steps, int units,
                                 float h_low, float h_scale, float y_low, float y_scale) {
    const int lane = threadIdx.x % WIDTH, unit = blockIdx.x * WIDTH + lane;
    const long long walkers = blockDim.x / WIDTH;
#if SHARED
    extern __shared__ unsigned table[];  // neighbouring units in neighbouring banks
    for (int i = threadIdx.x; i < CELLS * WIDTH; i += blockDim.x) table[i] = 0;
    __syncthreads();
    unsigned* const own = table + lane;
    const int apart = WIDTH;
#else
    unsigned* const own = counts + (long long)unit * CELLS;
    const int apart = 1;
#endif
    for (long long i = blockIdx.y * walkers + threadIdx.x / WIDTH; i < sequences && unit < units;
         i += gridDim.y * walkers) {
        const Element* row = h + i * steps * units + unit;
        const float* source = y + i * steps;
        int past = code_of(read(row[0]), h_low, h_scale);
#pragma unroll 8
        for (int j = 1; j < steps; ++j) {
            const int next = code_of(read(row[(long long)j * units]), h_low, h_scale);
            const int state = code_of(source[j - 1], y_low, y_scale);
            atomicAdd(own + ((next * BINS + past) * BINS + state) * apart, 1u);
            past = next;
        }
    }
#if SHARED
    __syncthreads();
    for (int i = threadIdx.x; i < CELLS * WIDTH; i += blockDim.x) {
        const long long to = blockIdx.x * WIDTH + i % WIDTH;
        if (table[i]) atomicAdd(counts + to * CELLS + i / WIDTH, table[i]);
    }
#endif
}
"""


def shared(inputs):
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    width = 32
    while width * 4 * inputs.bins**3 > most:
        width //= 2
        if not width:
            raise ValueError(f"a table of {inputs.bins} bins does not fit into shared memory")
    return _bits(_count(inputs, width, 1024, 4, width * 4 * inputs.bins**3))


def direct(inputs):
    return _bits(_count(inputs, 32, 256, 16, 0))


def _count(inputs, width, threads, blocks_each, shared_bytes):
    """Counts (U, bins, bins, bins). blocks_each: blocks for each multiprocessor, about."""
    sequences, steps, units = inputs.h.shape
    bins, slabs = inputs.bins, -(-units // width)
    processors = cupy.cuda.Device().attributes["MultiProcessorCount"]
    kernel = _kernel(bins, width, inputs.h.dtype == torch.bfloat16, shared_bytes)
    counts = cupy.zeros((units, bins, bins, bins), np.uint32)
    (h_low, h_high), (y_low, y_high) = H_RANGE, Y_RANGE
    kernel(
        (slabs, -(-blocks_each * processors // slabs)),
        (threads,),
        (
            np.uint64(inputs.h.data_ptr()), np.uint64(inputs.y.data_ptr()), counts,
            np.int64(sequences), np.int32(steps), np.int32(units),
            np.float32(h_low), np.float32(bins / (h_high - h_low)),
            np.float32(y_low), np.float32(bins / (y_high - y_low)),
        ),
        shared_mem=shared_bytes,
    )  # fmt: skip
    return counts


@cache
def _kernel(bins, width, bfloat16, shared_bytes):
    known = {"BINS": bins, "WIDTH": width, "BFLOAT16": bfloat16, "SHARED": shared_bytes > 0}
    options = tuple(f"-D{name}={int(value)}" for name, value in known.items())
    kernel = cupy.RawKernel(SOURCE, "count", options)
    if shared_bytes:
        kernel.max_dynamic_shared_size_bytes = shared_bytes
    return kernel


def _bits(counts):
    sum_n_log_n = _sum_n_log_n()
    total = sum_n_log_n(counts, axis=(1, 2, 3))
    total += sum_n_log_n(counts.sum((1, 3)), axis=1)
    total -= sum_n_log_n(counts.sum(3), axis=(1, 2)) + sum_n_log_n(counts.sum(1), axis=(1, 2))
    return torch.from_dlpack(total / counts.sum((1, 2, 3)) / np.log(2))


@cache
def _sum_n_log_n():
    return cupy.ReductionKernel(
        "T n", "float64 total", "n > 0 ? n * log((double)n) : 0.0", "a + b", "total = a", "0",
        "sum_n_log_n",
    )  # fmt: skip
