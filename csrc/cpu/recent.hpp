// Counts of many short batches.
//
// The counts that users see are 64-bit integers, which take far longer to read and write than a
// short batch takes to count. So counts of batches stay in 16-bit tables, as the kernels fill them,
// until somebody asks or a counter could overflow.
#pragma once

#include <cstdint>

#include "cpu/transitions.hpp"

namespace tefast {

// Numbers in the tables (groups, states, moves, width).
std::int64_t recent_size(std::int64_t units, int bins, std::int64_t states);

// Adds all transitions to such tables, which have room for as many as there are rows. Nothing is
// added where it throws, as it does if the caller gives up at any time, or where it returns false:
// a value is NaN, infinite or an outside symbol, and work.omit does not say to count the others all
// the same.
bool count_recent(const Transitions& work, std::uint16_t* recent, int threads);

// Adds the tables to counts (U, bins, bins, states) as `count_transitions` does, and clears them.
void move_recent(std::uint16_t* recent, std::int64_t units, int bins, std::int64_t states,
                 std::int64_t* counts, int threads);

}  // namespace tefast
