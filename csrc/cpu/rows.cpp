#include "cpu/rows.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tefast {

void let_go(const Array3& values, std::int64_t from, std::int64_t to) {
#if defined(__linux__)
    const std::int64_t row = values.shape[2] * size_of(values.dtype);
    const bool dense = values.stride[0] == values.shape[1] * values.stride[1] &&
                       values.stride[2] == size_of(values.dtype) && values.stride[1] >= row;
    if (!values.mapped || !dense || from >= to) return;
    // From the first byte that was read to the last, not to where a next row would begin: that may
    // be past the end of the file, in memory of somebody else. And whole pages alone.
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto address = [&](std::int64_t offset) {
        return reinterpret_cast<std::uintptr_t>(values.data + offset);
    };
    const std::uintptr_t begin = (address(from * values.stride[1]) + page - 1) / page * page;
    const std::uintptr_t end = address((to - 1) * values.stride[1] + row) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#else
    (void)values, (void)from, (void)to;
#endif
}

}  // namespace tefast
