// Transfer entropy between all pairs of series of few states, from rows of bits.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"

namespace tefast {

// Series on one side, as `pack_windows` makes their rows. Where all have a state at the same steps,
// one row says at which.
struct PairSide {
    BitRows rows;  // (units * (states - 1), words)
    BitRows any;   // (units, words), or (1, words) of all
    std::int64_t units;
    std::int64_t states;
};

struct Pairs {
    PairSide targets;  // states: past * nexts + next
    PairSide sources;
    std::int64_t words;
    std::int64_t nexts;
};

// nats (jobs, S, U): transfer entropy from each source to each target of jobs that have the same
// targets, and sources of the same number and states; NaN where the two have no step in common.
void score_pairs(const std::vector<Pairs>& jobs, double* nats, int threads);

// counts (S, U, past, next, source state), contiguous.
void count_pairs(const Pairs& work, std::int64_t* counts, int threads);

}  // namespace tefast
