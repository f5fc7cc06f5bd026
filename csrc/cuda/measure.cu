#include <limits>

#include "cuda/measure.cuh"

namespace tefast::cuda {
namespace {

constexpr int block = 256;
constexpr double one = 0x1p44;   // a nat
constexpr double limb = 0x1p32;  // 2**31 cells can add up to no more than 64 bits hold

struct Sum {
    long long high = 0, low = 0;

    // Adds sign * n ln n.
    __device__ void add(std::uint64_t n, int sign) {
        if (n < 2) return;
        const double count = static_cast<double>(n);
        const double term = rint(count * log(count) * one);
        const double top = floor(term / limb);
        high += sign * static_cast<long long>(top);
        low += sign * static_cast<long long>(term - top * limb);
    }
};

__device__ void atomic_add(long long* at, long long value) {
    if (value != 0) {
        atomicAdd(reinterpret_cast<unsigned long long*>(at),
                  static_cast<unsigned long long>(value));
    }
}

// Counts as users see them.
struct Joint {
    const std::int64_t* counts;  // (units, cells)
    std::int64_t cells;

    __device__ std::uint64_t operator()(std::int64_t unit, std::int64_t cell) const {
        return static_cast<std::uint64_t>(counts[unit * cells + cell]);
    }
};

// The unit and the item of a thread: units side by side where the counts have them so.
struct Place {
    std::int64_t unit, item;

    __device__ Place(std::int64_t i, std::int64_t items, int log2_units) {
        const std::int64_t group = i >> log2_units, lane = i - (group << log2_units);
        unit = (group / items << log2_units) + lane;
        item = group % items;
    }
};

constexpr int width_of(const Tables& tables) { return tables.log2_units; }
constexpr int width_of(const Joint&) { return 0; }

// One thread a (next, past) of a unit: A, C and the counts of moves.
template <class Counts>
__global__ void sum_states(Counts counts, std::int64_t units, int bins, int states, int log2_units,
                           Margins margins) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const int moves = bins * bins;
    const Place at(i, moves, log2_units);
    if (at.unit >= units) return;
    Sum sum;
    std::uint64_t total = 0;
    for (int s = 0; s < states; ++s) {
        const std::uint64_t n = counts(at.unit, at.item * states + s);
        sum.add(n, 1);
        total += n;
    }
    sum.add(total, -1);
    margins.moves[at.unit * moves + at.item] = total;
    atomic_add(margins.sums + 2 * at.unit, sum.high);
    atomic_add(margins.sums + 2 * at.unit + 1, sum.low);
}

// One thread a (past, state) of a unit: D.
template <class Counts>
__global__ void sum_next(Counts counts, std::int64_t units, int bins, int states, int log2_units,
                         Margins margins) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t pairs = std::int64_t{bins} * states;
    const Place at(i, pairs, log2_units);
    if (at.unit >= units) return;
    std::uint64_t total = 0;
    for (int next = 0; next < bins; ++next) total += counts(at.unit, next * pairs + at.item);
    Sum sum;
    sum.add(total, -1);
    atomic_add(margins.sums + 2 * at.unit, sum.high);
    atomic_add(margins.sums + 2 * at.unit + 1, sum.low);
}

// One warp a unit: B, and the result.
__global__ void finish(Margins margins, std::int64_t units, int bins, double* nats, int* seen) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t unit = i / warp;
    if (unit >= units) return;
    const unsigned long long* moves = margins.moves + unit * bins * bins;
    Sum sum;
    unsigned long long all = 0;
    for (int past = static_cast<int>(i % warp); past < bins; past += warp) {
        unsigned long long total = 0;
        for (int next = 0; next < bins; ++next) total += moves[next * bins + past];
        sum.add(total, 1);
        all += total;
    }
    for (int offset = warp / 2; offset > 0; offset /= 2) {
        sum.high += __shfl_xor_sync(0xffffffffu, sum.high, offset);
        sum.low += __shfl_xor_sync(0xffffffffu, sum.low, offset);
        all += __shfl_xor_sync(0xffffffffu, all, offset);
    }
    if (i % warp != 0) return;
    sum.high += margins.sums[2 * unit];
    sum.low += margins.sums[2 * unit + 1];
    // Never negative but for rounding, of which nobody should see a trace.
    const double total = static_cast<double>(sum.high) * limb + static_cast<double>(sum.low);
    const double positive = total > 0 ? total : 0.0;
    nats[unit] =
        all ? positive / one / static_cast<double>(all) : std::numeric_limits<double>::quiet_NaN();
    if (all && seen && !(*seen & counted)) atomicOr(seen, static_cast<int>(counted));
}

template <class Counts>
void measure_any(const Queue& queue, const Counts& counts, std::int64_t units, int bins, int states,
                 const Margins& margins, double* nats, int* seen) {
    const std::int64_t moves = std::int64_t{bins} * bins;
    clear(queue, margins.sums, static_cast<std::size_t>(units) * 2 * sizeof(long long));
    const int width = width_of(counts);
    const std::int64_t padded = blocks_for(units, 1 << width) << width;
    launch("measuring", sum_states<Counts>, blocks_for(padded * moves, block), block, 0, queue,
           counts, units, bins, states, width, margins);
    launch("measuring", sum_next<Counts>, blocks_for(padded * bins * states, block), block, 0,
           queue, counts, units, bins, states, width, margins);
    launch("measuring", finish, blocks_for(units * warp, block), block, 0, queue, margins, units,
           bins, nats, seen);
}

__global__ void make_nan(std::int64_t units, int forbidden, double* nats, const int* seen) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i < units && (*seen & forbidden)) nats[i] = std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Margins allocate_margins(const Queue& queue, std::int64_t units, int bins) {
    return {allocate<long long>(queue, 2 * units),
            allocate<unsigned long long>(queue, units * bins * bins)};
}

void measure(const Queue& queue, const Tables& counts, std::int64_t units, int bins, int states,
             const Margins& margins, double* nats, int* seen) {
    measure_any(queue, counts, units, bins, states, margins, nats, seen);
}

void measure(const Queue& queue, const std::int64_t* counts, std::int64_t units, int bins,
             int states, const Margins& margins, double* nats, int* seen) {
    const Joint joint{counts, std::int64_t{bins} * bins * states};
    measure_any(queue, joint, units, bins, states, margins, nats, seen);
}

void withhold(const Queue& queue, std::int64_t units, bool omit, double* nats, const int* seen) {
    const int forbidden = h_bad | y_bad | (omit ? 0 : h_nan | y_nan);
    launch("measuring", make_nan, blocks_for(units, block), block, 0, queue, units, forbidden, nats,
           seen);
}

}  // namespace tefast::cuda
