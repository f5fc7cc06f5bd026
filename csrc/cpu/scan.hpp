// One pass over an array before anything is counted: its range, and what must not be in it.
#pragma once

#include <cstdint>

#include "element.hpp"

namespace tefast {

struct ScanResult {
    std::int64_t nan = 0;       // how many values are NaN
    std::int64_t infinite = 0;  // how many are infinite
    std::int64_t outside = 0;   // how many symbols lie outside 0 .. bins - 1
    // Flat (N, T, U) positions; -1 where there is none.
    std::int64_t first_nan = -1;
    std::int64_t first_bad = -1;  // of the first infinity or outside symbol
};

// low, high: (U,), the range of each unit's finite values; +inf, -inf where it has none and for
// symbols. lengths: (N,) valid steps of each sequence, or null: all of them.
ScanResult scan(const Array3& values, const std::int64_t* lengths, int bins, double* low,
                double* high, int threads);

}  // namespace tefast
