#include "cpu/bits.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/region.hpp"

namespace tefast {
namespace {

// The windows of one series in 64 steps or fewer, from row `from` of all rows on: bits (states,)
// of each state, and one of any.
struct Packed {
    std::vector<std::uint64_t> states;
    std::uint64_t any;
};

// One for each thread, apart in the cache.
class alignas(64) Packer {
  public:
    explicit Packer(const SeriesWindows& work) : work_(work) {
        reach_ = *std::max_element(work.back, work.back + work.length);
        std::int64_t states = 1;
        for (int k = 0; k < work.length; ++k) states *= work.bins;
        packed_.states.resize(static_cast<std::size_t>(states));
    }

    const Packed& pack(std::int64_t unit, std::int64_t from, std::int64_t to) {
        std::fill(packed_.states.begin(), packed_.states.end(), std::uint64_t{0});
        packed_.any = 0;
        const std::int64_t steps = work_.shape[1], width = work_.shape[2];
        std::int64_t t = from % steps;
        const std::int16_t* row = work_.codes + from * width + unit;
        for (std::int64_t at = from; at < to; ++at, row += width) {
            if (t >= reach_) add(row, width, std::uint64_t{1} << (at - from));
            if (++t == steps) t = 0;
        }
        return packed_;
    }

  private:
    void add(const std::int16_t* row, std::int64_t width, std::uint64_t bit) {
        std::int64_t state = 0;
        int joined = 0;  // below 0 where one of the codes is
        for (int k = 0; k < work_.length; ++k) {
            const std::int16_t code = row[-work_.back[k] * width];
            state = state * work_.bins + code;
            joined |= code;
        }
        if (joined < 0) return;
        packed_.states[static_cast<std::size_t>(state)] |= bit;
        packed_.any |= bit;
    }

    const SeriesWindows& work_;
    std::int64_t reach_;
    Packed packed_;
};

}  // namespace

void pack_windows(const SeriesWindows& work, std::int64_t words, std::uint64_t* rows,
                  std::uint64_t* any, int threads) {
    const std::int64_t all = work.shape[0] * work.shape[1], units = work.shape[2];
    std::vector<Packer> packers(static_cast<std::size_t>(threads), Packer(work));
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t word = 0; word < (all + 63) / 64; ++word) {
        region([&] {
            Packer& packer = packers[static_cast<std::size_t>(omp_get_thread_num())];
            const std::int64_t from = 64 * word, to = std::min(all, from + 64);
            // Neighbouring series lie in the same cache lines.
            for (std::int64_t u = 0; u < units; ++u) {
                const Packed& found = packer.pack(u, from, to);
                const auto states = static_cast<std::int64_t>(found.states.size());
                std::uint64_t* row = rows + u * (states - 1) * words + word;
                for (std::int64_t s = 0; s + 1 < states; ++s, row += words) {
                    *row = found.states[static_cast<std::size_t>(s)];
                }
                any[u * words + word] = found.any;
            }
        });
    }
    region.end();
}

void move_bits(const std::uint64_t* rows, std::int64_t count, std::int64_t words,
               std::int64_t steps, const std::uint64_t* kept, std::uint64_t* out, int threads) {
    const std::int64_t whole = std::min(steps / 64, words);
    const int rest = static_cast<int>(steps % 64);
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < count; ++i) {
        region([&] {
            const std::uint64_t* from = rows + i * words;
            std::uint64_t* to = out + i * words;
            std::fill(to, to + whole, std::uint64_t{0});
            std::uint64_t carried = 0;
            for (std::int64_t w = whole; w < words; ++w) {
                const std::uint64_t word = from[w - whole];
                to[w] = ((word << rest) | carried) & kept[w];
                carried = rest ? word >> (64 - rest) : 0;
            }
        });
    }
    region.end();
}

}  // namespace tefast
