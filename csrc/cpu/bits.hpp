// Rows of bits: at which steps a series is in a state.
//
// Two series are in two states together as often as the rows of these states have bits in common.
// With few states that counts hundreds of steps at a time.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"

namespace tefast {

// Words of a row of so many steps: whole cache lines, filled up with zeros.
constexpr std::int64_t words_of(std::int64_t steps) { return (steps + 511) / 512 * 8; }

// The windows of some series: the codes of several steps, back from the window's own.
struct SeriesWindows {
    const std::int16_t* codes;  // (N, T, U), contiguous; below 0 where missing
    std::int64_t shape[3];
    std::int64_t bins;
    const std::int64_t* back;  // (length,): steps back, the last the least significant
    int length;
};

// rows: (U, states - 1, words), any: (U, words). Bit n * T + t of row s of a series is
// set where its window at step t of sequence n is in the state s; in `any` where it is in any. The
// last of the states, bins ** length of them, has no row: it is what `any` has beyond the others.
void pack_windows(const SeriesWindows& work, std::int64_t words, std::uint64_t* rows,
                  std::uint64_t* any, int threads);

// out: rows (count, words) moved to later steps, and without those that `kept` (words,) lacks.
void move_bits(const std::uint64_t* rows, std::int64_t count, std::int64_t words,
               std::int64_t steps, const std::uint64_t* kept, std::uint64_t* out, int threads);

}  // namespace tefast
