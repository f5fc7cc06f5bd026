#include "cpu/used_bins.hpp"

#include <omp.h>

#include <algorithm>
#include <numeric>

#include "cpu/region.hpp"

namespace tefast {
namespace {

constexpr std::size_t width = static_cast<std::size_t>(lanes);

// Bins that a table is made for: few sizes, since every thread has room for a table of each.
int room_for(int used, int bins) {
    int size = 2;
    while (size < used) size = size % 3 ? size / 2 * 3 : size / 3 * 4;  // 2, 3, 4, 6, 8, 12, 16
    return std::min(size, bins);
}

// Cells of the tables of all strips.
std::int64_t cells_of(const std::vector<std::uint8_t>& largest, const Past& past, int bins) {
    std::int64_t cells = 0;
    for (std::size_t lane = 0; lane < largest.size(); lane += width) {
        const auto* const first = largest.data() + lane;
        const int size = room_for(*std::max_element(first, first + width) + 1, bins);
        cells += pasts_of(past, size) * nexts_of(past, size);
    }
    return cells;
}

// Calls each(sequence's first row, its rows) for all sequences.
template <class Each>
void for_each_sequence(const Transitions& work, Each&& each) {
    const std::int64_t steps = work.target.shape[1];
    for (std::int64_t n = 0; n < work.target.shape[0]; ++n) {
        each(n * steps, work.lengths ? work.lengths[n] : steps);
    }
}

}  // namespace

UsedBins::UsedBins(const Transitions& work, std::unique_ptr<Chunk> codes, const Block& block,
                   int threads)
    : chunk(std::move(codes)), groups(block.groups()), places(groups.size() * width) {
    std::iota(places.begin(), places.end(), 0);
    std::vector<std::uint8_t> largest = largest_of(work, threads);
    // NaNs stay with their strips, which few of them may make slower.
    const std::int64_t units = work.target.shape[2];
    if (!work.omit && units > lanes) {
        std::vector<std::int64_t> order(places.begin(), places.begin() + units);
        const auto of = [&](std::int64_t unit) { return largest[static_cast<std::size_t>(unit)]; };
        std::stable_sort(order.begin(), order.end(),
                         [&](std::int64_t a, std::int64_t b) { return of(a) < of(b); });
        std::vector<std::uint8_t> sorted(largest.size());
        std::transform(order.begin(), order.end(), sorted.begin(), of);
        const int bins = work.edges.bins;
        if (4 * cells_of(sorted, work.past, bins) <= 3 * cells_of(largest, work.past, bins)) {
            reorder(work, order, threads);
            largest = std::move(sorted);
        }
    }
    fit(work, largest);
}

// The largest code of every lane, also of those that no unit has.
std::vector<std::uint8_t> UsedBins::largest_of(const Transitions& work, int threads) const {
    std::vector<std::uint8_t> largest(places.size());
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::size_t g = 0; g < groups.size(); ++g) {
        region([&] {
            std::uint8_t most[width] = {};
            for_each_sequence(work, [&](std::int64_t first, std::int64_t rows) {
                const std::uint8_t* codes = chunk->codes(groups[g].strip) + first * lanes;
                for (; rows > 0; --rows, codes += lanes) {
                    for (std::size_t i = 0; i < width; ++i) most[i] = std::max(most[i], codes[i]);
                }
            });
            std::copy(most, most + width, largest.begin() + static_cast<std::ptrdiff_t>(g * width));
        });
    }
    region.end();
    return largest;
}

// order: a unit for every lane but the last ones, which no unit has.
void UsedBins::reorder(const Transitions& work, const std::vector<std::int64_t>& order,
                       int threads) {
    std::copy(order.begin(), order.end(), places.begin());
    auto moved =
        std::make_unique<Chunk>(rows_of(work) + 1, static_cast<std::int64_t>(groups.size()), false);
    const Codes to = moved->from(0);
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::size_t g = 0; g < groups.size(); ++g) {
        region([&] {
            const std::uint8_t* from[width];
            for (std::size_t i = 0; i < width; ++i) {
                const std::int64_t unit = places[g * width + i];
                from[i] = chunk->codes(unit / lanes) + unit % lanes;
            }
            const auto units = static_cast<std::size_t>(groups[g].units);
            for_each_sequence(work, [&](std::int64_t first, std::int64_t rows) {
                std::uint8_t* codes =
                    to.data + static_cast<std::int64_t>(g) * to.strip_stride + first * lanes;
                for (std::int64_t r = first; r < first + rows; ++r, codes += lanes) {
                    for (std::size_t i = 0; i < units; ++i) codes[i] = from[i][r * lanes];
                    std::fill(codes + units, codes + width, std::uint8_t{0});
                }
            });
        });
    }
    region.end();
    chunk = std::move(moved);
}

void UsedBins::fit(const Transitions& work, const std::vector<std::uint8_t>& largest) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
        const auto* const first = largest.data() + g * width;
        groups[g].bins = room_for(*std::max_element(first, first + width) + 1, work.edges.bins);
    }
}

}  // namespace tefast
