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

bool count_recent(const Transitions& work, std::uint16_t* recent, int threads) {
    const std::int64_t rows = rows_of(work);
    const Kernels& fast = kernels();
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
    // From here on nothing can fail, and nothing stops it: part of a batch must not stay.
    const std::int64_t states = work.states, cells = block.cells();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < block.size(); ++g) {
        const Group& group = block.groups()[static_cast<std::size_t>(g)];
        for (std::int64_t s = 0; s < states; ++s) {
            const Moves moves =
                block.moves(chunk, group, schedule.rows(0, s), schedule.count(0, s));
            std::uint16_t* const table = recent + (g * states + s) * cells;
            Ahead ahead;
            if (s + 1 < states) {
                ahead.table = reinterpret_cast<const char*>(table + cells);
                ahead.table_bytes = cells * std::int64_t{sizeof(std::uint16_t)};
            }
            fast.count(moves, group.lane, block.width(), table, ahead);
        }
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
