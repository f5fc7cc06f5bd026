#include "cpu/windows.hpp"

#include <algorithm>

namespace tefast {
namespace {

constexpr int lanes = 16;  // neighbouring units that go through the rows together

// The windows of some units, from `first` on, that end in sequence n.
void count_sequence(const Windows& work, std::int64_t n, std::int64_t first, int units,
                    std::int64_t all, std::int64_t* counts) {
    const std::int64_t steps = work.shape[1], cells = all * work.states;
    const std::int16_t* row = work.codes + n * steps * work.shape[2] + first;
    std::int64_t window[lanes] = {};  // the last codes, as many as there were
    int present[lanes] = {};          // how many of the last codes were there, `length` at most
    for (std::int64_t t = 0; t < steps; ++t, row += work.shape[2]) {
        const std::int64_t state = work.shared[n * steps + t];
        for (int i = 0; i < units; ++i) {
            const std::int16_t code = row[i];
            window[i] = code < 0 ? 0 : (window[i] * work.bins + code) % all;
            present[i] = code < 0 ? 0 : std::min(present[i] + 1, work.length);
            if (state < 0 || present[i] < work.length) continue;
            ++counts[(first + i) * cells + window[i] * work.states + state];
        }
    }
}

}  // namespace

void count_windows(const Windows& work, std::int64_t* counts, int threads) {
    std::int64_t all = 1;
    for (int i = 0; i < work.length; ++i) all *= work.bins;
    const std::int64_t units = work.shape[2];
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (std::int64_t first = 0; first < units; first += lanes) {
        const int some = static_cast<int>(std::min<std::int64_t>(lanes, units - first));
        for (std::int64_t n = 0; n < work.shape[0]; ++n) {
            count_sequence(work, n, first, some, all, counts);
        }
    }
}

}  // namespace tefast
