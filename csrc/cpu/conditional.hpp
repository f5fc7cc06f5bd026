// A source's states in another order among the transitions that share the past of a unit.
//
// Such an exchange leaves alone how often each past goes with each next value and with each state;
// only the joint counts of all three change.
#pragma once

#include <cstdint>

namespace tefast {

struct Conditional {
    const std::int64_t* own;      // (M, U), contiguous: past * nexts + next, below 0 where missing
    std::int64_t shape[2];        // M transitions, fewer than 2**32, and U units
    std::int64_t nexts;           // values that a next step can have
    const std::int64_t* source;   // (M,): the source's state at each transition, 0 or more
    const std::uint32_t* orders;  // (S, M), contiguous: permutations of 0 .. M - 1
    std::int64_t surrogates;      // S
};

// nats (S, U): transfer entropy of each unit by each surrogate of the source; NaN for a unit
// without transitions. A unit's transitions are walked through in the order of a surrogate. One
// with the past p is given the next unused entry of the list of the states that the source has at
// the unit's transitions with the past p, which is in the order of `source`.
void conditional_surrogates(const Conditional& work, double* nats, int threads);

}  // namespace tefast
