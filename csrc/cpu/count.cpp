#include "cpu/count.hpp"

#include <algorithm>
#include <cmath>

namespace tefast {
namespace {

// A block of float32 units is one cache line of a row; its tables are private to one thread.
constexpr std::int64_t max_block = 16;

// How many of `count` rising edges lie at or below the value: a binary search whose only branch is
// its loop, as a guess on data would be wrong half of the time.
std::ptrdiff_t edges_up_to(double value, const double* inner, std::ptrdiff_t count) {
    const double* from = inner;
    while (count > 1) {
        const std::ptrdiff_t half = count / 2;
        from += half * (from[half - 1] <= value);
        count -= half;
    }
    return from - inner + (*from <= value);
}

template <class T>
std::int16_t code_of(T value, const double* inner, int bins) {
    if constexpr (is_symbol<T>) {
        // Scanned before, but another thread may have written to the array since.
        return is_outside(value, bins) ? missing : static_cast<std::int16_t>(value);
    } else {
        const double number = to_double(value);
        if (std::isnan(number)) return missing;
        return static_cast<std::int16_t>(edges_up_to(number, inner, bins - 1));
    }
}

// Calls step(n, t, codes) for every valid row in order, codes being those of `width` units from u.
template <class T, class Step>
void for_each_row(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t u, std::int64_t width, Step&& step) {
    std::int16_t codes[max_block];
    for (std::int64_t n = 0; n < values.shape[0]; ++n) {
        const std::int64_t length = lengths ? lengths[n] : values.shape[1];
        for (std::int64_t t = 0; t < length; ++t) {
            const char* at = values.row(n, t, u);
            for (std::int64_t i = 0; i < width; ++i, at += values.stride[2]) {
                const double* inner = edges.inner + (u + i) * edges.unit_stride;
                codes[i] = code_of(load<T>(at), inner, edges.bins);
            }
            step(n, t, codes);
        }
    }
}

// Calls body(u, width) for blocks of units, spread over the threads. Units are independent, so
// every table is written by one thread alone and the result cannot depend on their number.
template <class Body>
void for_each_block(std::int64_t units, int threads, Body&& body) {
    const std::int64_t block = std::clamp<std::int64_t>(units / threads, 1, max_block);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (std::int64_t u = 0; u < units; u += block) body(u, std::min(block, units - u));
}

}  // namespace

void encode(const Array3& values, const Edges& edges, const std::int64_t* lengths,
            std::int16_t* codes, int threads) {
    const std::int64_t steps = values.shape[1], units = values.shape[2];
    std::fill(codes, codes + values.shape[0] * steps * units, missing);
    visit(values.dtype, [&](auto kind) {
        for_each_block(units, threads, [&](std::int64_t u, std::int64_t width) {
            const auto store = [&](std::int64_t n, std::int64_t t, const std::int16_t* row) {
                std::copy(row, row + width, codes + (n * steps + t) * units + u);
            };
            for_each_row<decltype(kind)>(values, edges, lengths, u, width, store);
        });
    });
}

void count_values(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t* counts, int threads) {
    visit(values.dtype, [&](auto kind) {
        for_each_block(values.shape[2], threads, [&](std::int64_t u, std::int64_t width) {
            const auto add = [&](std::int64_t, std::int64_t, const std::int16_t* row) {
                for (std::int64_t i = 0; i < width; ++i) {
                    if (row[i] != missing) ++counts[(u + i) * edges.bins + row[i]];
                }
            };
            for_each_row<decltype(kind)>(values, edges, lengths, u, width, add);
        });
    });
}

void count_transitions(const Array3& target, const Edges& edges, const std::int64_t* lengths,
                       const std::int16_t* source, std::int64_t states, std::int64_t* counts,
                       int threads) {
    const std::int64_t bins = edges.bins, steps = target.shape[1];
    visit(target.dtype, [&](auto kind) {
        for_each_block(target.shape[2], threads, [&](std::int64_t u, std::int64_t width) {
            std::int16_t past[max_block];
            const auto add = [&](std::int64_t n, std::int64_t t, const std::int16_t* next) {
                const std::int16_t state = t > 0 ? source[n * steps + t - 1] : missing;
                if (state != missing) {
                    for (std::int64_t i = 0; i < width; ++i) {
                        if (next[i] == missing || past[i] == missing) continue;
                        const std::int64_t cell = (next[i] * bins + past[i]) * states + state;
                        ++counts[(u + i) * bins * bins * states + cell];
                    }
                }
                std::copy(next, next + width, past);
            };
            for_each_row<decltype(kind)>(target, edges, lengths, u, width, add);
        });
    });
}

}  // namespace tefast
