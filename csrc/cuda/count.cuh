// Codes of values to tables in shared memory, and from there to counts.
#pragma once

#include "cuda/prepare.cuh"

namespace tefast::cuda {

// Tables of some units over some pieces, as blocks left them: counters of 16 bits, two neighbouring
// cells in a word, and the units of a slab side by side.
struct Tables {
    const std::uint32_t* words;  // (pieces, slabs, words, units of a slab)
    std::int64_t pieces, slabs, words_each;
    int log2_units;

    // The count of one cell of one unit over all pieces.
    __device__ std::uint64_t operator()(std::int64_t unit, std::int64_t cell) const {
        const std::int64_t slab = unit >> log2_units, lane = unit - (slab << log2_units);
        const std::uint32_t* at = words + ((slab * words_each + cell / 2) << log2_units) + lane;
        const int shift = 16 * static_cast<int>(cell & 1);
        std::uint64_t sum = 0;
        for (std::int64_t p = 0; p < pieces; ++p, at += (slabs * words_each) << log2_units)
            sum += (*at >> shift) & 0xffff;
        return sum;
    }
};

// What is counted.
struct Counting {
    Walk walk;
    AnyCuts cuts;
    const Moves* moves;  // null: values, not transitions
    int states;
    int* seen;  // may be null

    std::int64_t cells() const {
        const std::int64_t bins = cuts.floats.bins;
        return moves ? bins * bins * states : bins;
    }
    Plan plan(const Queue& queue) const;
};

// Room for the tables that lie in memory together; null where there are none.
std::uint32_t* allocate_tables(const Queue& queue, const Plan& plan);

// Units first .. first + units over pieces begin .. end, no more of either than lie in memory
// together.
Tables count_pieces(const Queue& queue, const Plan& plan, const Counting& work, std::int64_t first,
                    std::int64_t units, std::int64_t begin, std::int64_t end,
                    std::uint32_t* tables);

// Adds tables to counts (units, cells).
void gather(const Queue& queue, const Tables& tables, std::int64_t units, std::int64_t cells,
            std::int64_t* counts);

// Adds to counts (units, cells) those of units first .. first + units, by whatever way there is.
void count_into(const Queue& queue, const Plan& plan, const Counting& work, std::int64_t first,
                std::int64_t units, std::uint32_t* tables, std::int64_t* counts);

}  // namespace tefast::cuda
