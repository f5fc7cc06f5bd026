#include "cpu/windows.hpp"

#include <algorithm>

#include "cpu/region.hpp"
#include "element.hpp"

namespace tefast {
namespace {

constexpr int lanes = 16;  // neighbouring units that go through the rows together

constexpr std::int64_t piece = 65536;  // steps of a sequence that are counted at a time

// The windows of some units, from `first` on, at steps [from, to) of sequence n.
void count_piece(const Windows& work, std::int64_t n, std::int64_t from, std::int64_t to,
                 std::int64_t first, int units, std::int64_t cells, std::int64_t* counts) {
    const std::int64_t steps = work.shape[1], width = work.shape[2];
    const std::int16_t* row = work.codes + (n * steps + from) * width + first;
    for (std::int64_t t = from; t < to; ++t, row += width) {
        const std::int64_t state = work.shared[n * steps + t];
        if (state < 0) continue;
        std::int64_t window[lanes] = {};
        std::int16_t joined[lanes] = {};  // below 0 where one of the codes is
        for (int k = 0; k < work.length; ++k) {
            const std::int16_t* code = row - work.back[k] * width;
            for (int i = 0; i < units; ++i) {
                window[i] = window[i] * work.bins + code[i];
                joined[i] = static_cast<std::int16_t>(joined[i] | code[i]);
            }
        }
        for (int i = 0; i < units; ++i) {
            if (joined[i] < 0) continue;
            add_to(counts[(first + i) * cells + window[i] * work.states + state], 1);
        }
    }
}

}  // namespace

void count_windows(const Windows& work, std::int64_t* counts, int threads) {
    std::int64_t cells = work.states;
    for (int k = 0; k < work.length; ++k) cells *= work.bins;
    const std::int64_t units = work.shape[2], steps = work.shape[1];
    const std::int64_t reach = *std::max_element(work.back, work.back + work.length);
    Region region;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (std::int64_t first = 0; first < units; first += lanes) {
        const int some = static_cast<int>(std::min<std::int64_t>(lanes, units - first));
        for (std::int64_t n = 0; n < work.shape[0]; ++n) {
            for (std::int64_t from = reach; from < steps; from += piece) {
                const std::int64_t to = std::min(from + piece, steps);
                region([&] { count_piece(work, n, from, to, first, some, cells, counts); });
            }
        }
    }
    region.end();
}

}  // namespace tefast
