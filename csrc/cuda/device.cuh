// What the kernels need of the device beyond the language: shared memory, conversions, launches.
#pragma once

#include <cuda_runtime.h>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "cuda/launch.hpp"
#include "element.hpp"

namespace tefast::cuda {

constexpr int warp = 32;

// The block's dynamic shared memory.
#ifdef __CUDACC__
__device__ __forceinline__ void* shared_memory() {
    extern __shared__ uint4 words[];
    return words;
}
#else
inline void* shared_memory() { return emulated::shared_memory(); }
#endif

__device__ __forceinline__ float to_float(Half value) {
#ifdef __CUDACC__
    return __half2float(__ushort_as_half(value.bits));
#else
    return static_cast<float>(to_double(value));
#endif
}

__device__ __forceinline__ float to_float(BFloat16 value) {
    return from_bits(static_cast<std::uint32_t>(value.bits) << 16);
}

inline void check(cudaError_t error, const char* doing) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // else the next launch would be blamed for it
    throw std::runtime_error(std::string("tefast: CUDA error while ") + doing + ": " +
                             cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

constexpr std::int64_t most_blocks = 2147483647;

constexpr std::int64_t blocks_for(std::int64_t items, int threads) {
    return (items + threads - 1) / threads;
}

// Launches blocks of one dimension; none where there is nothing to do.
template <class... Parameters, class... Arguments>
void launch(const char* doing, void (*kernel)(Parameters...), std::int64_t blocks, int threads,
            std::size_t shared, const Queue& queue, Arguments&&... arguments) {
    if (blocks == 0) return;
    if (blocks > most_blocks) throw std::runtime_error("tefast: too many blocks for one launch");
    if (shared > 48 * 1024) {
        // All that a block may have, not what this one takes: other threads launch it too.
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(queue.shared)),
              doing);
    }
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared;
    config.stream = static_cast<cudaStream_t>(queue.stream);
    check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), doing);
    check(cudaGetLastError(), doing);
}

}  // namespace tefast::cuda
