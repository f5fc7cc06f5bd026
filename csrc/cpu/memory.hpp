// Large buffers: aligned to pages, in huge pages where the system has them, not initialised.
#pragma once

#include <cstddef>
#include <type_traits>

namespace tefast {

// Memory that was used before comes without the page faults of new memory, which would cost as
// much as counting a batch does. So a few large buffers are kept when they are given back.
void* take_memory(std::size_t bytes);
void give_memory(void* data, std::size_t bytes);

template <class T>
class Buffer {
  public:
    static_assert(std::is_trivial_v<T>);

    explicit Buffer(std::size_t size)
        : data_(static_cast<T*>(take_memory(size * sizeof(T)))), size_(size) {}
    ~Buffer() { give_memory(data_, size_ * sizeof(T)); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }

  private:
    T* data_;
    std::size_t size_;
};

}  // namespace tefast
