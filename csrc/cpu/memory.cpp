#include "cpu/memory.hpp"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif

namespace tefast {
namespace {

// The address sanitizer is to see where a buffer ends and that it was given back.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEFAST_ADDRESS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(TEFAST_ADDRESS_SANITIZER)
constexpr bool exact = true;
#else
constexpr bool exact = false;
#endif

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t least_kept = std::size_t{128} << 10;  // smaller ones are kept by malloc
constexpr std::size_t most_kept = std::size_t{24} << 20;

std::size_t rounded(std::size_t bytes) {
    if (exact) return bytes;
    const std::size_t page = bytes < huge_page ? 4096 : huge_page;
    return (bytes + page - 1) / page * page;
}

// Windows has no std::aligned_alloc, since its std::free could not take such memory back.
#if defined(_WIN32)
void* allocate(std::size_t alignment, std::size_t bytes) {
    return _aligned_malloc(bytes, alignment);
}
void release(void* data) { _aligned_free(data); }
#else
void* allocate(std::size_t alignment, std::size_t bytes) {
    return std::aligned_alloc(alignment, bytes);
}
void release(void* data) { std::free(data); }
#endif

struct Kept {
    void* data;
    std::size_t bytes;
};

struct Shelf {
    std::mutex mutex;
    std::vector<Kept> kept;
    std::size_t bytes = 0;
};

// Never destroyed, since other threads may still be counting when the process ends.
Shelf& shelf() {
    static Shelf* const only = new Shelf;
    return *only;
}

// Never waits: after a fork the mutex may belong to a thread that is not there.
void* from_shelf(std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(shelf().mutex, std::try_to_lock);
    if (!lock) return nullptr;
    for (Kept& kept : shelf().kept) {
        if (kept.bytes != bytes) continue;
        void* const data = kept.data;
        kept = shelf().kept.back();
        shelf().kept.pop_back();
        shelf().bytes -= bytes;
        return data;
    }
    return nullptr;
}

bool to_shelf(void* data, std::size_t bytes) {
    const std::unique_lock<std::mutex> lock(shelf().mutex, std::try_to_lock);
    if (!lock || bytes > most_kept) return false;
    try {
        shelf().kept.reserve(shelf().kept.size() + 1);
    } catch (const std::bad_alloc&) {
        return false;
    }
    // What was put away first is the least likely to be asked for again.
    while (shelf().bytes + bytes > most_kept) {
        release(shelf().kept.front().data);
        shelf().bytes -= shelf().kept.front().bytes;
        shelf().kept.erase(shelf().kept.begin());
    }
    shelf().kept.push_back({data, bytes});
    shelf().bytes += bytes;
    return true;
}

}  // namespace

void* take_memory(std::size_t bytes) {
    if (bytes == 0) return nullptr;
    const std::size_t size = rounded(bytes);
    if (!exact && size >= least_kept) {
        if (void* const data = from_shelf(size)) return data;
    }
    if (exact) return ::operator new(size, std::align_val_t{64});
    void* const data = allocate(size < huge_page ? 4096 : huge_page, size);
    if (!data) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= huge_page) madvise(data, size, MADV_HUGEPAGE);
#endif
    return data;
}

void give_memory(void* data, std::size_t bytes) {
    const std::size_t size = rounded(bytes);
    if (exact) return ::operator delete(data, std::align_val_t{64});
    if (size < least_kept || !to_shelf(data, size)) release(data);
}

}  // namespace tefast
