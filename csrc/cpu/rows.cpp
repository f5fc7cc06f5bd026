#include "cpu/rows.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace tefast {

void let_go(const Array3& values, std::int64_t from, std::int64_t to) {
#if defined(__linux__)
    const bool dense = values.stride[0] == values.shape[1] * values.stride[1] &&
                       values.stride[2] == size_of(values.dtype) && values.stride[1] > 0;
    if (!values.mapped || !dense || from >= to) return;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto base = reinterpret_cast<std::uintptr_t>(values.data);
    const auto step = static_cast<std::uintptr_t>(values.stride[1]);
    // Whole pages alone: those at the ends hold rows of somebody else.
    const std::uintptr_t begin =
        (base + static_cast<std::uintptr_t>(from) * step + page - 1) / page * page;
    const std::uintptr_t end = (base + static_cast<std::uintptr_t>(to) * step) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#else
    (void)values, (void)from, (void)to;
#endif
}

}  // namespace tefast
