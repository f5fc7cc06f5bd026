# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Cython with OpenMP: parallel over blocks of 16 units, binning and counting in one loop."""

from cython.parallel cimport prange
from libc.math cimport log
from libc.stdlib cimport calloc, free

cdef int BLOCK = 16


cdef inline int code_of(float value, float low, float scale, int bins) noexcept nogil:
    cdef int code = <int>((value - low) * scale)
    return 0 if code < 0 else (bins - 1 if code >= bins else code)


cdef void count(const float[:, :, ::1] h, const int[:, ::1] state, float low, float scale, int bins,
                Py_ssize_t first, int width, int* counts) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef int u, y, code, cells = bins * bins * bins
    cdef int past[16]
    for i in range(h.shape[0]):
        for u in range(width):
            past[u] = code_of(h[i, 0, first + u], low, scale, bins)
        for j in range(1, h.shape[1]):
            y = state[i, j - 1]
            for u in range(width):
                code = code_of(h[i, j, first + u], low, scale, bins)
                counts[u * cells + (code * bins + past[u]) * bins + y] += 1
                past[u] = code


cdef double n_log_n(double n) noexcept nogil:
    return n * log(n) if n > 0 else 0.0


cdef double measure(const int* counts, int bins) noexcept nogil:
    cdef double total = 0, all = 0, past, move, seen, n
    cdef int a, b, y
    for b in range(bins):
        past = 0
        for a in range(bins):
            move = 0
            for y in range(bins):
                n = counts[(a * bins + b) * bins + y]
                total += n_log_n(n)
                move += n
            total -= n_log_n(move)
            past += move
        for y in range(bins):
            seen = 0
            for a in range(bins):
                seen += counts[(a * bins + b) * bins + y]
            total -= n_log_n(seen)
        total += n_log_n(past)
        all += past
    return total / all / log(2.0)


cdef void block_of(const float[:, :, ::1] h, const int[:, ::1] state, float low, float scale,
                   int bins, Py_ssize_t first, double[::1] result) noexcept nogil:
    cdef int cells = bins * bins * bins, u
    cdef int width = <int>min(BLOCK, h.shape[2] - first)
    cdef int* counts = <int*>calloc(<size_t>cells * width, sizeof(int))
    count(h, state, low, scale, bins, first, width, counts)
    for u in range(width):
        result[first + u] = measure(counts + u * cells, bins)
    free(counts)


def transfer_entropy(const float[:, :, ::1] h, const int[:, ::1] state, float low, float scale,
                     int bins, double[::1] result, int threads):
    cdef Py_ssize_t block
    for block in prange((h.shape[2] + BLOCK - 1) // BLOCK, nogil=True, num_threads=threads,
                        schedule="static"):
        block_of(h, state, low, scale, bins, block * BLOCK, result)
