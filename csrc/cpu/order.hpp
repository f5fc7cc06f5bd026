// Values of each unit in rising order, NaN left out: all of them, or those at a few ranks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "element.hpp"

namespace tefast {

// found: (U, 3, K). With r = floor((n - 1) share) for a unit of n values and each of the shares
// (K,), which rise from 0 to 1, it holds the values of the ranks r - 1, r and r + 1, or of the
// first and the last rank where these lie beyond. NaN where a unit has no values.
// sizes: (U,), how many values each unit has. lengths: (N,) or null. Values must be floats.
void find_ranks(const Array3& values, const std::int64_t* lengths, const double* shares,
                std::size_t many, double* found, std::int64_t* sizes, int threads);

// ordered: (K, N * T), the values of each of the units (K,), NaN after them.
void sort_units(const Array3& values, const std::int64_t* lengths, const std::int64_t* units,
                std::int64_t many, double* ordered, int threads);

}  // namespace tefast
