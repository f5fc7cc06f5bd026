#include "cuda/plan.hpp"

#include <algorithm>

namespace tefast::cuda {
namespace {

constexpr std::int64_t most_rows = 64;        // of a segment
constexpr std::int64_t most_counted = 65535;  // by a block, of a unit
constexpr std::int64_t block_cost = 48;  // of clearing and storing a table, in rows of a walker

constexpr std::int64_t up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The number of pieces that keeps all multiprocessors busy with the least waiting at the end.
std::int64_t best_pieces(std::int64_t least, std::int64_t slabs, std::int64_t walkers,
                         const Segments& segments, int processors) {
    const std::int64_t most = std::min(segments.count, least + 2 * up(processors, slabs));
    std::int64_t best = least, best_cost = 0;
    for (std::int64_t pieces = least; pieces <= most; ++pieces) {
        const std::int64_t walked = up(up(segments.count, pieces), walkers) * segments.rows;
        const std::int64_t cost = up(slabs * pieces, processors) * (walked + block_cost);
        if (pieces == least || cost < best_cost) {
            best = pieces;
            best_cost = cost;
        }
    }
    return best;
}

}  // namespace

Segments cut_rows(const Array3& values, bool pairs) {
    const std::int64_t extra = pairs ? 1 : 0;
    const std::int64_t steps = std::max<std::int64_t>(values.shape[1] - extra, 1);
    const std::int64_t parts = up(steps, most_rows - extra);
    const std::int64_t advance = up(steps, parts), rows = advance + extra;
    const std::int64_t batches = up(rows, batch);
    return {values.shape[0] * parts,   parts,
            static_cast<int>(advance), static_cast<int>(rows),
            static_cast<int>(batches), static_cast<int>(up(rows, batches))};
}

Plan plan(const Queue& queue, const Segments& segments, std::int64_t units, std::int64_t cells,
          std::size_t threshold_bytes) {
    Plan made{};
    made.words = up(up(cells, 2), 4) * 4;  // whole 16 bytes, whatever the slab's width
    made.threads = std::min(queue.threads, 1024) / 32 * 32;
    made.log2_units = 5;
    const auto bytes = [&] {
        const auto wide = static_cast<std::size_t>(1) << made.log2_units;
        return wide * (static_cast<std::size_t>(made.words) * 4 + threshold_bytes);
    };
    while (made.log2_units >= 0 && bytes() > queue.shared) --made.log2_units;
    if (!made.fits()) {
        made.units = units;
        return made;
    }
    while (made.log2_units > 0 && std::int64_t{1} << (made.log2_units - 1) >= units)
        --made.log2_units;
    made.shared = bytes();
    const std::int64_t slabs_together =
        std::max<std::int64_t>(queue.table_bytes / (made.table_words() * 4), 1);
    const std::int64_t slabs = std::min(made.slabs(units), slabs_together);
    made.units = std::min(units, slabs << made.log2_units);
    const std::int64_t counted = segments.advance;
    const std::int64_t least = std::max<std::int64_t>(
        up(segments.count, std::max<std::int64_t>(most_counted / counted, 1)), 1);
    made.pieces =
        best_pieces(least, slabs, made.threads >> made.log2_units, segments, queue.processors);
    made.pieces_together = std::min(made.pieces, std::max<std::int64_t>(slabs_together / slabs, 1));
    return made;
}

}  // namespace tefast::cuda
