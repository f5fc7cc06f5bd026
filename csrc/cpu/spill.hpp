// From the tables of a group of units to the counts that users see.
#pragma once

#include <cstdint>

#include "cpu/block.hpp"
#include "element.hpp"

namespace tefast {

// Adds tables (states, pasts * nexts, width), which follow each other, to counts (U, nexts, pasts,
// states), in the order in which the counts lie.
inline void spill_all(const Group& group, int width, std::int64_t pasts, std::int64_t nexts,
                      std::int64_t states, const std::uint16_t* tables, std::int64_t* counts) {
    const std::int64_t cells = pasts * nexts, each = cells * width;
    for (int i = 0; i < group.units; ++i) {
        std::int64_t* to = counts + (group.unit + i) * cells * states;
        for (std::int64_t next = 0; next < nexts; ++next) {
            for (std::int64_t past = 0; past < pasts; ++past, to += states) {
                const std::uint16_t* from = tables + (past * nexts + next) * width + i;
                for (std::int64_t s = 0; s < states; ++s) add_to(to[s], from[s * each]);
            }
        }
    }
}

}  // namespace tefast
