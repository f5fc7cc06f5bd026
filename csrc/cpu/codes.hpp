// Values to codes, and codes to the counts of each bin.
#pragma once

#include <cstdint>

#include "cpu/cuts.hpp"
#include "element.hpp"

namespace tefast {

// codes: (N, T, U), contiguous.
void encode(const Array3& values, const Edges& edges, const std::int64_t* lengths,
            std::int16_t* codes, int threads);

// Adds to counts (U, bins) the occupancy of every bin.
void count_values(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t* counts, int threads);

}  // namespace tefast
