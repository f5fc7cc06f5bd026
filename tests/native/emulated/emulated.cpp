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
const char* const names[] = {"nothing",          "__syncthreads",   "__syncthreads_or",
                             "__syncwarp",       "__shfl_sync",     "__shfl_up_sync",
                             "__shfl_down_sync", "__shfl_xor_sync", "__ballot_sync",
                             "__any_sync",       "__all_sync"};

struct Fiber {
    jmp_buf resume;
    char* stack = nullptr;
    bool started = false;
    uint3 thread;
    Wait waiting = Wait::none;
    unsigned mask, source;
    std::uint64_t value, result;
};
struct Warp {
    unsigned live, waiting;
};

std::mutex launching;
std::map<std::string, int> settings = {{"processors", 3}, {"shared", 232448}, {"threads", 1024}};
std::map<const void*, std::size_t> shared_allowed;
thread_local cudaError_t last_error = cudaSuccess;
long launches = 0, launches_to_failure = 0;

// The running block.
std::vector<Fiber> fibers;  // Kept, with their stacks, for the blocks to come.
std::vector<unsigned> runnable;
std::vector<Warp> warps;
unsigned running = 0, threads = 0, live = 0, at_barrier[2];
bool barrier_or[2], last_first = false;
std::vector<unsigned char> shared_buffer;
unsigned char* shared = nullptr;
std::size_t shared_bytes = 0;
jmp_buf launcher;
void (*call)(const void*) = nullptr;
const void* call_thread = nullptr;

std::uint64_t random_state = 1;
std::uint64_t draw(std::uint64_t below) {  // splitmix64; the bias of % does not matter.
    std::uint64_t z = random_state += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (z ^ (z >> 31)) % below;
}

[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char* format, ...) {
    fprintf(stderr, "emulated CUDA, launch %ld, block (%u, %u, %u): ", launches, blockIdx.x,
            blockIdx.y, blockIdx.z);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

[[noreturn]] void deadlock() {
    for (unsigned i = 0; i < threads; ++i) {
        const Fiber& f = fibers[i];
        if (f.waiting == Wait::none) continue;
        // One line for all who wait for the same.
        unsigned same = 0, before = 0;
        for (unsigned j = 0; j < threads; ++j) {
            const bool other_warp = f.mask != 0 && j / 32 != i / 32;
            if (fibers[j].waiting != f.waiting || fibers[j].mask != f.mask || other_warp) continue;
            ++same;
            before += j < i;
        }
        if (before) continue;
        fprintf(stderr, "%u threads, first (%u, %u, %u), wait at %s", same, f.thread.x, f.thread.y,
                f.thread.z, names[static_cast<int>(f.waiting)]);
        fprintf(stderr, f.mask ? " of mask %08x\n" : "\n", f.mask);
    }
    die("deadlock: no thread can go on");
}

void make_runnable(unsigned index, std::size_t first) {
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
    threadIdx = fiber.thread;
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

void release_block(unsigned kind) {
    if (at_barrier[kind] == 0 || at_barrier[kind] != live) return;
    const std::size_t first = runnable.size();
    for (unsigned i = 0; i < threads; ++i) {
        if (fibers[i].waiting == Wait::none) continue;
        fibers[i].waiting = Wait::none;
        fibers[i].result = barrier_or[kind];
        make_runnable(i, first);
    }
    at_barrier[kind] = 0;
    barrier_or[kind] = false;
}

// Lets the lanes go on that wait as the thread does, if all are there.
void release_lanes(unsigned index) {
    const unsigned base = index & ~31U;
    Warp& warp = warps[index / 32];
    const Fiber& asks = fibers[index];
    const unsigned lanes = asks.mask & warp.live;
    if (lanes & ~warp.waiting) return;
    const auto for_each = [&](auto&& action) {
        for (unsigned rest = lanes; rest; rest &= rest - 1) {
            action(fibers[base + static_cast<unsigned>(__builtin_ctz(rest))]);
        }
    };
    bool agree = true;
    std::uint64_t ballot = 0;
    for_each([&](Fiber& f) {
        agree &= f.waiting == asks.waiting && f.mask == asks.mask;
        const unsigned lane = static_cast<unsigned>(&f - &fibers[base]);
        ballot |= std::uint64_t{f.value != 0} << lane;
    });
    if (!agree) return;
    const bool shuffles = asks.waiting >= Wait::shfl && asks.waiting <= Wait::xor_;
    const std::size_t first = runnable.size();
    for_each([&](Fiber& f) {
        // The value of a lane that takes no part is undefined.
        const bool known = lanes >> (f.source & 31U) & 1U;
        f.result = !shuffles ? ballot
                   : known   ? fibers[base + f.source].value
                             : std::uint64_t{0x0101010101010101U} * poison;
    });
    for_each([&](Fiber& f) {
        f.waiting = Wait::none;
        make_runnable(static_cast<unsigned>(&f - fibers.data()), first);
    });
    warp.waiting &= ~lanes;
}

void fiber_main() {
    for (;;) {
        call(call_thread);
        // Who has returned does not count any more where others wait.
        --live;
        release_block(0);
        release_block(1);
        Warp& warp = warps[running / 32];
        warp.live &= ~(1U << (running & 31U));
        for (unsigned lane = 0; lane < 32; ++lane) {
            if (warp.waiting >> lane & 1U) release_lanes((running & ~31U) + lane);
        }
        suspend();  // Until the next block begins.
    }
}

void prepare(const cudaLaunchConfig_t& config) {
    const dim3 block = config.blockDim;
    threads = block.x * block.y * block.z;
    warps.resize((threads + 31) / 32);
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
    for (unsigned i = 0; i < threads; ++i) {
        fibers[i].thread = {i % block.x, i / block.x % block.y, i / block.x / block.y};
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
    for (unsigned w = 0; w < warps.size(); ++w) {
        const unsigned lanes = std::min(32U, threads - 32 * w);
        warps[w] = {0xffffffffU >> (32 - lanes), 0};
    }
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
             Error{cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
                   "no kernel image is available for execution on the device"},
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
    const auto within = [](unsigned value, unsigned most) { return value >= 1 && value <= most; };
    if (!within(grid.x, 0x7fffffffU) || !within(grid.y, 65535) || !within(grid.z, 65535) ||
        !within(block.x, 1024) || !within(block.y, 1024) || !within(block.z, 64) ||
        block.x * block.y * block.z > static_cast<unsigned>(settings["threads"])) {
        return cudaErrorInvalidConfiguration;
    }
    const auto allowed = shared_allowed.find(kernel);
    const std::size_t most = allowed == shared_allowed.end() ? shared_default : allowed->second;
    const std::size_t there = static_cast<std::size_t>(settings["shared"]);
    if (config.dynamicSmemBytes > std::min(most, there) || config.numAttrs != 0) {
        return cudaErrorInvalidValue;
    }
    if (launches_to_failure && --launches_to_failure == 0) return cudaErrorInvalidConfiguration;
    return cudaSuccess;
}

}  // namespace

void* shared_memory() { return shared; }
unsigned lane() { return running & 31U; }
void misaligned(const void* address, std::size_t alignment) {
    die("address %p is not aligned to %zu bytes", address, alignment);
}

void yield() {
    if (runnable.empty() || draw(8) != 0) return;
    make_runnable(running, 0);
    suspend();
}

int syncthreads(Wait what, bool value) {
    const unsigned kind = what == Wait::syncthreads_or;
    Fiber& self = fibers[running];
    self.waiting = what;
    self.mask = 0;
    barrier_or[kind] |= value;
    ++at_barrier[kind];
    release_block(kind);
    suspend();
    return static_cast<int>(self.result);
}

std::uint64_t meet(Wait what, unsigned mask, std::uint64_t value, unsigned source) {
    if (!(mask >> lane() & 1U)) {
        die("thread (%u, %u, %u) is not in its own mask %08x of %s", threadIdx.x, threadIdx.y,
            threadIdx.z, mask, names[static_cast<int>(what)]);
    }
    Fiber& self = fibers[running];
    self.waiting = what;
    self.mask = mask;
    self.value = value;
    self.source = source;
    warps[running / 32].waiting |= 1U << lane();
    release_lanes(running);
    suspend();
    return self.result;
}

cudaError_t set_attribute(const void* kernel, cudaFuncAttribute attribute, int value) {
    const std::lock_guard<std::mutex> lock(launching);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || value > settings["shared"]) return keep(cudaErrorInvalidValue);
    shared_allowed[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   void (*call_one)(const void*), const void* thread) {
    const std::lock_guard<std::mutex> lock(launching);
    if (!config) return keep(cudaErrorInvalidValue);
    if (const cudaError_t error = check(*config, kernel)) return keep(error);
    ++launches;
    call = call_one;
    call_thread = thread;
    gridDim = config->gridDim;
    blockDim = config->blockDim;
    prepare(*config);
    // Steps of a length that has no factor in common with their number reach every block once.
    const std::uint64_t blocks = std::uint64_t{gridDim.x} * gridDim.y * gridDim.z;
    std::uint64_t block = draw(blocks), step = 1 + draw(blocks);
    while (std::gcd(step, blocks) != 1) step = 1 + draw(blocks);
    for (std::uint64_t i = 0; i < blocks; ++i, block = (block + step) % blocks) {
        const std::uint64_t plane = block / gridDim.x;
        blockIdx = {static_cast<unsigned>(block % gridDim.x),
                    static_cast<unsigned>(plane % gridDim.y),
                    static_cast<unsigned>(plane / gridDim.y)};
        run_block();
    }
    return cudaSuccess;
}

}  // namespace emulated

using namespace emulated;

void emulated_seed(unsigned seed) { random_state = seed; }
long emulated_launches() { return launches; }
long emulated_fail_after(long n) { return std::exchange(launches_to_failure, n); }
int emulated_set(const char* name, int value) {
    const auto found = settings.find(name);
    return found == settings.end() ? -1 : std::exchange(found->second, value);
}

const char* cudaGetErrorName(cudaError_t error) { return known(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return known(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    if (device != 0) return keep(cudaErrorInvalidDevice);
    const int shared_limit = settings["shared"], most = static_cast<int>(shared_default);
    const std::map<cudaDeviceAttr, int> values = {
        {cudaDevAttrMaxThreadsPerBlock, settings["threads"]},
        {cudaDevAttrMaxSharedMemoryPerBlock, std::min(most, shared_limit)},
        {cudaDevAttrMultiProcessorCount, settings["processors"]},
        {cudaDevAttrComputeCapabilityMajor, 9},
        {cudaDevAttrComputeCapabilityMinor, 0},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, shared_limit}};
    const auto found = values.find(attribute);
    if (found == values.end()) return keep(cudaErrorInvalidValue);
    return *value = found->second, cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) {
    return keep(device ? cudaErrorInvalidDevice : cudaSuccess);
}
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
    return memset(to, value, bytes), cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
    return memmove(to, from, bytes), cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
