// How work is cut: rows into segments, units into slabs, segments into pieces.
//
// A block counts one slab of neighbouring units over one piece of the segments, into a table in
// shared memory. Its counters have 16 bits, so a piece has at most 65,535 rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/launch.hpp"

namespace tefast::cuda {

constexpr int batch = 8;  // rows whose loads are in flight together

// Segments of an input's rows.
struct Segments {
    std::int64_t count;  // of all sequences
    std::int64_t parts;  // of a sequence
    int advance;         // steps from a segment's first row to that of the next
    int rows;            // of a segment, at most
    int batches;         // of a segment
    int batch_rows;      // of a batch, at most `batch`
};

// `pairs`: for transitions, which take a row beyond the segment's last.
Segments cut_rows(const Array3& values, bool pairs);

struct Plan {
    int log2_units;                // of a slab; -1: a table does not fit into shared memory
    std::int64_t words;            // of a slab's table for each of its units: two counters a word
    std::int64_t pieces;           // of all segments
    std::int64_t pieces_together;  // whose tables lie in memory together
    std::int64_t units;            // that are worked on together
    int threads;
    std::size_t shared;  // bytes of a block

    bool fits() const { return log2_units >= 0; }
    std::int64_t slabs(std::int64_t of_units) const {
        return (of_units + (std::int64_t{1} << log2_units) - 1) >> log2_units;
    }
    std::int64_t table_words() const { return words << log2_units; }
};

// cells: of one unit's table. threshold_bytes: of one unit's thresholds, 0 for symbols.
Plan plan(const Queue& queue, const Segments& segments, std::int64_t units, std::int64_t cells,
          std::size_t threshold_bytes);

}  // namespace tefast::cuda
