// From values to joint counts, and from there to transfer entropy, for all units at once.
//
// Rows are quantised a chunk at a time, straight through memory, into byte codes that stay in the
// cache; what is counted from there are small tables, one for each group of units and state of the
// source. Only where such tables would be larger are the codes of all rows kept instead.
#pragma once

#include <cstdint>

#include "cpu/cuts.hpp"
#include "cpu/kernels.hpp"
#include "cpu/told.hpp"
#include "element.hpp"

namespace tefast {

struct Transitions {
    Array3 target;                // (N, T, U)
    Edges edges;                  // of the target
    const std::int64_t* lengths;  // (N,) valid steps of each sequence, or null: all of them
    const std::int16_t* source;   // (N, T), contiguous: its state at each step, below 0: missing
    std::int64_t states;
    bool omit;  // leave out transitions that touch a NaN; without it none may be there
    // Longer than one row for `transfer_entropies` alone; none of its sources may have a state
    // where the past is not there.
    Past past;
    Told told = Told::by_source;
    // A state is `condition * inner + source`, with so many states of the source beside each of the
    // conditions; 0: there are no conditions.
    std::int64_t inner = 0;
};

// States of a target's past, and of what is counted beside it.
inline std::int64_t pasts_of(const Transitions& work) {
    return pasts_of(work.past, work.edges.bins);
}
inline std::int64_t nexts_of(const Transitions& work) {
    return nexts_of(work.past, work.edges.bins);
}
inline std::int64_t moves_of(const Transitions& work) { return pasts_of(work) * nexts_of(work); }

inline std::int64_t rows_of(const Transitions& work) {
    return work.target.shape[0] * work.target.shape[1];
}

// The same of some of the units.
Transitions of_units(Transitions work, std::int64_t first, std::int64_t units);

// How much is worked on at a time. No result depends on it; tests make it small.
struct Limits {
    // The codes of a chunk. Two chunks are in work at a time, and they and the tables should fit
    // into the last level of cache.
    std::int64_t chunk_bytes = std::int64_t{4} << 20;
    std::int64_t least_rows = 256;  // of a chunk, however many units there are
    // Where the codes of all rows of some units fit in here, no table needs to outlive its state.
    std::int64_t resident_bytes = std::int64_t{40} << 20;
    std::int64_t table_bytes = std::int64_t{32} << 20;
    // Tables and chunks of threads that go apart.
    std::int64_t apart_bytes = std::int64_t{48} << 20;
    // Rows that are put in order at a time, four bytes each.
    std::int64_t window_rows = std::int64_t{1} << 21;
    // The codes of all rows of the units that many sources are counted for; one strip at least.
    std::int64_t kept_bytes = std::int64_t{256} << 20;
    // The schedules of sources that are in work at a time.
    std::int64_t schedule_bytes = std::int64_t{16} << 20;
};

// Those in use; changed not while anything is counted.
extern Limits limits;
void use_limits(const Limits& other);

// Adds to counts (U, bins, bins, states) how often unit u went from past to next while the source
// was in a state: counts[u, next, past, state]. Sequences are never joined. False if a value is
// NaN, infinite or an outside symbol: counts then hold that value as some other one, but for the
// NaNs of `omit`.
bool count_transitions(const Transitions& work, std::int64_t* counts, int threads);

// nats (U,): what `told` says of each unit from such counts, NaN where there are none, which need
// not ever lie in memory together. False as above.
bool transfer_entropy(const Transitions& work, double* nats, int threads);

// nats (S, U): the same for each of many sources (S, N, T), contiguous, in place of work.source.
// The target is quantised once, unless the codes of all its units have no room together: then it
// is for one block of units after the other.
bool transfer_entropies(const Transitions& work, const std::int16_t* sources, std::int64_t S,
                        double* nats, int threads);

}  // namespace tefast
