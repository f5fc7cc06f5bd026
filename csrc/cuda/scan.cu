#include <limits>

#include "cuda/prepare.cuh"

namespace tefast::cuda {
namespace {

constexpr int block = 256;
constexpr int walkers = 8;  // of a block: a warp each, a unit a lane
constexpr unsigned long long none = ~0ull;

// Doubles as integers of the same order, so that atomics find the least and the greatest.
__device__ unsigned long long ordered(double value) {
    const auto bits = static_cast<unsigned long long>(__double_as_longlong(value));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

__device__ double from_ordered(unsigned long long key) {
    return __longlong_as_double(static_cast<long long>(key >> 63 ? key & ~(1ull << 63) : ~key));
}

struct Partial {
    unsigned long long* low;     // (units,), ordered
    unsigned long long* high;    // (units,), ordered
    unsigned long long* counts;  // nan, infinite, outside, first nan, first bad
};

__global__ void start(Partial partial, std::int64_t units) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const double infinity = std::numeric_limits<double>::infinity();
    if (i < units) {
        partial.low[i] = ordered(infinity);
        partial.high[i] = ordered(-infinity);
    }
    if (i < 5) partial.counts[i] = i < 3 ? 0 : none;
}

template <class T>
__global__ void scan_rows(Walk walk, int bins, std::int64_t slabs, Partial partial) {
    using F = Compared<T>;
    constexpr bool symbols = std::is_same_v<T, Symbol>;
    const std::int64_t slab = blockIdx.x % slabs, chunk = blockIdx.x / slabs;
    const std::int64_t chunks = gridDim.x / slabs;
    const std::int64_t units = walk.values.shape[2], steps = walk.values.shape[1];
    const std::int64_t unit = slab * warp + threadIdx.x % warp;
    if (unit >= units) return;
    const std::int64_t first = chunk * walkers + threadIdx.x / warp;
    Reader<T> reader{};
    reader.cut.bins = bins;
    F low = std::numeric_limits<F>::infinity(), high = -low;
    walk_rows<T, false>(
        walk, nullptr, unit, first, walk.segments.count, chunks * walkers,
        [&](const Fetched<T>& got, int i) {
            if (i >= got.rows) return;
            int saw = 0;
            if constexpr (symbols) {
                reader.code(got.raw[i], saw);
            } else {
                const F value = Reader<T>::value(got.raw[i]);
                if (fabs(value) <= std::numeric_limits<F>::max()) {
                    low = fmin(low, value);
                    high = fmax(high, value);
                    return;
                }
                saw = value != value ? saw_nan : saw_bad;
            }
            if (!saw) return;
            const Segment segment(walk, got.segment);
            const auto position = static_cast<unsigned long long>(
                (segment.n * steps + segment.t + got.first + i) * units + unit);
            atomicAdd(partial.counts + (symbols ? 2 : saw == saw_nan ? 0 : 1), 1ull);
            atomicMin(partial.counts + (saw == saw_nan ? 3 : 4), position);
        });
    if (!symbols && low <= high) {
        atomicMin(partial.low + unit, ordered(static_cast<double>(low)));
        atomicMax(partial.high + unit, ordered(static_cast<double>(high)));
    }
}

__global__ void end(Partial partial, std::int64_t units, std::int64_t* found, double* low,
                    double* high) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i < units) {
        low[i] = from_ordered(partial.low[i]);
        high[i] = from_ordered(partial.high[i]);
    }
    if (i < 5) found[i] = static_cast<std::int64_t>(partial.counts[i]);  // `none` becomes -1
}

template <class T>
__global__ void encode_each(Input input, Cuts<Compared<T>> cuts, std::int64_t count,
                            std::int16_t* codes) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const std::int64_t steps = input.values.shape[1], units = input.values.shape[2];
    const std::int64_t unit = i % units, t = i / units % steps, n = i / units / steps;
    Reader<T> reader{};
    reader.cut.bins = cuts.bins;
    if (cuts.low) {
        const std::int64_t row = cuts.row_of(unit);
        reader.cut = {cuts.low[row], cuts.scale[row], cuts.row + row * cuts.bins, 1, cuts.bins};
    }
    int code = missing, ignored = 0;
    if (!input.lengths || t < input.lengths[n]) {
        const auto raw = Reader<T>::read(input.values.row(n, t, unit), input.values.dtype);
        code = reader.code(raw, ignored);
    }
    codes[i] = static_cast<std::int16_t>(code);
}

}  // namespace

void scan(const Queue& queue, const Input& input, std::int64_t* found, double* low, double* high) {
    const Array3& values = input.values;
    const std::int64_t units = values.shape[2];
    auto* keys = allocate<unsigned long long>(queue, 2 * units + 5);
    const Partial partial{keys, keys + units, keys + 2 * units};
    const std::int64_t small = blocks_for(units > 5 ? units : 5, block);
    launch("scanning", start, small, block, 0, queue, partial, units);
    if (values.shape[0] > 0 && values.shape[1] > 0 && units > 0) {
        const Walk walk{values, input.lengths, cut_rows(values, false)};
        const std::int64_t slabs = blocks_for(units, warp);
        const std::int64_t most = 16 * std::int64_t{queue.processors} / slabs + 1;
        const std::int64_t needed = blocks_for(walk.segments.count, walkers);
        const std::int64_t chunks = needed < most ? needed : most;
        with_type(values.dtype, [&](auto type) {
            launch("scanning", scan_rows<decltype(type)>, slabs * chunks, walkers * warp, 0, queue,
                   walk, input.edges.bins, slabs, partial);
        });
    }
    launch("scanning", end, small, block, 0, queue, partial, units, found, low, high);
}

void encode(const Queue& queue, const Input& input, std::int16_t* codes) {
    const std::int64_t* shape = input.values.shape;
    const std::int64_t count = shape[0] * shape[1] * shape[2];
    const AnyCuts cuts = make_cuts(queue, input);
    with_type(input.values.dtype, [&](auto type) {
        using T = decltype(type);
        launch("making codes", encode_each<T>, blocks_for(count, block), block, 0, queue, input,
               cuts.of<Compared<T>>(), count, codes);
    });
}

}  // namespace tefast::cuda
