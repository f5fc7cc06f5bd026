// What is measured of counts.
#pragma once

namespace tefast {

// With p the state of a target's past and x its next value, or the value alone where there is no
// past; s the states of the source, and z those of conditions.
enum class Told {
    by_source,   // I(x; s | p, z), as transfer entropy is
    by_past,     // I(x; p), active information
    by_nothing,  // H(x | p), the entropy rate
};

}  // namespace tefast
