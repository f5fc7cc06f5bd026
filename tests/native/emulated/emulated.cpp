// Fibers, barriers and the runtime's state; see cuda_runtime.h.

// It would take a _longjmp to another stack for a mistake.
#undef _FORTIFY_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "cuda_runtime.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulated {
namespace {

constexpr std::size_t stack_bytes = 64 << 10, guard_bytes = 1024;
constexpr std::size_t shared_default = 48 << 10;
constexpr unsigned char poison = 0xa5, guard = 0x5c;

enum class State { ready, waiting, returned };

struct Fiber {
    jmp_buf resume;
    char* stack = nullptr;
    bool started = false;
    State state;
    unsigned mask;  // of the shuffle where it waits; 0 at __syncthreads
    unsigned source;
    std::uint64_t given, got;
};

std::mutex launching;
std::map<std::string, int> settings = {{"processors", 3}, {"shared", 232448}, {"threads", 1024}};
std::map<const void*, std::size_t> shared_allowed;
thread_local cudaError_t last_error = cudaSuccess;
long launches = 0, launches_to_failure = 0;

// The running block.
std::vector<Fiber> fibers;  // Kept, with their stacks, for the blocks to come.
std::vector<unsigned> runnable;
unsigned running = 0, threads = 0, live = 0, at_barrier = 0;
bool last_first = false;
std::vector<unsigned char> shared_buffer;
unsigned char* shared = nullptr;
std::size_t shared_bytes = 0;
jmp_buf launcher;
std::function<void()> call;

std::uint64_t random_state = 1;
std::uint64_t draw(std::uint64_t below) {  // splitmix64; the bias of % does not matter.
    std::uint64_t z = random_state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % below;
}

[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char* format, ...) {
    fprintf(stderr, "emulated CUDA, launch %ld, block %u: ", launches, blockIdx.x);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

[[noreturn]] void deadlock() {
    std::map<std::pair<unsigned, unsigned>, unsigned> waiting;  // lanes by warp and mask
    for (unsigned i = 0; i < threads; ++i) {
        if (fibers[i].state == State::waiting) waiting[{i / 32, fibers[i].mask}] |= 1U << i % 32;
    }
    for (const auto& [at, lanes] : waiting) {
        fprintf(stderr, "warp %u, lanes %08x wait at ", at.first, lanes);
        fprintf(stderr, at.second ? "a shuffle of mask %08x\n" : "__syncthreads\n", at.second);
    }
    die("deadlock: no thread can go on");
}

// Puts the fiber at a random place among those from `first` on.
void make_runnable(unsigned index, std::size_t first) {
    fibers[index].state = State::ready;
    runnable.push_back(index);
    std::swap(runnable.back(), runnable[first + draw(runnable.size() - first)]);
}

void fiber_main();

[[noreturn]] void enter_next() {
    if (runnable.empty()) {
        if (live) deadlock();
        _longjmp(launcher, 1);
    }
    // In half of the blocks, whoever was released last: then one warp runs far ahead of others.
    if (!last_first) std::swap(runnable.back(), runnable[draw(runnable.size())]);
    running = runnable.back();
    runnable.pop_back();
    Fiber& fiber = fibers[running];
    threadIdx.x = running;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    // Stacks that began at the same offset would evict each other from the caches.
    context.uc_stack.ss_size = stack_bytes - 64 * (running % 48);
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
    abort();
}

// Switches with _setjmp and _longjmp, which do not call the kernel for the mask of signals.
__attribute__((noinline)) void suspend() {
    if (_setjmp(fibers[running].resume) == 0) enter_next();
}

void release_block() {
    if (at_barrier == 0 || at_barrier != live) return;
    at_barrier = 0;
    const std::size_t first = runnable.size();
    for (unsigned i = 0; i < threads; ++i) {
        if (fibers[i].state == State::waiting) make_runnable(i, first);
    }
}

// Lets the lanes go on that wait as the thread does, if all are there.
void release_lanes(unsigned index) {
    const unsigned mask = fibers[index].mask, base = index & ~31U;
    const unsigned end = std::min(base + 32, threads);
    unsigned lanes = 0;
    for (unsigned i = base; i < end; ++i) {
        const Fiber& f = fibers[i];
        if (!(mask >> (i - base) & 1U) || f.state == State::returned) continue;
        if (f.state != State::waiting || f.mask != mask) return;
        lanes |= 1U << (i - base);
    }
    const std::size_t first = runnable.size();
    for (unsigned i = base; i < end; ++i) {
        if (!(lanes >> (i - base) & 1U)) continue;
        Fiber& f = fibers[i];
        // The value of a lane that takes no part is undefined.
        const bool known = lanes >> f.source & 1U;
        f.got = known ? fibers[base + f.source].given : 0x0101010101010101U * poison;
        make_runnable(i, first);
    }
}

void fiber_main() {
    for (;;) {
        call();
        // Who has returned does not count any more where others wait.
        fibers[running].state = State::returned;
        --live;
        release_block();
        const unsigned base = running & ~31U, end = std::min(base + 32, threads);
        for (unsigned i = base; i < end; ++i) {
            if (fibers[i].state == State::waiting && fibers[i].mask) release_lanes(i);
        }
        suspend();  // Until the next block begins.
    }
}

void prepare(const cudaLaunchConfig_t& config) {
    threads = config.blockDim.x;
    while (fibers.size() < threads) {
        const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        void* stack = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED || mprotect(stack, page, PROT_NONE) != 0) {
            die("no memory for the stacks of %u threads", threads);
        }
        fibers.emplace_back();
        fibers.back().stack = static_cast<char*>(stack) + page;
    }
    shared_bytes = config.dynamicSmemBytes;
    shared_buffer.assign(shared_bytes + 2 * guard_bytes + 128, guard);
    const auto address = reinterpret_cast<std::uintptr_t>(shared_buffer.data()) + guard_bytes;
    shared = shared_buffer.data() + guard_bytes + (128 - address % 128);
}

void check_guards() {
    for (std::size_t i = 0; i < guard_bytes; ++i) {
        if (shared[shared_bytes + i] != guard) {
            die("wrote byte %zu of its %zu bytes of shared memory", shared_bytes + i, shared_bytes);
        }
        if (*(shared - 1 - i) != guard) die("wrote %zu bytes before its shared memory", i + 1);
    }
}

__attribute__((noinline)) void run_block() {
    memset(shared, poison, shared_bytes);
    live = threads;
    last_first = draw(2) != 0;
    for (unsigned i = 0; i < threads; ++i) make_runnable(i, 0);
    if (_setjmp(launcher) == 0) enter_next();
    check_guards();
}

struct Error {
    cudaError_t error;
    const char *name, *text;
};
Error known(cudaError_t error) {
    for (const Error& e : {
             Error{cudaSuccess, "cudaSuccess", "no error"},
             Error{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
             Error{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
                   "invalid configuration argument"},
             Error{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
         }) {
        if (e.error == error) return e;
    }
    return {error, "unrecognized error code", "unrecognized error code"};
}

cudaError_t keep(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

cudaError_t check(const cudaLaunchConfig_t& config, const void* kernel) {
    const dim3 grid = config.gridDim, block = config.blockDim;
    const auto within = [](const dim3& size, unsigned most) {
        return size.x >= 1 && size.x <= most && size.y == 1 && size.z == 1;
    };
    if (!within(grid, 0x7fffffffU) || !within(block, static_cast<unsigned>(settings["threads"]))) {
        return cudaErrorInvalidConfiguration;
    }
    const auto allowed = shared_allowed.find(kernel);
    const std::size_t most = allowed == shared_allowed.end() ? shared_default : allowed->second;
    const std::size_t there = static_cast<std::size_t>(settings["shared"]);
    if (config.dynamicSmemBytes > std::min(most, there)) return cudaErrorInvalidValue;
    if (launches_to_failure && --launches_to_failure == 0) return cudaErrorInvalidConfiguration;
    return cudaSuccess;
}

}  // namespace

void* shared_memory() { return shared; }

void yield() {
    if (runnable.empty() || draw(8) != 0) return;
    make_runnable(running, 0);
    suspend();
}

std::uint64_t shuffle(unsigned mask, std::uint64_t value, unsigned lanes) {
    const unsigned lane = running & 31U;
    if (!(mask >> lane & 1U)) {
        die("thread %u is not in its own mask %08x of a shuffle", running, mask);
    }
    Fiber& self = fibers[running];
    self.state = State::waiting;
    self.mask = mask;
    self.source = (lane ^ lanes) & 31U;
    self.given = value;
    release_lanes(running);
    suspend();
    return self.got;
}

cudaError_t allow_shared(const void* kernel, int bytes) {
    const std::lock_guard<std::mutex> lock(launching);
    // Less than there is would be too little for whoever launches the kernel from another thread.
    if (bytes != settings["shared"]) return keep(cudaErrorInvalidValue);
    shared_allowed[kernel] = static_cast<std::size_t>(bytes);
    return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread) {
    const std::lock_guard<std::mutex> lock(launching);
    if (const cudaError_t error = check(config, kernel)) return keep(error);
    ++launches;
    call = std::move(thread);
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    prepare(config);
    // Steps of a length that has no factor in common with their number reach every block once.
    const std::uint64_t blocks = gridDim.x;
    std::uint64_t block = draw(blocks), step = 1 + draw(blocks);
    while (std::gcd(step, blocks) != 1) step = 1 + draw(blocks);
    for (std::uint64_t i = 0; i < blocks; ++i, block = (block + step) % blocks) {
        blockIdx.x = static_cast<unsigned>(block);
        run_block();
    }
    return cudaSuccess;
}

}  // namespace emulated

using namespace emulated;

// What tests turn, through ctypes.
extern "C" {
void emulated_seed(unsigned seed) { random_state = seed; }
// "processors", "shared" (the opt-in limit in bytes) or "threads" (of a block).
void emulated_set(const char* name, int value) { settings.at(name) = value; }
// The n-th launch from now fails, without running; 0 turns that off.
void emulated_fail_after(long n) { launches_to_failure = n; }
// The launches that ran.
long emulated_launches() { return launches; }
}

void __syncthreads() {
    Fiber& self = fibers[running];
    self.state = State::waiting;
    self.mask = 0;
    ++at_barrier;
    release_block();
    suspend();
}

const char* cudaGetErrorName(cudaError_t error) { return known(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return known(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (device != 0) return keep(cudaErrorInvalidDevice);
    switch (attribute) {
        case cudaDevAttrMaxThreadsPerBlock:
            return *value = settings["threads"], cudaSuccess;
        case cudaDevAttrMultiProcessorCount:
            return *value = settings["processors"], cudaSuccess;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            return *value = settings["shared"], cudaSuccess;
    }
    return keep(cudaErrorInvalidValue);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
    return memset(to, value, bytes), cudaSuccess;
}
