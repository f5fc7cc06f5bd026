// One value of an input: how it is read, and its code.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cuda/device.cuh"
#include "edges.hpp"

namespace tefast::cuda {

// Integers of any width.
struct Symbol {};

// What a value is compared in.
template <class T>
using Compared = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Edges as the kernels use them. F: float or double.
template <class F>
struct Cuts {
    const F* low;    // (rows,)
    const F* scale;  // (rows,); NaN where the code cannot be guessed
    const F* row;    // (rows, bins): thresholds, the last of each row NaN
    bool shared;     // one row for all units
    int bins;

    __host__ __device__ std::int64_t row_of(std::int64_t unit) const { return shared ? 0 : unit; }
};

// The codes of one unit's values.
template <class F>
struct Cutter {
    F low, scale;
    const F* thresholds;
    int stride;  // from one threshold to the next
    int bins;

    __device__ int operator()(F value) const {
        if (scale == scale) {
            const F guess = fmin(fmax((value - low) * scale, F(0)), F(bins - 1));
            const int code = static_cast<int>(guess);
            return code + (value >= thresholds[code * stride]);
        }
        int code = 0;
        for (int step = 128; step > 0; step /= 2) {
            if (code + step < bins && value >= thresholds[(code + step - 1) * stride]) code += step;
        }
        return code;
    }
};

// What is seen of one input.
enum : int { saw_nan = 1, saw_bad = 2 };

template <class T>
struct Reader {
    using F = Compared<T>;
    using Raw = T;
    Cutter<F> cut;

    __device__ static Raw read(const char* at, DType) { return *reinterpret_cast<const T*>(at); }

    __device__ static F value(Raw raw) {
        if constexpr (std::is_same_v<T, F>) {
            return raw;
        } else {
            return to_float(raw);
        }
    }

    // The code, or `missing` for NaN and infinity; what is not a code is noted in `seen`.
    __device__ int code(Raw raw, int& seen) const {
        const F v = value(raw);
        if (!(fabs(v) <= std::numeric_limits<F>::max())) {
            seen |= v != v ? saw_nan : saw_bad;
            return missing;
        }
        return cut(v);
    }
};

template <>
struct Reader<Symbol> {
    using F = float;
    using Raw = int;
    Cutter<F> cut;  // of which only bins is used

    __device__ static Raw read(const char* at, DType dtype) {
        switch (dtype) {
            case DType::i8:
                return *reinterpret_cast<const std::int8_t*>(at);
            case DType::i16:
                return *reinterpret_cast<const std::int16_t*>(at);
            case DType::i32:
                return *reinterpret_cast<const std::int32_t*>(at);
            case DType::u8:
                return *reinterpret_cast<const std::uint8_t*>(at);
            case DType::u16:
                return *reinterpret_cast<const std::uint16_t*>(at);
            case DType::u32:
                return narrow(*reinterpret_cast<const std::uint32_t*>(at));
            default:  // a negative int64 is a large uint64: no symbol either way
                return narrow(*reinterpret_cast<const std::uint64_t*>(at));
        }
    }

    // What is too large for any symbol becomes -1, which is none either.
    __device__ static int narrow(std::uint64_t wide) {
        return wide > 0xffff ? -1 : static_cast<int>(wide);
    }

    __device__ int code(Raw raw, int& seen) const {
        if (raw < 0 || raw >= cut.bins) {
            seen |= saw_bad;
            return missing;
        }
        return raw;
    }
};

// Calls f with an empty value of the type that a kernel for this dtype is made for.
template <class F>
void with_type(DType dtype, F&& f) {
    visit(dtype, [&](auto value) {
        if constexpr (is_symbol<decltype(value)>) {
            f(Symbol{});
        } else {
            f(value);
        }
    });
}

}  // namespace tefast::cuda
