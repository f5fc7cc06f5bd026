// What the CUDA kernels offer: plain pointers into device memory and sizes, no torch, no Python.
//
// Everything is queued on a stream and nothing waits for it. Errors of a launch are thrown as
// std::runtime_error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "edges.hpp"
#include "element.hpp"

namespace tefast::cuda {

using Stream = void*;  // a cudaStream_t

// Memory on the device for the work of one call: it may be taken back for work that is queued on
// the same stream after the call.
using Allocate = std::function<void*(std::size_t bytes)>;

// Where and with what work is queued.
struct Queue {
    Stream stream;
    Allocate allocate;
    int processors;      // multiprocessors of the device
    std::size_t shared;  // bytes of shared memory that a block may have
    int threads;         // that a block may have
    // Of tables, and of counts that are only measured, that may lie in memory together.
    std::int64_t table_bytes = std::int64_t{1} << 28;
    std::int64_t joint_bytes = std::int64_t{1} << 30;
};

// The limits of a device by its index.
Queue queue_on(int device, Stream stream, Allocate allocate);

// An input and how it is binned.
struct Input {
    Array3 values;                // (N, T, U)
    Edges edges;                  // none for symbols
    const std::int64_t* lengths;  // (N,) valid steps, or null: all
};

// What was seen, as bits of an int.
enum Seen : int {
    h_nan = 1,
    h_bad = 2,  // infinite, or a symbol outside 0 .. bins - 1
    y_nan = 4,
    y_bad = 8,
    counted = 16,  // at least one transition
};

// found: (5,): how many NaN, infinite and outside values, the flat positions of the first NaN and
// of the first infinite or outside value, -1 where there is none. low, high: (U,), the range of
// the finite values; +inf, -inf where there is none and for symbols.
void scan(const Queue& queue, const Input& input, std::int64_t* found, double* low, double* high);

// codes: (N, T, U), contiguous.
void encode(const Queue& queue, const Input& input, std::int16_t* codes);

// Adds to counts (U, bins) the occupancy of every bin.
void count_values(const Queue& queue, const Input& input, std::int64_t* counts);

// Adds to counts (U, next, past, state) every step of every unit. source: (N, T), contiguous,
// codes 0 .. states - 1 or `missing`.
void count_transitions(const Queue& queue, const Input& target, const std::int16_t* source,
                       int states, std::int64_t* counts);

// nats: (U,), transfer entropy of counts (U, bins, bins, states); NaN where nothing was counted.
void score_counts(const Queue& queue, const std::int64_t* counts, std::int64_t units, int bins,
                  int states, double* nats);

// All of it without keeping the counts, for a source (N, T, 1) that is binned too. seen: one int,
// of `Seen`. Transitions that touch a NaN are left out. Where something bad was seen, or a NaN
// though omit is false, nats is NaN throughout.
void transfer_entropy(const Queue& queue, const Input& target, const Input& source, bool omit,
                      double* nats, int* seen);

}  // namespace tefast::cuda
