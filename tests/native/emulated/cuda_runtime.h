// What the kernels use of CUDA, to run them on the host, in tests: every thread of a block is a
// fiber, blocks run one after another, and every order that CUDA leaves open is drawn from a seed.
//
// Blocks and grids have one dimension. What nvcc would refuse is refused here too where that is
// cheap (types of atomics and shuffles). The functions of the runtime have C++ linkage, so that
// they cannot take the place of those of a real libcudart in the same process.

#ifndef TEFAST_EMULATED_CUDA_RUNTIME_H
#define TEFAST_EMULATED_CUDA_RUNTIME_H

#include <math.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

// Plain variables, set at every switch of fibers: as macros, they would hide the members of
// cudaLaunchConfig_t.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// The runtime.

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidDevice = 101
};
enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
using cudaStream_t = struct CUstream_st*;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes;
    cudaStream_t stream;
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream);

namespace emulated {

void* shared_memory();
// Lets another thread go first, now and then.
void yield();
// Waits for the lanes of mask; the value of the lane whose number differs by the bits of `lanes`.
std::uint64_t shuffle(unsigned mask, std::uint64_t value, unsigned lanes);
cudaError_t allow_shared(const void* kernel, int bytes);
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread);

template <class To, class From>
To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}

}  // namespace emulated

template <class T>
cudaError_t cudaFuncSetAttribute(T* kernel, cudaFuncAttribute, int value) {
    static_assert(std::is_function_v<T>);
    return emulated::allow_shared(reinterpret_cast<const void*>(kernel), value);
}

template <class... Expected, class... Actual>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Expected...),
                               Actual&&... arguments) {
    static_assert((std::is_trivially_copyable_v<Expected> && ...), "arguments are copied as bytes");
    static_assert((sizeof(Expected) + ... + 0) <= 4096, "arguments of any device fit in 4 KB");
    return [&](Expected... values) {
        // Calls with copies: every thread may change its own.
        return emulated::launch(*config, reinterpret_cast<const void*>(kernel),
                                [=] { kernel(values...); });
    }(std::forward<Actual>(arguments)...);
}

// What threads of a block do together.

void __syncthreads();
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 8);
    return static_cast<T>(
        emulated::shuffle(mask, static_cast<std::uint64_t>(value), static_cast<unsigned>(lanes)));
}

// One fiber runs at a time, and atomics switch only before they begin.
#define TEFAST_ATOMIC(name, type, result)         \
    inline type name(type* address, type value) { \
        emulated::yield();                        \
        const type old = *address;                \
        *address = result;                        \
        return old;                               \
    }
TEFAST_ATOMIC(atomicAdd, unsigned, old + value)
TEFAST_ATOMIC(atomicAdd, unsigned long long, old + value)
TEFAST_ATOMIC(atomicMin, unsigned long long, value < old ? value : old)
TEFAST_ATOMIC(atomicMax, unsigned long long, value > old ? value : old)
TEFAST_ATOMIC(atomicOr, int, old | value)
#undef TEFAST_ATOMIC

inline long long __double_as_longlong(double value) { return emulated::bits_of<long long>(value); }
inline double __longlong_as_double(long long value) { return emulated::bits_of<double>(value); }

#endif
