// What an input array holds, and how one element of it is read.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace tefast {

// Inlined wherever it is used: a copy of its own, compiled for one instruction set, could end up
// being called on a processor that lacks it. The CUDA compiler makes it for the device as well.
#ifdef __CUDACC__
#define TEFAST_INLINE __host__ __device__ __forceinline__
#else
#define TEFAST_INLINE [[gnu::always_inline]] inline
#endif

enum class DType { f16, bf16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64 };

// Bytes of one element.
constexpr std::int64_t size_of(DType dtype) {
    switch (dtype) {
        case DType::i8:
        case DType::u8:
            return 1;
        case DType::f16:
        case DType::bf16:
        case DType::i16:
        case DType::u16:
            return 2;
        case DType::f32:
        case DType::i32:
        case DType::u32:
            return 4;
        default:
            return 8;
    }
}

// An array of shape (N, T, U) that is read where it lies: any strides, any alignment.
struct Array3 {
    const char* data;
    DType dtype;
    std::int64_t shape[3];   // N sequences, T steps, U units
    std::int64_t stride[3];  // in bytes; may be zero or negative
    bool mapped = false;     // a file's pages, which need not stay resident once they are read

    TEFAST_INLINE const char* row(std::int64_t n, std::int64_t t, std::int64_t u) const {
        return data + n * stride[0] + t * stride[1] + u * stride[2];
    }
};

struct Half {
    std::uint16_t bits;
};
struct BFloat16 {
    std::uint16_t bits;
};

// Counts that the caller has filled in wrap around as NumPy's do.
inline void add_to(std::int64_t& count, std::int64_t more) {
    count = static_cast<std::int64_t>(static_cast<std::uint64_t>(count) +
                                      static_cast<std::uint64_t>(more));
}

// Integers are symbols, floats are binned.
constexpr bool holds_symbols(DType dtype) {
    return dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32 &&
           dtype != DType::f64;
}

// memcpy, because an element of a strided view may lie at any address.
template <class T>
TEFAST_INLINE T load(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

template <class T>
constexpr bool is_symbol = std::is_integral_v<T>;

// Compared in the symbol's own type: a uint64 need not fit into an int64.
template <class T>
TEFAST_INLINE bool is_outside(T symbol, int bins) {
    if constexpr (std::is_signed_v<T>) {
        return symbol < 0 || symbol > std::int64_t{bins - 1};
    } else {
        return symbol > static_cast<std::uint64_t>(bins - 1);
    }
}

TEFAST_INLINE float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

TEFAST_INLINE double to_double(double value) { return value; }
TEFAST_INLINE double to_double(float value) { return static_cast<double>(value); }

TEFAST_INLINE double to_double(BFloat16 value) {
    return static_cast<double>(from_bits(static_cast<std::uint32_t>(value.bits) << 16));
}

TEFAST_INLINE double to_double(Half value) {
    const std::uint32_t size = static_cast<std::uint32_t>(value.bits & 0x7fff) << 13;
    const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000) << 16;
    // Its exponent is 112 short of a float's; multiplying mends subnormal halves as well.
    const float scaled = from_bits(size) * 0x1p112f;
    const float special = from_bits(size | 0x7f800000);
    const float magnitude = size < 0x0f800000 ? scaled : special;
    return static_cast<double>(sign ? -magnitude : magnitude);
}

// Calls f with a value of the C++ type that dtype names.
template <class F>
TEFAST_INLINE void visit(DType dtype, F&& f) {
    switch (dtype) {
        case DType::f16:
            return f(Half{});
        case DType::bf16:
            return f(BFloat16{});
        case DType::f32:
            return f(float{});
        case DType::f64:
            return f(double{});
        case DType::i8:
            return f(std::int8_t{});
        case DType::i16:
            return f(std::int16_t{});
        case DType::i32:
            return f(std::int32_t{});
        case DType::i64:
            return f(std::int64_t{});
        case DType::u8:
            return f(std::uint8_t{});
        case DType::u16:
            return f(std::uint16_t{});
        case DType::u32:
            return f(std::uint32_t{});
        case DType::u64:
            return f(std::uint64_t{});
    }
}

}  // namespace tefast
