// Counts to transfer entropy: N T = A + B - C - D, each a sum of n ln n, as on the CPU.
//
// Terms are whole multiples of 2**-44 nats, so that sums do not depend on their order. A sum is
// kept as two integers, high * 2**32 + low, which atomics can add to.
#pragma once

#include "cuda/count.cuh"

namespace tefast::cuda {

// Of each unit: what its cells add to the sum, and its counts of (next, past).
struct Margins {
    long long* sums;            // (units, 2): high, low
    unsigned long long* moves;  // (units, bins * bins), next * bins + past
};

// Room for so many units.
Margins allocate_margins(const Queue& queue, std::int64_t units, int bins);

// nats: (units,). `counts` gives the count of one cell of one unit, (next, past, state). seen may
// be null.
void measure(const Queue& queue, const Tables& counts, std::int64_t units, int bins, int states,
             const Margins& margins, double* nats, int* seen);
void measure(const Queue& queue, const std::int64_t* counts, std::int64_t units, int bins,
             int states, const Margins& margins, double* nats, int* seen);

// Makes nats (units,) NaN where `seen` forbids a result.
void withhold(const Queue& queue, std::int64_t units, bool omit, double* nats, const int* seen);

}  // namespace tefast::cuda
