// Rows of an array, one after the other: row n * T + t is step t of sequence n.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"
#include "element.hpp"

namespace tefast {

// Room for one row's units side by side, where they do not lie so already.
class RowScratch {
  public:
    explicit RowScratch(const Array3& values) {
        if (values.stride[2] != size_of(values.dtype)) {
            row_.resize(static_cast<std::size_t>(values.shape[2] * size_of(values.dtype)));
        }
    }
    char* data() { return row_.empty() ? nullptr : row_.data(); }

  private:
    std::vector<char> row_;
};

// Calls each(rows, first) with the valid rows of [from, to) in runs that a kernel can take: first
// is the number of the run's first row. lengths: (N,) or null.
template <class Each>
void for_each_run(const Array3& values, const std::int64_t* lengths, std::int64_t from,
                  std::int64_t to, char* scratch, Each&& each) {
    const std::int64_t steps = values.shape[1], units = values.shape[2];
    const std::int64_t size = size_of(values.dtype);
    if (!lengths && !scratch && values.stride[0] == steps * values.stride[1]) {
        each(Rows{values.data + from * values.stride[1], to - from, values.stride[1], units}, from);
        return;
    }
    for (std::int64_t n = from / steps; n * steps < to; ++n) {
        const std::int64_t length = lengths ? lengths[n] : steps;
        const std::int64_t begin = std::max<std::int64_t>(from - n * steps, 0);
        const std::int64_t end = std::min(to - n * steps, length);
        if (begin >= end) continue;
        if (!scratch) {
            each(Rows{values.row(n, begin, 0), end - begin, values.stride[1], units},
                 n * steps + begin);
            continue;
        }
        for (std::int64_t t = begin; t < end; ++t) {
            const char* at = values.row(n, t, 0);
            for (std::int64_t u = 0; u < units; ++u, at += values.stride[2]) {
                std::memcpy(scratch + u * size, at, static_cast<std::size_t>(size));
            }
            each(Rows{scratch, 1, 0, units}, n * steps + t);
        }
    }
}

// Lets go of the pages of rows [from, to) that a mapped file has in this process; the system keeps
// them as long as it has room, and reads them again if they are touched. Rows must lie densely.
void let_go(const Array3& values, std::int64_t from, std::int64_t to);

// As for_each_run, letting go of what was read.
template <class Each>
void for_each_run_once(const Array3& values, const std::int64_t* lengths, std::int64_t from,
                       std::int64_t to, char* scratch, Each&& each) {
    if (!values.mapped) return for_each_run(values, lengths, from, to, scratch, each);
    const std::int64_t row = std::max<std::int64_t>(values.shape[2] * size_of(values.dtype), 1);
    const std::int64_t piece = (std::int64_t{8} << 20) / row + 1;
    for (; from < to; from += piece) {
        const std::int64_t end = std::min(from + piece, to);
        for_each_run(values, lengths, from, end, scratch, each);
        let_go(values, from, end);
    }
}

}  // namespace tefast
