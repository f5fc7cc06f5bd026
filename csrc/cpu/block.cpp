#include "cpu/block.hpp"

#include <algorithm>

namespace tefast {

// Narrower groups where a table of all lanes would leave the second level of cache, and where
// there are too few units for one.
int group_width(std::int64_t moves, std::int64_t units) {
    const int by_cache = moves <= most_strip_moves ? static_cast<int>(lanes)
                         : moves <= 16384          ? 4
                                                   : 1;
    const int by_units = units == 1 ? 1 : units <= 4 ? 4 : static_cast<int>(lanes);
    return std::min(by_cache, by_units);
}

std::vector<Group> groups_of(std::int64_t units, int width, int bins) {
    std::vector<Group> groups;
    for (std::int64_t u = 0; u < units; u += width) {
        const std::int64_t there = std::min<std::int64_t>(width, units - u);
        groups.push_back(
            {u, u / lanes, static_cast<int>(u % lanes), static_cast<int>(there), bins});
    }
    return groups;
}

Block::Block(const Transitions& work, int threads)
    : work_(work),
      alone_(work.target.shape[2] == 1 && !work.omit &&
             work.target.stride[1] == size_of(work.target.dtype)),
      kernels_(kernels()),
      all_cuts_(work.edges, work.target.dtype, work.target.shape[2]),
      cuts_(all_cuts_.view()),
      width_(group_width(moves_of(work), work.target.shape[2])),
      cells_(moves_of(work) * width_),
      groups_(groups_of(work.target.shape[2], width_, work.edges.bins)),
      scratch_(static_cast<std::size_t>(threads), RowScratch(work.target)) {}

void Block::quantise(std::int64_t from, std::int64_t to, std::int64_t p, Chunk& chunk) {
    const std::int64_t rows = work_.target.shape[0] * work_.target.shape[1];
    quantise_rows(from, from, std::min(to + 1, rows), p, chunk);
}

void Block::quantise_part(std::int64_t from, std::int64_t to, std::int64_t p, std::int64_t parts,
                          Chunk& chunk) {
    const std::int64_t rows = work_.target.shape[0] * work_.target.shape[1];
    const std::int64_t count = std::min(to + 1, rows) - from;
    quantise_rows(from, from + count * p / parts, from + count * (p + 1) / parts, p, chunk);
}

void Block::quantise_rows(std::int64_t from, std::int64_t begin, std::int64_t end, std::int64_t p,
                          Chunk& chunk) {
    const Array3& values = work_.target;
    bool clean = true;
    for_each_run_once(values, work_.lengths, begin, end,
                      scratch_[static_cast<std::size_t>(p)].data(),
                      [&](const Rows& rows, std::int64_t first) {
                          const Codes codes = chunk.from(first - from);
                          clean &= alone_ ? quantise_alone(rows, chunk.alone(first - from))
                                          : kernels_.quantise(values.dtype, rows, cuts_, codes);
                      });
    if (clean) return;
    chunk.add_gaps();
    clean_.store(false);
}

// Whole strips go straight to their place. The rest goes by way of a strip of its own, since what
// follows it may be another thread's.
bool Block::quantise_alone(const Rows& rows, std::uint8_t* codes) const {
    const std::int64_t whole = rows.count / lanes * lanes, rest = rows.count - whole;
    bool clean = true;
    if (whole) {
        const Rows turned{rows.data, 1, 0, whole};
        clean &= kernels_.quantise(work_.target.dtype, turned, cuts_, {codes, lanes, nullptr, 0});
    }
    if (rest) {
        std::uint8_t last[lanes];
        const Rows turned{rows.data + whole * rows.stride, 1, 0, rest};
        clean &= kernels_.quantise(work_.target.dtype, turned, cuts_, {last, lanes, nullptr, 0});
        std::copy(last, last + rest, codes + whole);
    }
    return clean;
}

Moves Block::moves(const Chunk& chunk, const Group& group, const std::uint32_t* rows,
                   std::int64_t count) const {
    return {chunk.codes(group.strip),
            alone_ ? 1 : lanes,
            chunk.valid(group.strip),
            rows,
            count,
            group.bins,
            work_.past};
}

Tables::Tables(const Block& block, std::int64_t states, int threads)
    : groups_(block.size()),
      states_(states),
      cells_(block.cells()),
      counts_(static_cast<std::size_t>(groups_ * states_ * cells_)) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < groups_; ++g) {
        std::fill(at(g, 0), at(g, 0) + states_ * cells_, std::uint16_t{0});
    }
}

}  // namespace tefast
