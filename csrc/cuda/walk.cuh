// Rows of an input, segment by segment, with loads in flight while earlier rows are worked on.
//
// A sequence is cut into segments of at most 64 rows. A thread goes through segments from first to
// last row for one unit, so that a value is read once though it is both the next value of one
// transition and the present one of the following. Segments of transitions overlap by a row.
#pragma once

#include <cstdint>

#include "cuda/codes.cuh"
#include "cuda/plan.hpp"

namespace tefast::cuda {

// Source states of the transitions into the rows of a batch; negative: not to be counted.
struct alignas(16) Moves {
    std::int16_t state[batch];
};

struct Walk {
    Array3 values;
    const std::int64_t* lengths;
    Segments segments;

    // Lengths lie on the device, where nobody has checked them.
    __host__ __device__ std::int64_t length(std::int64_t n) const {
        const std::int64_t steps = values.shape[1];
        return lengths && lengths[n] < steps ? lengths[n] : steps;
    }
};

// Where a segment lies.
struct Segment {
    std::int64_t n, t;  // its sequence and first step
    int rows;           // that are valid

    __device__ Segment(const Walk& walk, std::int64_t segment) : n(segment), t(0) {
        const Segments& all = walk.segments;
        if (all.parts > 1) {
            n = segment / all.parts;
            t = (segment - n * all.parts) * all.advance;
        }
        const std::int64_t left = walk.length(n) - t;
        rows = left < all.rows ? (left > 0 ? static_cast<int>(left) : 0) : all.rows;
    }
};

// The loads of one batch.
template <class T>
struct Fetched {
    typename Reader<T>::Raw raw[batch];
    Moves moves;
    std::int64_t segment;
    int first;  // row in its segment
    int rows;   // that are valid, from `first` on; may be more than a batch holds, or negative
};

template <class T, bool pairs>
class Fetcher {
  public:
    __device__ Fetcher(const Walk& walk, const Moves* moves, std::int64_t unit, std::int64_t begin,
                       std::int64_t end, std::int64_t step)
        : walk_(walk), moves_(moves), unit_(unit), segment_(begin), end_(end), step_(step) {
        if (more()) enter();
    }

    __device__ bool more() const { return segment_ < end_; }

    // Starts the loads of the next batch.
    __device__ void fetch(Fetched<T>& out) {
        const std::int64_t stride = walk_.values.stride[1];
        out.segment = segment_;
        out.first = number_ * walk_.segments.batch_rows;
        out.rows = rows_ - out.first;
        const int loaded =
            out.rows < walk_.segments.batch_rows ? out.rows : walk_.segments.batch_rows;
#pragma unroll
        for (int i = 0; i < batch; ++i) {
            out.raw[i] = {};
            if (i < loaded) out.raw[i] = Reader<T>::read(at_ + i * stride, walk_.values.dtype);
        }
        if constexpr (pairs) out.moves = moves_[segment_ * walk_.segments.batches + number_];
        at_ += walk_.segments.batch_rows * stride;
        if (++number_ == walk_.segments.batches) {
            segment_ += step_;
            if (more()) enter();
        }
    }

  private:
    __device__ void enter() {
        const Segment segment(walk_, segment_);
        at_ = walk_.values.row(segment.n, segment.t, unit_);
        rows_ = segment.rows;
        number_ = 0;
    }

    const Walk& walk_;
    const Moves* moves_;
    std::int64_t unit_, segment_, end_, step_;
    const char* at_ = nullptr;
    int rows_ = 0, number_ = 0;
};

// Calls each(fetched, i) for every row of segments begin, begin + step, ...; i is its place in the
// batch. Rows that are not valid come too, as zeros.
template <class T, bool pairs, class Each>
__device__ __forceinline__ void walk_rows(const Walk& walk, const Moves* moves, std::int64_t unit,
                                          std::int64_t begin, std::int64_t end, std::int64_t step,
                                          Each&& each) {
    Fetcher<T, pairs> fetcher(walk, moves, unit, begin, end, step);
    const auto work = [&](const Fetched<T>& now) {
#pragma unroll
        for (int i = 0; i < batch; ++i) {
            if (i < walk.segments.batch_rows) each(now, i);
        }
    };
    Fetched<T> now;
    if constexpr (sizeof now.raw[0] > 4) {  // there are no registers for two batches of these
        while (fetcher.more()) {
            fetcher.fetch(now);
            work(now);
        }
        return;
    }
    if (!fetcher.more()) return;
    Fetched<T> next;
    fetcher.fetch(next);
    for (bool more = true; more;) {
        now = next;
        more = fetcher.more();
        if (more) fetcher.fetch(next);
        work(now);
    }
}

}  // namespace tefast::cuda
