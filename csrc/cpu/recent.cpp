#include "cpu/recent.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/pipeline.hpp"
#include "cpu/region.hpp"
#include "cpu/spill.hpp"

namespace tefast {

std::int64_t recent_size(std::int64_t units, int bins, std::int64_t states) {
    const std::int64_t moves = std::int64_t{bins} * bins, width = group_width(moves, units);
    return (units + width - 1) / width * width * moves * states;
}

namespace {

// The transitions of a batch, whose codes are all there.
struct Batch {
    const Block& block;
    const Chunk& chunk;
    const Schedule& schedule;
    const std::int64_t states;

    // Calls each(moves, group, its table, the next one or null) by all threads. `each` must not
    // throw.
    template <class Each>
    void for_each_table(std::uint16_t* recent, int threads, Each&& each) const {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (std::int64_t g = 0; g < block.size(); ++g) {
            const Group& group = block.groups()[static_cast<std::size_t>(g)];
            for (std::int64_t s = 0; s < states; ++s) {
                std::uint16_t* const table = recent + (g * states + s) * block.cells();
                const Moves moves =
                    block.moves(chunk, group, schedule.rows(0, s), schedule.count(0, s));
                each(moves, group, table, s + 1 < states ? table + block.cells() : nullptr);
            }
        }
    }
};

void add(const Batch& batch, std::uint16_t* recent, int threads) {
    const Kernels& fast = kernels();
    const int width = batch.block.width();
    batch.for_each_table(recent, threads,
                         [&](const Moves& moves, const Group& group, std::uint16_t* table,
                             const std::uint16_t* next) {
                             Ahead ahead;
                             if (next) {
                                 ahead.table = reinterpret_cast<const char*>(next);
                                 ahead.table_bytes = batch.block.cells() * 2;
                             }
                             fast.count(moves, group.lane, width, table, ahead);
                         });
}

void take_back(const Batch& batch, std::uint16_t* recent, int threads) {
    const int width = batch.block.width();
    batch.for_each_table(
        recent, threads,
        [&](const Moves& moves, const Group& group, std::uint16_t* table, const std::uint16_t*) {
            for (std::int64_t k = 0; k < moves.count; ++k) {
                const std::int64_t row = moves.rows[k];
                const std::uint8_t* past = moves.codes + row * moves.stride + group.lane;
                const std::uint8_t* next = past + moves.stride;
                const unsigned valid =
                    moves.valid ? moves.valid[row] & moves.valid[row + 1] : 0xffffU;
                for (int i = 0; i < width; ++i) {
                    if (!((valid >> (group.lane + i)) & 1U)) continue;
                    --table[(past[i] * moves.bins + next[i]) * width + i];
                }
            }
        });
}

// A signal may have come at any time of a short batch.
void stop_if_given_up() {
    Caller* const caller = Caller::current();
    if (caller && caller->gives_up_now()) throw Stopped();
}

}  // namespace

bool count_recent(const Transitions& work, std::uint16_t* recent, int threads) {
    const std::int64_t rows = rows_of(work);
    kernels();  // may throw
    Block block(work, threads);
    Chunk chunk(rows + 1, block.strips(), work.omit);
    Schedule schedule = schedule_for(work, 0, rows, rows);
    schedule.order(work.source, 1);
    Region region;
#pragma omp parallel num_threads(threads)
    region(
        [&] { block.quantise_part(0, rows, omp_get_thread_num(), omp_get_num_threads(), chunk); });
    region.end();
    if (!block.clean() && !work.omit) return false;
    stop_if_given_up();
    // From here on nothing fails, and nothing stops before the end: a part of a batch must not
    // stay.
    const Batch batch{block, chunk, schedule, work.states};
    add(batch, recent, threads);
    try {
        stop_if_given_up();
    } catch (const Stopped&) {
        take_back(batch, recent, threads);
        throw;
    }
    return true;
}

void move_recent(std::uint16_t* recent, std::int64_t units, int bins, std::int64_t states,
                 std::int64_t* counts, int threads) {
    const std::int64_t moves = std::int64_t{bins} * bins;
    const int width = group_width(moves, units);
    const std::vector<Group> groups = groups_of(units, width, bins);
    const std::int64_t each = moves * width * states;
    const auto many = static_cast<std::int64_t>(groups.size());
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < many; ++g) {
        std::uint16_t* const tables = recent + g * each;
        spill_all(groups[static_cast<std::size_t>(g)], width, bins, bins, states, tables, counts);
        std::fill(tables, tables + each, std::uint16_t{0});
    }
}

}  // namespace tefast
