#include "cpu/bits.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/region.hpp"

namespace tefast {
namespace {

constexpr std::int64_t chunk = 256;  // words of a row that are made at a time

std::int64_t reach_of(const SeriesWindows& work) {
    return *std::max_element(work.back, work.back + work.length);
}

// The windows of a strip of series: at which steps a series has each symbol, and from that at which
// steps it is in each state.
// One packer for each thread, apart in the cache.
class alignas(64) Packer {
  public:
    explicit Packer(const SeriesWindows& work)
        : work_(work),
          kernels_(kernels()),
          states_(power(work.bins, work.length)),
          lead_(reach_of(work) / 64 + 1),
          symbols_(static_cast<std::size_t>(lanes * (work.bins + 1) * (lead_ + chunk))),
          moved_(static_cast<std::size_t>(work.length * (work.bins + 1) * chunk)) {}

    // Words [from, to), chunk of them or fewer, of the rows of the series `unit` and those after
    // it. valid: a bit for each step at which a window can end.
    void pack(std::int64_t unit, std::int64_t from, std::int64_t to, const std::uint64_t* valid,
              std::int64_t words, std::uint64_t* rows, std::uint64_t* any) {
        const std::int64_t units = std::min(lanes, work_.shape[2] - unit);
        mark(unit, units, from - lead_, to);
        for (std::int64_t i = 0; i < units; ++i) {
            move(i, from, to, valid);
            std::uint64_t* const row = rows + (unit + i) * (states_ - 1) * words + from;
            for (std::int64_t s = 0; s + 1 < states_; ++s) join(s, to - from, row + s * words);
            join_any(to - from, any + (unit + i) * words + from);
        }
    }

  private:
    // A row of symbols_, which holds the words from `lead_` before the chunk on. The symbol
    // work_.bins stands for any.
    std::uint64_t* symbol(std::int64_t lane, std::int64_t code) {
        return symbols_.data() + (lane * (work_.bins + 1) + code) * (lead_ + chunk);
    }
    std::uint64_t* moved(int k, std::int64_t code) {
        return moved_.data() + (k * (work_.bins + 1) + code) * chunk;
    }

    void mark(std::int64_t unit, std::int64_t units, std::int64_t from, std::int64_t to) {
        const std::int64_t all = work_.shape[0] * work_.shape[1], width = work_.shape[2];
        const std::int64_t bins = work_.bins;
        std::fill(symbols_.begin(), symbols_.end(), std::uint64_t{0});
        for (std::int64_t word = std::max<std::int64_t>(from, 0); word < to; ++word) {
            for (int part = 0; part < 4; ++part) {
                const std::int64_t first = 64 * word + 16 * part;
                const std::int64_t steps = std::min<std::int64_t>(all - first, 16);
                if (steps <= 0) break;
                kernels_.mark_codes(work_.codes + first * width + unit, width, units, steps,
                                    static_cast<int>(bins), marks_.data());
                for (std::int64_t code = 0; code < bins; ++code) {
                    for (std::int64_t i = 0; i < units; ++i) {
                        const std::uint64_t bits =
                            marks_[static_cast<std::size_t>(code * lanes + i)];
                        symbol(i, code)[word - from] |= bits << (16 * part);
                    }
                }
            }
        }
        for (std::int64_t i = 0; i < units; ++i) {
            std::uint64_t* const any = symbol(i, bins);
            for (std::int64_t code = 0; code < bins; ++code) {
                const std::uint64_t* const row = symbol(i, code);
                for (std::int64_t w = 0; w < to - from; ++w) any[w] |= row[w];
            }
        }
    }

    // Each symbol's row, as far back as each of the window's steps.
    void move(std::int64_t lane, std::int64_t from, std::int64_t to, const std::uint64_t* valid) {
        for (int k = 0; k < work_.length; ++k) {
            const std::int64_t whole = work_.back[k] / 64;
            const int rest = static_cast<int>(work_.back[k] % 64);
            for (std::int64_t code = 0; code <= work_.bins; ++code) {
                const std::uint64_t* const in = symbol(lane, code) + lead_ - whole;
                std::uint64_t* const out = moved(k, code);
                for (std::int64_t w = 0; w < to - from; ++w) {
                    const std::uint64_t before = rest ? in[w - 1] >> (64 - rest) : 0;
                    out[w] = (in[w] << rest) | before;
                    if (k == 0) out[w] &= valid[from + w];
                }
            }
        }
    }

    // The steps of a window in a state: those at which it has all of the state's symbols.
    void join(std::int64_t state, std::int64_t count, std::uint64_t* out) {
        for (int k = work_.length - 1; k >= 0; --k, state /= work_.bins) {
            take(moved(k, state % work_.bins), count, out, k == work_.length - 1);
        }
    }

    void join_any(std::int64_t count, std::uint64_t* out) {
        for (int k = 0; k < work_.length; ++k) take(moved(k, work_.bins), count, out, k == 0);
    }

    static void take(const std::uint64_t* row, std::int64_t count, std::uint64_t* out, bool first) {
        if (first) {
            std::copy(row, row + count, out);
        } else {
            for (std::int64_t w = 0; w < count; ++w) out[w] &= row[w];
        }
    }

    const SeriesWindows& work_;
    const Kernels& kernels_;
    std::int64_t states_, lead_;
    std::vector<std::uint64_t> symbols_, moved_;
    std::vector<std::uint16_t> marks_ =
        std::vector<std::uint16_t>(static_cast<std::size_t>(lanes * work_.bins));
};

// A bit for each step that is so far from its sequence's first that a window can end there.
std::vector<std::uint64_t> valid_ends(const SeriesWindows& work, std::int64_t words) {
    std::vector<std::uint64_t> valid(static_cast<std::size_t>(words), ~std::uint64_t{0});
    const std::int64_t steps = work.shape[1], early = std::min(reach_of(work), steps);
    const auto clear = [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t t = from; t < to; ++t) {
            valid[static_cast<std::size_t>(t / 64)] &= ~(std::uint64_t{1} << (t % 64));
        }
    };
    for (std::int64_t n = 0; n < work.shape[0]; ++n) clear(n * steps, n * steps + early);
    clear(work.shape[0] * steps, 64 * words);  // what lies past the last step
    return valid;
}

}  // namespace

void pack_windows(const SeriesWindows& work, std::int64_t words, std::uint64_t* rows,
                  std::uint64_t* any, int threads) {
    if (reach_of(work) >= work.shape[1]) {  // no window has so many steps before its own
        const std::int64_t states = power(work.bins, work.length);
        std::fill(rows, rows + work.shape[2] * (states - 1) * words, std::uint64_t{0});
        std::fill(any, any + work.shape[2] * words, std::uint64_t{0});
        return;
    }
    const std::int64_t strips = strips_of(work.shape[2]), chunks = (words + chunk - 1) / chunk;
    const std::vector<std::uint64_t> valid = valid_ends(work, words);
    std::vector<Packer> packers(static_cast<std::size_t>(threads), Packer(work));
    Region region;
#pragma omp parallel for collapse(2) num_threads(threads) schedule(dynamic)
    for (std::int64_t c = 0; c < chunks; ++c) {
        for (std::int64_t s = 0; s < strips; ++s) {
            region([&] {
                const std::int64_t from = c * chunk, to = std::min(words, from + chunk);
                Packer& packer = packers[static_cast<std::size_t>(omp_get_thread_num())];
                packer.pack(s * lanes, from, to, valid.data(), words, rows, any);
            });
        }
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
