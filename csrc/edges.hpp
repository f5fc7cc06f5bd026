// Edges of bins, and how a value's code is guessed where bins are equally wide.
//
// A guess may be one short, which one comparison mends. That it is never further off is checked at
// every edge. Kernels make the guess with the arithmetic below, operation by operation.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "element.hpp"

namespace tefast {

// Inner edges as the caller has them.
struct Edges {
    const double* inner;       // (U, bins - 1) or (1, bins - 1), rising; null: values are symbols
    std::int64_t unit_stride;  // bins - 1, or 0 where all units share one row
    int bins;
};

// A value that is NaN or past its sequence's length has this code.
constexpr std::int16_t missing = -1;

// Guesses are lowered by this many bins, so that rounding never makes one too high.
template <class F>
constexpr F margin = std::is_same_v<F, float> ? F(1) / (1 << 12) : F(1) / (1 << 30);

template <class F>
TEFAST_INLINE F threshold_of(double edge) {
    F value = static_cast<F>(edge);
    if (static_cast<double>(value) < edge) {
        value = std::nextafter(value, std::numeric_limits<F>::infinity());
    }
    return value;
}

// The arithmetic of the kernels' guess, one value at a time; NaN gives 0.
template <class F>
TEFAST_INLINE int guess(F value, F low, F scale, F lift, int bins) {
    F t = (value - low) * scale + lift;
    t = t > F(0) ? t : F(0);
    t = t < F(bins - 1) ? t : F(bins - 1);
    return static_cast<int>(t);
}

template <class F>
TEFAST_INLINE bool guess_holds(const F* row, F low, F scale, int bins) {
    const F below = -std::numeric_limits<F>::infinity();
    for (int i = 0, next = 1; i + 1 < bins; i = next++) {
        while (next + 1 < bins && row[next] == row[i]) ++next;
        // Thresholds i .. next - 1 are one: the code is `next` there and i just before.
        const int at = guess(row[i], low, scale, F(0), bins);
        const int lifted = guess(row[i], low, scale, 2 * margin<F>, bins);
        const int before = guess(std::nextafter(row[i], below), low, scale, F(0), bins);
        if (before > i || at > next || at < next - 1 || lifted < next) return false;
    }
    return true;
}

// (low, scale) from evenly spaced edges. Where all edges are one, or there is only one, every
// value from it on belongs to the last bin: an infinite slope says so.
template <class F>
struct Line {
    F low, scale;
};

template <class F>
TEFAST_INLINE Line<F> line_through(const double* inner, const F* row, int bins) {
    const double first = inner[0], last = inner[bins - 2];
    const F infinity = std::numeric_limits<F>::infinity();
    if (!(first < last)) return {std::nextafter(row[0], -infinity), infinity};
    const double width = (last - first) / (bins - 2);
    const double low = first - width + width * static_cast<double>(margin<F>);
    return {static_cast<F>(low), static_cast<F>(1 / width)};
}

}  // namespace tefast
