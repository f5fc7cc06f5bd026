// Windows of codes: several steps of a unit beside a state that all units share.
#pragma once

#include <cstdint>

namespace tefast {

struct Windows {
    const std::int16_t* codes;   // (N, T, U), contiguous; below 0 where missing
    std::int64_t shape[3];       // N, T, U
    int bins;                    // of a code
    const std::int64_t* back;    // the steps of a window, back from its own step; none below 0
    int length;                  // of them
    const std::int64_t* shared;  // (N, T): the state of the window of each step, below 0: none
    std::int64_t states;         // of them
};

// Adds to counts (U, bins**length, states) the window of every step of every unit, its last code
// the least significant. What touches a missing code is left out; windows never leave their
// sequence.
void count_windows(const Windows& work, std::int64_t* counts, int threads);

}  // namespace tefast
