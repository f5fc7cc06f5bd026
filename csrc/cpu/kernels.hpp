// The hot loops, once per instruction set, and the choice among them.
//
// Each file in levels/ compiles kernels_body.hpp with flags of its own. A processor runs the best
// level that it has; TEFAST_SIMD_LEVEL pins another. All levels give the same results to the last
// bit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/cuts.hpp"
#include "element.hpp"

namespace tefast {

// Moves, which are pasts times next values, up to which units are counted in whole strips.
constexpr std::int64_t most_strip_moves = 4096;

// Rows of an array whose units lie side by side.
struct Rows {
    const char* data;
    std::int64_t count;
    std::int64_t stride;  // bytes from one row to the next
    std::int64_t units;
};

// Codes by strip: lane l of strip s in row r is data[s * strip_stride + r * lanes + l].
struct Codes {
    std::uint8_t* data;
    std::int64_t strip_stride;
    std::uint16_t* valid;  // a bit for each lane, at [s * valid_stride + r]; null: not wanted
    std::int64_t valid_stride;
};

// What is counted of a unit at a row of its sequence: the codes of rows so far back from it, the
// most significant first, and the code of the next row beside them.
struct Past {
    const std::int64_t* back = nullptr;
    int length = 0;  // 0: that row alone
    bool with_next =
        true;  // else there is one past, and its codes are counted in place of next ones
};

inline std::int64_t power(std::int64_t base, int exponent) {
    std::int64_t found = 1;
    for (; exponent > 0; --exponent) found *= base;
    return found;
}

// States of a past and of what is counted beside it, of codes below `bins`.
inline std::int64_t pasts_of(const Past& past, int bins) {
    return past.with_next ? power(bins, past.length > 0 ? past.length : 1) : 1;
}
inline std::int64_t nexts_of(const Past& past, int bins) {
    return past.with_next ? bins : power(bins, past.length > 0 ? past.length : 1);
}

// Transitions of one strip from row r to r + 1, r being each of rows[0 .. count); or its values at
// r, where no next one is counted.
struct Moves {
    const std::uint8_t* codes;   // (rows, lanes), or (rows,) of a unit that is alone
    std::int64_t stride;         // bytes from one row to the next
    const std::uint16_t* valid;  // (rows,), or null: all are
    const std::uint32_t* rows;
    std::int64_t count;
    int bins;
    Past past;
};

// What will be read next, to be asked for in good time.
struct Ahead {
    const char* codes = nullptr;
    std::int64_t code_bytes = 0;
    const char* table = nullptr;
    std::int64_t table_bytes = 0;
};

// Rows of bits of equal length: whole cache lines, filled up with zeros.
struct BitRows {
    const std::uint64_t* data;
    std::int64_t count;
    std::int64_t stride;  // words from one row to the next
};

// Counts of a strip up to which those that reach them are counted.
constexpr int most_reached = 15;

// Sums of terms n ln n of a strip's counts, which fit into 64 bits. They are whole once what
// `reached` stands for is added.
struct RowTerms {
    // How many counts are n or more, from 2 on: no more than 65,535 of a lane.
    std::uint16_t reached[most_reached + 1][lanes];
    std::uint64_t sums[lanes];  // of all that `reached` does not stand for
};

// What logarithms are found in.
struct LogUnit {
    double nat;                // a nat
    double two_high, two_low;  // ln 2, in so few bits that a product with an exponent is exact, and
                               // the rest of it
};

struct Kernels {
    const char* name;

    // Values to codes 0 .. bins - 1. False if a value is NaN, infinite or an outside symbol; its
    // code is then some code. A NaN's bit in `valid` is 0.
    bool (*quantise)(DType, const Rows&, const AnyCuts&, const Codes&);

    // Extends the range of each unit: low, high (U16,), of double for f64 and of float for other
    // floats. False, and ranges without meaning, if a value is NaN or infinite.
    bool (*extend_range)(DType, const Rows&, void* low, void* high);

    // Adds the moves of `group` lanes from `lane` on to table (pasts * nexts, group), whose row is
    // past * nexts + next, and whose cells are no more than 65,536. No cell may pass 65,535.
    void (*count)(const Moves&, int lane, int group, std::uint16_t* table, const Ahead&);

    // cells (count, group): where the moves of `count` fall in a table.
    void (*list_cells)(const Moves&, int lane, int group, std::uint16_t* cells);

    // Adds the codes (rows, lanes) of a strip to table (bins, lanes).
    void (*tally)(const std::uint8_t* codes, const std::uint16_t* valid, std::int64_t rows,
                  std::uint32_t* table);

    // Adds table (pasts * bins, group) to moves, unless that is null, and its sums over next to
    // past_counts (pasts, group).
    void (*add_margins)(const std::uint16_t* table, std::int64_t pasts, int bins, int group,
                        std::uint64_t* moves, std::uint64_t* past_counts);

    // Adds the terms of counts to `found`. rows (parts, each, lanes) hold about `moves` in all, of
    // one unit. Their sums over each part go to sums_of_parts (parts, lanes), unless that is null.
    // They are added to totals (parts, each, lanes), unless that is null. The rows are at 0
    // afterwards, with `clear`.
    void (*add_terms)(std::uint16_t* rows, std::int64_t parts, std::int64_t each,
                      std::int64_t moves, bool clear, const std::uint64_t* terms,
                      std::uint16_t* sums_of_parts, std::uint16_t* totals, RowTerms& found);

    // marks (bins, lanes): a bit for each of `steps` rows, 16 or fewer, in which the code of a
    // unit, one of `units`, is this one. The rows of codes lie `stride` apart.
    void (*mark_codes)(const std::int16_t* codes, std::int64_t stride, std::int64_t units,
                       std::int64_t steps, int bins, std::uint16_t* marks);

    // Adds to counts[i * stride + j] how many of the first `words` words' bits, a multiple of 8,
    // row i of one and row j of the other have in common.
    void (*multiply_bits)(const BitRows&, const BitRows&, std::int64_t words, std::int64_t* counts,
                          std::int64_t stride);

    // Adds a table of so many cells to sums (cells,). The table is at 0 afterwards, with `clear`.
    void (*add_counts)(std::uint16_t* table, std::int64_t cells, bool clear, double* sums);

    // found (count,): ln(p / q) in a unit. p and q (count,) hold whole numbers; what is found where
    // one of them is 0 means nothing. count: a multiple of 8.
    void (*log_ratios)(const double* p, const double* q, std::int64_t count, const LogUnit&,
                       double* found);

    // The same of n * past / (start * move) for every cell of counts (pasts, bins, group), in place
    // of n. moves: likewise; past (pasts, group); start: the sums of n over the cells of a past.
    void (*find_values)(double* counts, const double* moves, const double* past_counts,
                        std::int64_t pasts, int bins, int group, const LogUnit&);

    // Row rows[k] of values, whose rows lie `stride` apart, is table[cells[k, i] + i] of each lane
    // i below `units`. cells (count, group).
    void (*write_cells)(const double* table, const std::uint16_t* cells, int group,
                        const std::uint32_t* rows, std::int64_t count, int units, double* values,
                        std::int64_t stride);
};

// Those in use. Ask before a parallel region: the first call throws std::invalid_argument if
// TEFAST_SIMD_LEVEL cannot be had.
const Kernels& kernels();

// Names of the levels in this build, slowest first; with `runnable`, only those this processor has.
std::vector<std::string> level_names(bool runnable);

// Takes another level; std::invalid_argument if it is unknown or this processor lacks it.
void use_level(const std::string& name);

}  // namespace tefast
