#include "cpu/block.hpp"

#include <algorithm>

namespace tefast {
namespace {

// Narrower groups where a table of all lanes would leave the first level of cache, and where
// there are too few units for one.
int group_width(int bins, std::int64_t units) {
    const int by_cache = bins <= 32 ? static_cast<int>(lanes) : bins <= 127 ? 4 : 1;
    const int by_units = units == 1 ? 1 : units <= 4 ? 4 : static_cast<int>(lanes);
    return std::min(by_cache, by_units);
}

std::vector<Group> groups_of(std::int64_t units, int width) {
    std::vector<Group> groups;
    for (std::int64_t u = 0; u < units; u += width) {
        const std::int64_t there = std::min<std::int64_t>(width, units - u);
        groups.push_back({u, u / lanes, static_cast<int>(u % lanes), static_cast<int>(there)});
    }
    return groups;
}

// The edges, if values of this kind are cut in precision F.
template <class F>
Cuts<F> cuts_in(const Transitions& work) {
    const bool used = (work.target.dtype == DType::f64) == std::is_same_v<F, double>;
    const Edges none{nullptr, 0, work.edges.bins};
    return Cuts<F>(used ? work.edges : none, work.target.shape[2]);
}

}  // namespace

Block::Block(const Transitions& work, int threads)
    : work_(work),
      kernels_(kernels()),
      single_(cuts_in<float>(work)),
      twice_(cuts_in<double>(work)),
      cuts_{work.edges.bins, single_.view(), twice_.view()},
      width_(group_width(work.edges.bins, work.target.shape[2])),
      cells_(std::int64_t{work.edges.bins} * work.edges.bins * width_),
      groups_(groups_of(work.target.shape[2], width_)),
      scratch_(static_cast<std::size_t>(threads), RowScratch(work.target)) {}

void Block::quantise(std::int64_t from, std::int64_t to, std::int64_t p, std::int64_t parts,
                     Chunk& chunk) {
    const Array3& values = work_.target;
    const std::int64_t last = std::min(to + 1, values.shape[0] * values.shape[1]);
    const std::int64_t begin = from + (last - from) * p / parts;
    const std::int64_t end = from + (last - from) * (p + 1) / parts;
    bool clean = true;
    for_each_run(values, work_.lengths, begin, end, scratch_[static_cast<std::size_t>(p)].data(),
                 [&](const Rows& rows, std::int64_t first) {
                     const Codes codes = chunk.from(first - from);
                     clean &= kernels_.quantise(values.dtype, rows, cuts_, codes);
                 });
    if (!clean) clean_.store(false);
}

void Block::count(const Chunk& chunk, const Group& group, const std::uint32_t* rows,
                  std::int64_t count, std::uint16_t* table, const Ahead& ahead) const {
    const Moves moves{chunk.codes(group.strip), chunk.valid(group.strip), rows, count,
                      work_.edges.bins};
    kernels_.count(moves, group.lane, width_, table, ahead);
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
