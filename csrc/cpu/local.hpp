// Local transfer entropy: a value for every transition of every unit.
#pragma once

#include <cstdint>

#include "cpu/transitions.hpp"

namespace tefast {

struct LocalResult {
    bool counted;  // whether there was a transition at all
    bool clean;    // as `transfer_entropy` says
};

// values (N, T - first - 1, U): the logarithm of n * past / (start * move) for the transition to
// each step, NaN where it is left out. n is how often its past, next value and source's state are
// there together, `start` how often past and state, `move` how often past and next value, `past`
// how often the past. No source may have a state before step `first`, where the first transition
// starts. There must be fewer than 2**32 steps in all.
LocalResult local_values(const Transitions& work, std::int64_t first, const LogUnit& unit,
                         double* values, int threads);

}  // namespace tefast
