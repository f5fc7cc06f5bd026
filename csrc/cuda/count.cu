#include <algorithm>

#include "cuda/count.cuh"

namespace tefast::cuda {
namespace {

constexpr int most_threads = 1024;

struct Job {
    Walk walk;
    const Moves* moves;
    int states, log2_units;
    std::int64_t first, units, slabs;  // units first .. first + units, in so many slabs
    std::int64_t piece, pieces;        // the first piece of this launch, and how many there are
    std::int64_t words;
    std::uint32_t* tables;  // (pieces of this launch, slabs, words, units of a slab)
    std::int64_t* counts;   // (units, cells), where there is no table
    std::int64_t cells;
    int* seen;
};

// Segments of a piece: those of pieces are as equal as can be.
__device__ __forceinline__ std::int64_t piece_begin(const Job& job, std::int64_t piece) {
    const std::int64_t each = job.walk.segments.count / job.pieces;
    const std::int64_t left = job.walk.segments.count - each * job.pieces;
    return each * piece + (piece < left ? piece : left);
}

// One block: a slab of units over a piece. in_table: into shared memory, else straight into counts.
template <class T, bool pairs, bool in_table>
__global__ void __launch_bounds__(most_threads, 1) count(Job job, Cuts<Compared<T>> cuts) {
    using F = Compared<T>;
    const int wide = 1 << job.log2_units;
    const int lane = static_cast<int>(threadIdx.x) & (wide - 1);
    const int walker = static_cast<int>(threadIdx.x) >> job.log2_units;
    const int walkers = static_cast<int>(blockDim.x) >> job.log2_units;
    const std::int64_t slab = blockIdx.x % job.slabs, local = blockIdx.x / job.slabs;
    const std::int64_t own = (slab << job.log2_units) + lane;
    const bool live = own < job.units;
    const std::int64_t unit = job.first + (live ? own : 0);

    auto* table = static_cast<std::uint32_t*>(shared_memory());
    const std::int64_t table_words = in_table ? job.words << job.log2_units : 0;
    for (std::int64_t i = threadIdx.x; i < table_words / 4; i += blockDim.x)
        reinterpret_cast<uint4*>(table)[i] = make_uint4(0, 0, 0, 0);

    // Thresholds beside the table: lanes read different ones at a time.
    Reader<T> reader{};
    reader.cut.bins = cuts.bins;
    if (cuts.low) {
        F* thresholds = reinterpret_cast<F*>(table + table_words);
        const int stride = cuts.shared ? 1 : wide;
        const int copied = cuts.bins * stride;
        for (int i = static_cast<int>(threadIdx.x); i < copied; i += static_cast<int>(blockDim.x)) {
            const int code = i / stride;
            const std::int64_t of = (slab << job.log2_units) + i % stride;
            const std::int64_t row = cuts.row_of(job.first + (of < job.units ? of : 0));
            thresholds[i] = cuts.row[row * cuts.bins + code];
        }
        const std::int64_t row = cuts.row_of(unit);
        reader.cut = {cuts.low[row], cuts.scale[row], thresholds + (cuts.shared ? 0 : lane), stride,
                      cuts.bins};
    }
    __syncthreads();

    int seen = 0, past = missing;  // past: of the row before, times states
    const int across = job.states * cuts.bins;
    const std::int64_t piece = job.piece + local;
    const std::int64_t begin = piece_begin(job, piece), end = piece_begin(job, piece + 1);
    std::uint32_t* column = table + lane;
    std::int64_t* row = in_table ? nullptr : job.counts + own * job.cells;
    walk_rows<T, pairs>(
        job.walk, job.moves, unit, live ? begin + walker : end, end, walkers,
        [&](const Fetched<T>& got, int i) {
            const bool valid = i < got.rows;
            const int code = reader.code(got.raw[i], seen);  // zeros, where it is not valid
            int cell = code;
            bool taken = valid && code >= 0;
            if constexpr (pairs) {
                const int state = got.moves.state[i];
                taken = code >= 0 && past >= 0 && state >= 0;
                cell = code * across + past + state;
                past = code < 0 ? code : code * job.states;
            }
            if (!taken) return;
            if constexpr (in_table) {
                atomicAdd(column + ((cell >> 1) << job.log2_units), 1u << (16 * (cell & 1)));
            } else {
                atomicAdd(reinterpret_cast<unsigned long long*>(row) + cell, 1ull);
            }
        });
    if (seen && job.seen) atomicOr(job.seen, seen);
    if constexpr (in_table) {
        __syncthreads();
        auto* out = reinterpret_cast<uint4*>(job.tables + (local * job.slabs + slab) * table_words);
        for (std::int64_t i = threadIdx.x; i < table_words / 4; i += blockDim.x)
            out[i] = reinterpret_cast<const uint4*>(table)[i];
    }
}

template <bool in_table>
void launch_count(const Queue& queue, const Counting& work, const Job& job, std::int64_t blocks,
                  int threads, std::size_t shared) {
    with_type(work.walk.values.dtype, [&](auto type) {
        using T = decltype(type);
        const auto kernel = work.moves ? count<T, true, in_table> : count<T, false, in_table>;
        launch("counting", kernel, blocks, threads, shared, queue, job,
               work.cuts.of<Compared<T>>());
    });
}

constexpr int tile_cells = 64;
constexpr int gather_threads = 256;

// One block: tile_cells cells of one slab. Tables have units side by side, counts have cells.
__global__ void add_tables(Tables tables, std::int64_t units, std::int64_t cells,
                           std::int64_t tiles, std::int64_t* counts) {
    auto* tile = static_cast<unsigned long long*>(shared_memory());  // (units, tile_cells + 1)
    const std::int64_t slab = blockIdx.x / tiles, first = blockIdx.x % tiles * tile_cells;
    const int wide = 1 << tables.log2_units;
    const std::int64_t unit = slab << tables.log2_units;
    const int all = wide * tile_cells;
    for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x)) {
        const int lane = i & (wide - 1), cell = i >> tables.log2_units;
        const bool inside = first + cell < cells && unit + lane < units;
        tile[lane * (tile_cells + 1) + cell] = inside ? tables(unit + lane, first + cell) : 0;
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < all; i += static_cast<int>(blockDim.x)) {
        const int lane = i / tile_cells, cell = i % tile_cells;
        if (first + cell >= cells || unit + lane >= units) continue;
        counts[(unit + lane) * cells + first + cell] +=
            static_cast<std::int64_t>(tile[lane * (tile_cells + 1) + cell]);
    }
}

Job job_of(const Counting& work, std::int64_t first, std::int64_t units) {
    Job job{};
    job.walk = work.walk;
    job.moves = work.moves;
    job.states = work.states;
    job.first = first;
    job.units = units;
    job.cells = work.cells();
    job.seen = work.seen;
    return job;
}

}  // namespace

Plan Counting::plan(const Queue& queue) const {
    const bool wide = walk.values.dtype == DType::f64;
    const std::size_t size = holds_symbols(walk.values.dtype) ? 0 : wide ? 8 : 4;
    return cuda::plan(queue, walk.segments, walk.values.shape[2], cells(),
                      size * static_cast<std::size_t>(cuts.floats.bins));
}

std::uint32_t* allocate_tables(const Queue& queue, const Plan& plan) {
    if (!plan.fits()) return nullptr;
    const std::int64_t blocks = plan.pieces_together * plan.slabs(plan.units);
    return allocate<std::uint32_t>(queue, blocks * plan.table_words());
}

Tables count_pieces(const Queue& queue, const Plan& plan, const Counting& work, std::int64_t first,
                    std::int64_t units, std::int64_t begin, std::int64_t end,
                    std::uint32_t* tables) {
    Job job = job_of(work, first, units);
    job.log2_units = plan.log2_units;
    job.slabs = plan.slabs(units);
    job.piece = begin;
    job.pieces = plan.pieces;
    job.words = plan.words;
    job.tables = tables;
    launch_count<true>(queue, work, job, job.slabs * (end - begin), plan.threads, plan.shared);
    return {job.tables, end - begin, job.slabs, plan.words, plan.log2_units};
}

void gather(const Queue& queue, const Tables& tables, std::int64_t units, std::int64_t cells,
            std::int64_t* counts) {
    const std::int64_t tiles = blocks_for(cells, tile_cells);
    const std::size_t shared = (std::size_t{8} << tables.log2_units) * (tile_cells + 1);
    launch("adding tables", add_tables, tables.slabs * tiles, gather_threads, shared, queue, tables,
           units, cells, tiles, counts);
}

void count_into(const Queue& queue, const Plan& plan, const Counting& work, std::int64_t first,
                std::int64_t units, std::uint32_t* tables, std::int64_t* counts) {
    if (plan.fits()) {
        const std::int64_t step = plan.pieces_together;
        for (std::int64_t piece = 0; piece < plan.pieces; piece += step) {
            const std::int64_t end = std::min(piece + step, plan.pieces);
            gather(queue, count_pieces(queue, plan, work, first, units, piece, end, tables), units,
                   work.cells(), counts);
        }
        return;
    }
    Job job = job_of(work, first, units);
    job.log2_units = 5;
    job.slabs = blocks_for(units, 32);
    const std::int64_t walkers = plan.threads / 32;
    job.pieces = std::max<std::int64_t>(
        std::min(blocks_for(work.walk.segments.count, static_cast<int>(walkers)),
                 8 * queue.processors / job.slabs + 1),
        1);
    job.counts = counts;
    const std::size_t size = work.walk.values.dtype == DType::f64 ? 8 : 4;
    launch_count<false>(queue, work, job, job.slabs * job.pieces, plan.threads,
                        size * 32 * static_cast<std::size_t>(work.cuts.floats.bins));
}

}  // namespace tefast::cuda
