// The CUDA kernels, compiled for the host beside an emulation of the device, as C functions.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda/launch.hpp"

using tefast::Array3;
using tefast::DType;
using namespace tefast::cuda;

extern "C" {

// What a test passes for one input; strides in bytes.
struct Passed {
    const char* data;
    int dtype;
    std::int64_t shape[3], stride[3];
    const double* edges;
    std::int64_t unit_stride;
    int bins;
    const std::int64_t* lengths;
};
}

namespace {

std::string message;
std::vector<std::unique_ptr<char[]>> scratch;
std::size_t taken = 0;  // bytes of the last call
std::int64_t table_limit = 0, joint_limit = 0;

Input input_of(const Passed& passed) {
    Array3 values{passed.data, static_cast<DType>(passed.dtype), {}, {}, false};
    std::memcpy(values.shape, passed.shape, sizeof values.shape);
    std::memcpy(values.stride, passed.stride, sizeof values.stride);
    return {values, {passed.edges, passed.unit_stride, passed.bins}, passed.lengths};
}

// Runs work on the emulated device; 0 if it went well.
template <class Work>
int run(Work&& work) {
    // Filled with what no kernel may rely on.
    const auto allocate = [](std::size_t bytes) -> void* {
        taken += bytes;
        scratch.push_back(std::make_unique<char[]>(bytes + 16));
        std::memset(scratch.back().get(), 0xA5, bytes + 16);
        return scratch.back().get();
    };
    taken = 0;
    try {
        Queue queue = queue_on(0, nullptr, allocate);
        if (table_limit) queue.table_bytes = table_limit;
        if (joint_limit) queue.joint_bytes = joint_limit;
        work(queue);
        message.clear();
    } catch (const std::exception& error) {
        message = error.what();
    }
    scratch.clear();
    return message.empty() ? 0 : 1;
}

}  // namespace

extern "C" {

// Bytes that tables, and counts to be measured, may take together; 0: what is usual.
void tefast_limit(std::int64_t tables, std::int64_t joint) {
    table_limit = tables;
    joint_limit = joint;
}

std::size_t tefast_taken() { return taken; }

const char* tefast_message() { return message.c_str(); }

int tefast_scan(const Passed* input, std::int64_t* found, double* low, double* high) {
    return run([&](const Queue& queue) { scan(queue, input_of(*input), found, low, high); });
}

int tefast_encode(const Passed* input, std::int16_t* codes) {
    return run([&](const Queue& queue) { encode(queue, input_of(*input), codes); });
}

int tefast_count_values(const Passed* input, std::int64_t* counts) {
    return run([&](const Queue& queue) { count_values(queue, input_of(*input), counts); });
}

int tefast_count_transitions(const Passed* target, const std::int16_t* source, int states,
                             std::int64_t* counts) {
    return run([&](const Queue& queue) {
        count_transitions(queue, input_of(*target), source, states, counts);
    });
}

int tefast_score_counts(const std::int64_t* counts, std::int64_t units, int bins, int states,
                        double* nats) {
    return run([&](const Queue& queue) { score_counts(queue, counts, units, bins, states, nats); });
}

int tefast_transfer_entropy(const Passed* target, const Passed* source, int omit, double* nats,
                            int* seen) {
    return run([&](const Queue& queue) {
        transfer_entropy(queue, input_of(*target), input_of(*source), omit != 0, nats, seen);
    });
}
}
