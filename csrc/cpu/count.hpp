// Values to codes, and codes to counts: the only hot code of tefast.
#pragma once

#include <cstdint>

#include "cpu/element.hpp"

namespace tefast {

// A code is a bin or a symbol, 0 .. bins - 1. A missing value (NaN, or past a sequence's length)
// has this one, and no transition that touches it is counted.
constexpr std::int16_t missing = -1;

// How values become codes: code = the number of inner edges at or below the value, so that bin i
// is [edge i-1, edge i) and values beyond the outermost edges fall into the end bins.
struct Edges {
    const double* inner;       // (U, bins - 1) or (1, bins - 1), rising; null: values are symbols
    std::int64_t unit_stride;  // bins - 1, or 0 where all units share one row
    int bins;
};

// codes: (N, T, U), contiguous.
void encode(const Array3& values, const Edges& edges, const std::int64_t* lengths,
            std::int16_t* codes, int threads);

// Adds to counts (U, bins) the occupancy of every bin.
void count_values(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t* counts, int threads);

// Adds to counts (U, bins, bins, states) how often unit u went from past to next while the source
// was in a state: counts[u, next, past, state]. Sequences are never joined.
// source: (N, T), contiguous, the source's state at each step, or `missing`.
void count_transitions(const Array3& target, const Edges& edges, const std::int64_t* lengths,
                       const std::int16_t* source, std::int64_t states, std::int64_t* counts,
                       int threads);

}  // namespace tefast
