// Numbers that are the same on every machine.
#pragma once

#include <cstdint>

inline std::uint32_t random_bits() {
    static std::uint64_t state = 1;
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state >> 33);
}
