// Enough of CUDA to run kernels on the host, in tests: every thread of a block is a fiber, blocks
// run one after another, and every order that CUDA leaves open is drawn from a seed.
//
// What nvcc would refuse is refused here too where that is cheap (types of atomics and shuffles).
// The functions of the runtime have C++ linkage, so that they cannot take the place of those of a
// real libcudart in the same process.

#ifndef TEFAST_EMULATED_CUDA_RUNTIME_H
#define TEFAST_EMULATED_CUDA_RUNTIME_H

#include <math.h>
#include <string.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#define TEFAST_EMULATED 1
#define CUDART_VERSION 13000

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __constant__ static
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

// Vectors, aligned as CUDA aligns them.

#define TEFAST_VECTOR2(name, type)          \
    struct alignas(2 * sizeof(type)) name { \
        type x, y;                          \
    };                                      \
    constexpr name make_##name(type x, type y) { return {x, y}; }
#define TEFAST_VECTOR4(name, type) \
    struct alignas(16) name {      \
        type x, y, z, w;           \
    };                             \
    constexpr name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }
TEFAST_VECTOR2(int2, int)
TEFAST_VECTOR2(uint2, unsigned)
TEFAST_VECTOR2(float2, float)
TEFAST_VECTOR2(double2, double)
TEFAST_VECTOR2(ulonglong2, unsigned long long)
TEFAST_VECTOR4(int4, int)
TEFAST_VECTOR4(uint4, unsigned)
TEFAST_VECTOR4(float4, float)
#undef TEFAST_VECTOR2
#undef TEFAST_VECTOR4

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// Plain variables, set at every switch of fibers: as macros, they would hide the members of
// cudaLaunchConfig_t.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// The runtime.

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
struct cudaFuncAttributes {
    std::size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
    int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, cacheModeCA;
    int maxDynamicSharedSizeBytes, preferredShmemCarveout;
};
using cudaStream_t = struct CUstream_st*;
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute* attrs;  // None is known: a launch with any is refused.
    unsigned numAttrs;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream = {});
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = {});
cudaError_t cudaStreamSynchronize(cudaStream_t stream);

// What tests turn, through ctypes too.
#pragma GCC visibility push(default)
extern "C" {
void emulated_seed(unsigned seed);
// "processors", "shared" (the opt-in limit in bytes) or "threads" (of a block): returns the value
// until now, or -1 for another name.
int emulated_set(const char* name, int value);
// The n-th launch from now fails, without running; 0 turns that off. Returns what was left of the
// count before.
long emulated_fail_after(long n);
// The launches that ran.
long emulated_launches(void);
}
#pragma GCC visibility pop

namespace emulated {

// Where a thread can wait for others.
enum class Wait {
    none,
    syncthreads,
    syncthreads_or,
    syncwarp,
    shfl,
    up,
    down,
    xor_,
    ballot,
    any,
    all
};

void* shared_memory();
// Lets another thread go first, now and then.
void yield();
int syncthreads(Wait what, bool value);
// Waits for the lanes of mask. Gives a shuffle the value of the lane `source`, others the lanes
// whose value is not 0.
std::uint64_t meet(Wait what, unsigned mask, std::uint64_t value, unsigned source);
unsigned lane();
[[noreturn]] void misaligned(const void* address, std::size_t alignment);
cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel, void (*call)(const void*),
                   const void* thread);

template <class T>
struct Same {
    using type = T;
};
template <class T>
using same = typename Same<T>::type;
template <class T, class... Known>
constexpr bool one_of = (std::is_same_v<T, Known> || ...);

template <class T, class Result>
T exchange(T* address, Result result) {
    yield();
    const T old = *address;
    *address = result(old);
    return old;
}

template <class T>
T sum(T a, T b) {
    using Wrapping = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Wrapping>(a) + static_cast<Wrapping>(b));
}

template <class T>
T shuffle(Wait what, unsigned mask, T value, unsigned source, int width) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    const unsigned end = lane() | static_cast<unsigned>(width - 1);
    const unsigned start = end + 1 - static_cast<unsigned>(width);
    // A lane that reaches out of its segment keeps its value, but an xor may reach back.
    const bool inside = source <= end && (what == Wait::xor_ || source >= start);
    std::uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = meet(what, mask, bits, inside ? source : lane());
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Keeps the compiler from contracting what is around into a fused multiply-add.
template <class T>
T rounded(T value) {
#ifdef __aarch64__
    asm("" : "+w"(value));
#else
    asm("" : "+x"(value));
#endif
    return value;
}

// As cvt.rzi.s32 does: towards 0, saturated.
template <class T>
int to_int(T value, int of_nan) {
    if (value != value) return of_nan;
    if (value >= T(2147483648.0)) return std::numeric_limits<int>::max();
    if (value <= T(-2147483648.0)) return std::numeric_limits<int>::min();
    return static_cast<int>(value);
}

template <class To, class From>
To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}

template <class T>
T* aligned(T* address) {
    const auto number = reinterpret_cast<std::uintptr_t>(address);
    if (number % alignof(T) != 0) misaligned(address, alignof(T));
    return address;
}

}  // namespace emulated

template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute attribute, int value) {
    static_assert(std::is_function_v<T>);
    return emulated::set_attribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T*) {
    static_assert(std::is_function_v<T>);
    *attributes = {};
    return cudaSuccess;
}

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Actual&&... arguments) {
    static_assert((std::is_trivially_copyable_v<Expected> && ...), "arguments are copied as bytes");
    static_assert((sizeof(Expected) + ... + 0) <= 4096, "arguments of any device fit in 4 KB");
    return [&](Expected... values) {
        // Calls with copies: every thread may change its own.
        const auto thread = [=] { kernel(values...); };
        using Thread = decltype(thread);
        return emulated::launch(
            config, reinterpret_cast<const void*>(kernel),
            [](const void* self) { (*static_cast<Thread*>(self))(); }, &thread);
    }(std::forward<Actual>(arguments)...);
}

// What threads of a block do together.

inline void __syncthreads() { emulated::syncthreads(emulated::Wait::syncthreads, false); }
inline int __syncthreads_or(int predicate) {
    return emulated::syncthreads(emulated::Wait::syncthreads_or, predicate != 0);
}
inline void __syncwarp(unsigned mask = 0xffffffffU) {
    emulated::meet(emulated::Wait::syncwarp, mask, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return static_cast<unsigned>(emulated::meet(emulated::Wait::ballot, mask, predicate != 0, 0));
}
inline int __any_sync(unsigned mask, int predicate) {
    return emulated::meet(emulated::Wait::any, mask, predicate != 0, 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
    return emulated::meet(emulated::Wait::all, mask, predicate == 0, 0) == 0;
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize) {
    const unsigned in_segment = static_cast<unsigned>(width - 1);
    const unsigned from =
        (emulated::lane() & ~in_segment) | (static_cast<unsigned>(source) & in_segment);
    return emulated::shuffle(emulated::Wait::shfl, mask, value, from, width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = warpSize) {
    const unsigned from = emulated::lane() ^ static_cast<unsigned>(lanes);
    return emulated::shuffle(emulated::Wait::xor_, mask, value, from, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
    return emulated::shuffle(emulated::Wait::down, mask, value, emulated::lane() + delta, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
    return emulated::shuffle(emulated::Wait::up, mask, value, emulated::lane() - delta, width);
}

// Memory. One fiber runs at a time and atomics switch only before they begin.

#define TEFAST_ATOMIC(name, result, ...)                                        \
    template <class T>                                                          \
    T name(T* address, emulated::same<T> value) {                               \
        static_assert(emulated::one_of<T, __VA_ARGS__>);                        \
        return emulated::exchange(address, [=](T old) -> T { return result; }); \
    }
TEFAST_ATOMIC(atomicAdd, emulated::sum(old, value), int, unsigned, unsigned long long)
TEFAST_ATOMIC(atomicMin, value < old ? value : old, int, unsigned, long long, unsigned long long)
TEFAST_ATOMIC(atomicMax, value > old ? value : old, int, unsigned, long long, unsigned long long)
TEFAST_ATOMIC(atomicOr, old | value, int, unsigned, unsigned long long)
TEFAST_ATOMIC(atomicAnd, old& value, int, unsigned, unsigned long long)
TEFAST_ATOMIC(atomicExch, (static_cast<void>(old), value), int, unsigned, unsigned long long)
#undef TEFAST_ATOMIC
template <class T>
T atomicCAS(T* address, emulated::same<T> compare, emulated::same<T> value) {
    static_assert(emulated::one_of<T, int, unsigned, unsigned long long>);
    return emulated::exchange(address, [=](T old) { return old == compare ? value : old; });
}
inline void __threadfence() { emulated::yield(); }

template <class T>
T __ldg(const T* address) {
    return *emulated::aligned(address);
}
template <class T>
T __ldcs(const T* address) {
    return *emulated::aligned(address);
}
template <class T>
void __stcs(T* address, emulated::same<T> value) {
    *emulated::aligned(address) = value;
}

// Arithmetic.

#define TEFAST_ROUNDED(name, type, operation)                                          \
    inline type name(type a, type b) {                                                 \
        return emulated::rounded(emulated::rounded(a) operation emulated::rounded(b)); \
    }
TEFAST_ROUNDED(__fadd_rn, float, +)
TEFAST_ROUNDED(__fsub_rn, float, -)
TEFAST_ROUNDED(__fmul_rn, float, *)
TEFAST_ROUNDED(__dadd_rn, double, +)
TEFAST_ROUNDED(__dsub_rn, double, -)
TEFAST_ROUNDED(__dmul_rn, double, *)
#undef TEFAST_ROUNDED
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __double2float_ru(double value) {
    const float near = static_cast<float>(value);
    return static_cast<double>(near) < value ? nextafterf(near, HUGE_VALF) : near;
}
inline int __float2int_rz(float value) { return emulated::to_int(value, 0); }
inline int __double2int_rz(double value) {
    return emulated::to_int(value, std::numeric_limits<int>::min());
}
inline unsigned __float_as_uint(float value) { return emulated::bits_of<unsigned>(value); }
inline float __uint_as_float(unsigned value) { return emulated::bits_of<float>(value); }
inline long long __double_as_longlong(double value) { return emulated::bits_of<long long>(value); }
inline double __longlong_as_double(long long value) { return emulated::bits_of<double>(value); }
inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __clz(int value) { return value ? __builtin_clz(static_cast<unsigned>(value)) : 32; }
inline int __clzll(long long value) {
    return value ? __builtin_clzll(static_cast<unsigned long long>(value)) : 64;
}

#define TEFAST_MIN_MAX(type)                                     \
    constexpr type min(type a, type b) { return b < a ? b : a; } \
    constexpr type max(type a, type b) { return a < b ? b : a; }
TEFAST_MIN_MAX(int)
TEFAST_MIN_MAX(unsigned)
TEFAST_MIN_MAX(long)
TEFAST_MIN_MAX(unsigned long)
TEFAST_MIN_MAX(long long)
TEFAST_MIN_MAX(unsigned long long)
#undef TEFAST_MIN_MAX
// As CUDA's, these leave out a NaN.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

#endif
