// What is made before counting: cuts from edges, and moves from the source.
#pragma once

#include "cuda/codes.cuh"
#include "cuda/plan.hpp"
#include "cuda/walk.cuh"

namespace tefast::cuda {

// Cuts of any dtype; the one that is used depends on it.
struct AnyCuts {
    Cuts<float> floats;
    Cuts<double> doubles;

    template <class F>
    __host__ __device__ const Cuts<F>& of() const {
        if constexpr (std::is_same_v<F, double>) {
            return doubles;
        } else {
            return floats;
        }
    }
};

AnyCuts make_cuts(const Queue& queue, const Input& input);

// The moves (segments, batches) of the walk of a target, from a source (N, T, 1). seen: what the
// source holds that must not be there, shifted left by two; may be null.
const Moves* make_moves(const Queue& queue, const Walk& walk, const Input& source,
                        const AnyCuts& cuts, int* seen);

// Zeros.
void clear(const Queue& queue, void* at, std::size_t bytes);

// Never null: for moves that would mean that values are counted.
template <class T>
T* allocate(const Queue& queue, std::int64_t count) {
    return static_cast<T*>(
        queue.allocate(static_cast<std::size_t>(count > 0 ? count : 1) * sizeof(T)));
}

}  // namespace tefast::cuda
