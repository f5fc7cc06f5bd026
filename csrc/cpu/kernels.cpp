#include "cpu/kernels.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#ifdef TEFAST_X86_LEVELS
#include <cpuid.h>
#endif

namespace tefast {

extern const Kernels baseline_kernels;
#ifdef TEFAST_X86_LEVELS
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
extern const Kernels avx512_popcnt_kernels;
#endif

namespace {

struct Level {
    const Kernels* kernels;
    bool (*runs_here)();
};

#ifdef TEFAST_X86_LEVELS
// Not every compiler's __builtin_cpu_supports knows it.
bool has_f16c() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & (1U << 29));
}

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_avx512_popcnt() { return has_avx512() && __builtin_cpu_supports("avx512vpopcntdq"); }
#endif

const Level levels[] = {
    {&baseline_kernels, [] { return true; }},
#ifdef TEFAST_X86_LEVELS
    {&avx2_kernels, has_avx2},
    {&avx512_kernels, has_avx512},
    {&avx512_popcnt_kernels, has_avx512_popcnt},
#endif
};

const Kernels* find_level(const std::string& name) {
    std::string known;
    for (const Level& level : levels) {
        if (name == level.kernels->name) {
            if (level.runs_here()) return level.kernels;
            throw std::invalid_argument("instruction set level '" + name +
                                        "' is not one that this processor has");
        }
        known += (known.empty() ? "'" : ", '") + std::string(level.kernels->name) + "'";
    }
    throw std::invalid_argument("unknown instruction set level '" + name + "'; known are " + known);
}

const Kernels* first_choice() {
    const char* pinned = std::getenv("TEFAST_SIMD_LEVEL");
    if (pinned && *pinned) {
        try {
            return find_level(pinned);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(std::string("TEFAST_SIMD_LEVEL: ") + error.what());
        }
    }
    const Kernels* best = nullptr;
    for (const Level& level : levels) {
        if (level.runs_here()) best = level.kernels;
    }
    return best;
}

std::atomic<const Kernels*>& in_use() {
    static std::atomic<const Kernels*> chosen{first_choice()};
    return chosen;
}

}  // namespace

const Kernels& kernels() { return *in_use().load(std::memory_order_relaxed); }

std::vector<std::string> level_names(bool runnable) {
    std::vector<std::string> names;
    for (const Level& level : levels) {
        if (!runnable || level.runs_here()) names.emplace_back(level.kernels->name);
    }
    return names;
}

void use_level(const std::string& name) { in_use().store(find_level(name)); }

}  // namespace tefast
