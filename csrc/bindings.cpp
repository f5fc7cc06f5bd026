// Python's view of csrc/cpu: take NumPy arrays apart, release the GIL, call.
//
// The Python layer has checked every argument; what is checked here is what would otherwise be
// undefined behaviour.

#include <omp.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "cpu/bits.hpp"
#include "cpu/codes.hpp"
#include "cpu/conditional.hpp"
#include "cpu/kernels.hpp"
#include "cpu/local.hpp"
#include "cpu/measure.hpp"
#include "cpu/order.hpp"
#include "cpu/pairs.hpp"
#include "cpu/recent.hpp"
#include "cpu/region.hpp"
#include "cpu/scan.hpp"
#include "cpu/transitions.hpp"
#include "cpu/windows.hpp"

#if !defined(_WIN32)
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace py = pybind11;

namespace {

using tefast::Array3;
using tefast::DType;
using tefast::Edges;

// A process is never a copy of another where there is no fork.
#if defined(_WIN32)
bool forked() { return false; }
#else
const pid_t importing_process = getpid();
bool forked() { return getpid() != importing_process; }
#endif
unsigned long main_thread = 0;  // as Python names it

// What is read: copied where it is not contiguous and aligned.
template <class T>
using Dense = py::array_t<T, py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

// What is written where it lies.
template <class T>
using InPlace = py::array_t<T, py::array::c_style>;

// Time without the GIL. The thread that runs Python's signal handlers looks for signals meanwhile,
// and ends the call where a handler raises.
class Released : public tefast::Caller {
  public:
    // ends: whether the call may be left half done.
    explicit Released(bool ends = true) : ends_(ends), state_(PyEval_SaveThread()) {}
    ~Released() override { PyEval_RestoreThread(state_); }

  private:
    bool wants_no_more() override {
        // After a fork another thread may be the main one.
        if (!ends_ || (PyThread_get_thread_ident() != main_thread && getpid() == importing_process))
            return false;
        PyEval_RestoreThread(state_);
        const bool raised = PyErr_CheckSignals() != 0;
        state_ = PyEval_SaveThread();
        return raised;
    }

    bool ends_;
    PyThreadState* state_;
};

// The product of counts, if it is no more than 2**62.
std::int64_t product(std::initializer_list<std::int64_t> counts) {
    std::int64_t all = 1;
    for (const std::int64_t count : counts) {
        if (count < 0 || (count > 0 && all > (std::int64_t{1} << 62) / count))
            throw std::invalid_argument("sizes are negative, or too large together");
        all *= count;
    }
    return all;
}

// Where results are written in place.
template <class T>
T* written(InPlace<T>& array) {
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0)
        throw std::invalid_argument("what is written to must be aligned");
    return array.mutable_data();
}

Array3 array3(const py::array& array, const std::string& dtype, bool mapped = false) {
    static const std::map<std::string, std::pair<DType, int>> known = {
        {"float16", {DType::f16, 2}}, {"bfloat16", {DType::bf16, 2}}, {"float32", {DType::f32, 4}},
        {"float64", {DType::f64, 8}}, {"int8", {DType::i8, 1}},       {"int16", {DType::i16, 2}},
        {"int32", {DType::i32, 4}},   {"int64", {DType::i64, 8}},     {"uint8", {DType::u8, 1}},
        {"uint16", {DType::u16, 2}},  {"uint32", {DType::u32, 4}},    {"uint64", {DType::u64, 8}},
    };
    const auto found = known.find(dtype);
    if (found == known.end()) throw std::invalid_argument("unknown dtype " + dtype);
    const auto [kind, size] = found->second;
    if (array.ndim() != 3) throw std::invalid_argument("expected an array of rank 3");
    if (array.size() == 0) throw std::invalid_argument("expected an array that is not empty");
    // bfloat16 comes as its bits.
    const char expected = kind == DType::bf16 ? 'u' : dtype[0];
    const py::dtype given = array.dtype();
    if (array.itemsize() != size || given.kind() != expected)
        throw std::invalid_argument("the array does not hold " + dtype);
    if (!given.attr("isnative").cast<bool>())  // some say '<' where others say '='
        throw std::invalid_argument("the array is not in the machine's byte order");
    Array3 out{static_cast<const char*>(array.data()), kind, {}, {}, mapped};
    for (int axis = 0; axis < 3; ++axis) {
        out.shape[axis] = array.shape(axis);
        out.stride[axis] = array.strides(axis);
    }
    // NumPy gives an axis of length 1 any stride; the one of a dense array is the fastest to read.
    if (out.shape[2] == 1) out.stride[2] = size;
    if (out.shape[1] == 1) out.stride[1] = out.stride[0];
    if (out.shape[0] == 1) out.stride[0] = out.shape[1] * out.stride[1];
    return out;
}

// One side of a call, target or source. It keeps the arrays that it points into, and Python keeps
// it until the call has returned, so that they outlast the time without the GIL. What the arrays
// are is looked at in each call, since the caller may have changed them after the last one.
class Input {
  public:
    // inner: edges, or none: of symbols, and of what is only scanned.
    Input(py::array values, const std::string& dtype, bool mapped,
          std::optional<Dense<double>> inner, int bins, std::optional<Dense<std::int64_t>> lengths)
        : kept_(std::move(values)),
          dtype_(dtype),
          mapped_(mapped),
          inner_(std::move(inner)),
          lengths_(std::move(lengths)),
          bins_(bins) {
        if (bins < 1) throw std::invalid_argument("bins must be positive");
        array3(kept_, dtype_, mapped_);
    }

    Array3 values() const { return array3(kept_, dtype_, mapped_); }
    std::int64_t units() const { return kept_.ndim() == 3 ? kept_.shape(2) : 0; }
    int bins() const { return bins_; }
    Edges edges() const;
    const std::int64_t* lengths() const;

  private:
    py::array kept_;
    std::string dtype_;
    bool mapped_;
    std::optional<Dense<double>> inner_;
    std::optional<Dense<std::int64_t>> lengths_;
    int bins_;
};

constexpr int most_bins = 256;        // codes are bytes
constexpr int most_states = 1 << 15;  // states are 16-bit numbers

Edges Input::edges() const {
    if (tefast::holds_symbols(values().dtype) == inner_.has_value())
        throw std::invalid_argument("floats need edges, symbols none");
    if (bins_ > most_bins) throw std::invalid_argument("codes are for up to 256 bins");
    if (!inner_) return {nullptr, 0, bins_};
    if (bins_ < 2) throw std::invalid_argument("edges are for two bins or more");
    const py::ssize_t rows = inner_->ndim() == 2 ? inner_->shape(0) : 0;
    if ((rows != 1 && rows != units()) || inner_->shape(1) != bins_ - 1)
        throw std::invalid_argument("edges must have shape (U or 1, bins - 1)");
    return {inner_->data(), rows == 1 ? 0 : bins_ - 1, bins_};
}

const std::int64_t* Input::lengths() const {
    if (!lengths_) return nullptr;
    if (lengths_->ndim() != 1 || lengths_->shape(0) != kept_.shape(0))
        throw std::invalid_argument("lengths must have shape (N,)");
    for (py::ssize_t n = 0; n < lengths_->shape(0); ++n) {
        if (lengths_->at(n) < 0 || lengths_->at(n) > kept_.shape(1))
            throw std::invalid_argument("lengths must lie in 0 .. T");
    }
    return lengths_->data();
}

// Of `wanted` threads those that the system starts, this one included.
int startable(int wanted) {
    std::mutex mutex;
    std::condition_variable over;
    bool ended = false;
    std::vector<std::thread> started;
    try {
        started.reserve(static_cast<std::size_t>(wanted));
        while (static_cast<int>(started.size()) + 1 < wanted) {
            started.emplace_back([&] {
                std::unique_lock<std::mutex> lock(mutex);
                over.wait(lock, [&] { return ended; });
            });
        }
    } catch (const std::system_error&) {  // as many as there are
    } catch (const std::bad_alloc&) {
    }
    {
        const std::lock_guard<std::mutex> lock(mutex);
        ended = true;
    }
    over.notify_all();
    for (std::thread& thread : started) thread.join();
    return static_cast<int>(started.size()) + 1;
}

// GNU's OpenMP ends the process where it can't start a thread. So it is tried before: where this
// thread has not had so many yet, and always where the room for their stacks is limited.
int affordable(int wanted) {
    static thread_local int had = 1;
    bool limited = false;
#if !defined(_WIN32)
    rlimit room{};
    limited = getrlimit(RLIMIT_AS, &room) == 0 && room.rlim_cur != RLIM_INFINITY;
#endif
    if (wanted <= 1 || (wanted <= had && !limited)) return wanted;
    const int found = startable(wanted);
    had = std::max(had, found);
    return found;
}

constexpr int most_threads = 4096;
// Values below which starting another thread costs more than it saves.
constexpr double worth_a_thread = 32768;

// The number of threads asked for, or as many as work on so many values is worth.
int threads_of(int threads, double values) {
    // GNU's OpenMP waits forever for the threads of a parent that a forked child does not have, so
    // such a child (a worker of a data loader, say) counts with one.
    if (forked()) return 1;
    if (threads > 0) return affordable(std::min(threads, most_threads));
    const double most = omp_get_max_threads();
    return affordable(static_cast<int>(std::min(values / worth_a_thread + 1, most)));
}

// The same for work on all values of an array, done so many times.
int threads_of(int threads, const Array3& work, std::int64_t times = 1) {
    const auto [N, T, U] = work.shape;
    return threads_of(threads, static_cast<double>(N) * static_cast<double>(T) *
                                   static_cast<double>(U) * static_cast<double>(times));
}

py::dict scan(const Input& input, int threads) {
    const Array3 values = input.values();
    const std::int64_t* lengths = input.lengths();
    Dense<double> low(input.units()), high(input.units());
    double *low_data = low.mutable_data(), *high_data = high.mutable_data();
    tefast::ScanResult found;
    {
        Released release;
        found = tefast::scan(values, lengths, input.bins(), low_data, high_data,
                             threads_of(threads, values));
    }
    return py::dict(py::arg("nan") = found.nan, py::arg("infinite") = found.infinite,
                    py::arg("outside") = found.outside, py::arg("first_nan") = found.first_nan,
                    py::arg("first_bad") = found.first_bad, py::arg("low") = low,
                    py::arg("high") = high);
}

Array3 floats_of(const Input& input) {
    const Array3 values = input.values();
    if (tefast::holds_symbols(values.dtype)) throw std::invalid_argument("symbols have no ranks");
    product({values.shape[0], values.shape[1], 1024});  // bytes of a few copied units
    return values;
}

// Values (U, 3, K) at and beside the ranks of the shares (K,), and how many each unit has.
py::tuple find_ranks(const Input& input, const Dense<double>& shares, int threads) {
    const Array3 values = floats_of(input);
    const std::int64_t* lengths = input.lengths();
    if (shares.ndim() != 1) throw std::invalid_argument("shares must have shape (K,)");
    for (py::ssize_t k = 0; k < shares.shape(0); ++k) {
        if (!(shares.at(k) >= 0 && shares.at(k) <= 1))
            throw std::invalid_argument("shares must lie in 0 .. 1");
    }
    const std::int64_t many = shares.shape(0);
    product({input.units(), 3, many, std::int64_t{sizeof(double)}});
    Dense<double> found({input.units(), std::int64_t{3}, many});
    Dense<std::int64_t> sizes(input.units());
    double* found_data = found.mutable_data();
    std::int64_t* sizes_data = sizes.mutable_data();
    {
        Released release;
        tefast::find_ranks(values, lengths, shares.data(), static_cast<std::size_t>(many),
                           found_data, sizes_data, threads_of(threads, values));
    }
    return py::make_tuple(found, sizes);
}

// The values (K, N * T) of some units (K,), each row rising, NaN at its end.
Dense<double> sort_units(const Input& input, const Dense<std::int64_t>& units, int threads) {
    const Array3 values = floats_of(input);
    const std::int64_t* lengths = input.lengths();
    if (units.ndim() != 1) throw std::invalid_argument("units must have shape (K,)");
    for (py::ssize_t k = 0; k < units.shape(0); ++k) {
        if (units.at(k) < 0 || units.at(k) >= values.shape[2])
            throw std::invalid_argument("there are no such units");
    }
    const std::int64_t many = units.shape(0), rows = product({values.shape[0], values.shape[1]});
    product({many, rows, std::int64_t{sizeof(double)}});
    Dense<double> ordered({many, rows});
    if (!many) return ordered;
    double* out = ordered.mutable_data();
    Released release;
    Array3 work = values;  // as much as there is to do
    work.shape[2] = many;
    tefast::sort_units(values, lengths, units.data(), many, out, threads_of(threads, work));
    return ordered;
}

Dense<std::int16_t> encode(const Input& input, int threads) {
    const Array3 values = input.values();
    const Edges edges = input.edges();
    const std::int64_t* lengths = input.lengths();
    Dense<std::int16_t> codes({values.shape[0], values.shape[1], values.shape[2]});
    std::int16_t* out = codes.mutable_data();
    Released release;
    tefast::encode(values, edges, lengths, out, threads_of(threads, values));
    return codes;
}

void count_values(const Input& input, InPlace<std::int64_t> counts, int threads) {
    const Array3 values = input.values();
    const Edges edges = input.edges();
    const std::int64_t* lengths = input.lengths();
    if (counts.size() != product({input.units(), input.bins()}))
        throw std::invalid_argument("counts must have shape (U, bins)");
    std::int64_t* out = written(counts);
    Released release;
    tefast::count_values(values, edges, lengths, out, threads_of(threads, values));
}

void check_states(const Dense<std::int16_t>& source, std::int64_t states) {
    if (states < 1 || states > most_states)
        throw std::invalid_argument("states must lie in 1 .. 32768");
    const std::int16_t* const end = source.data() + source.size();
    const auto [least, most] = std::minmax_element(source.data(), end);
    if (least != end && (*least < tefast::missing || *most >= states))
        throw std::invalid_argument("source holds a state outside -1 .. states - 1");
}

// Checked arguments of a count of transitions; what it refers to must outlive it.
tefast::Transitions transitions_of(const Input& target, const Dense<std::int16_t>& source,
                                   std::int64_t states, bool omit) {
    const Array3 values = target.values();
    if (source.size() != values.shape[0] * values.shape[1])
        throw std::invalid_argument("source must have shape (N, T)");
    check_states(source, states);
    return {values, target.edges(), target.lengths(), source.data(), states, omit, {}};
}

void count_transitions(const Input& target, const Dense<std::int16_t>& source,
                       InPlace<std::int64_t> counts, int threads) {
    const std::int64_t bins = target.bins(), states = counts.ndim() == 4 ? counts.shape(3) : 0;
    if (counts.ndim() != 4 || counts.size() != product({target.units(), bins, bins, states}))
        throw std::invalid_argument("counts must have shape (U, bins, bins, states)");
    const auto work = transitions_of(target, source, states, true);
    std::int64_t* out = written(counts);
    // What adds to a table of more cells than there are values is short, and is to be added whole.
    const Array3& values = work.target;
    Released release(values.shape[0] * values.shape[1] * values.shape[2] >= counts.size());
    tefast::count_transitions(work, out, threads_of(threads, work.target));
}

std::int64_t recent_size(std::int64_t units, std::int64_t bins, std::int64_t states) {
    if (units < 1 || bins < 1 || bins > 256 || states < 1 || states > most_states)
        throw std::invalid_argument("units, bins and states must be positive, and not too many");
    product({units + tefast::lanes, bins, bins, states, std::int64_t{sizeof(std::uint16_t)}});
    return tefast::recent_size(units, static_cast<int>(bins), states);
}

// Tables of `count_recent`, all of them.
std::uint16_t* recent_tables(InPlace<std::uint16_t>& recent, std::int64_t units, int bins,
                             std::int64_t states) {
    if (recent.ndim() != 1 || recent.size() != recent_size(units, bins, states))
        throw std::invalid_argument("recent must have shape (recent_size(),)");
    return written(recent);
}

bool count_recent(const Input& target, const Dense<std::int16_t>& source, std::int64_t states,
                  bool omit, InPlace<std::uint16_t> recent, int threads) {
    const auto work = transitions_of(target, source, states, omit);
    std::uint16_t* const tables = recent_tables(recent, target.units(), target.bins(), states);
    if (work.target.shape[0] * work.target.shape[1] > 65535)
        throw std::invalid_argument("a counter takes no more than 65,535 rows");
    Released release;
    return tefast::count_recent(work, tables, threads_of(threads, work.target));
}

void move_recent(InPlace<std::uint16_t> recent, InPlace<std::int64_t> counts, int threads) {
    if (counts.ndim() != 4 || counts.shape(1) != counts.shape(2) || counts.shape(1) > 256)
        throw std::invalid_argument("counts must have shape (U, bins, bins, states)");
    const std::int64_t units = counts.shape(0), states = counts.shape(3);
    const int bins = static_cast<int>(counts.shape(1));
    std::uint16_t* const tables = recent_tables(recent, units, bins, states);
    std::int64_t* const out = written(counts);
    const Array3 work{nullptr, DType::i64, {units, counts.shape(1) * bins, states}, {}};
    Released release(false);
    tefast::move_recent(tables, units, bins, states, out, threads_of(threads, work));
}

py::tuple transfer_entropy(const Input& target, const Dense<std::int16_t>& source,
                           std::int64_t states, bool omit, int threads) {
    const auto work = transitions_of(target, source, states, omit);
    Dense<double> nats(target.units());
    double* out = nats.mutable_data();
    bool clean;
    {
        Released release;
        clean = tefast::transfer_entropy(work, out, threads_of(threads, work.target));
    }
    return py::make_tuple(nats, clean);
}

// No source (.., steps) may have a state in its first `early` steps.
void check_begin(const Dense<std::int16_t>& sources, std::int64_t steps, std::int64_t early) {
    for (py::ssize_t row = 0; row < sources.size(); row += steps) {
        const std::int16_t* const source = sources.data() + row;
        if (std::any_of(source, source + std::min(early, steps),
                        [](std::int16_t state) { return state >= 0; }))
            throw std::invalid_argument("a source has a state before there is a past");
    }
}

// Rows back from a transition's first that make its past; none: that row alone. Sources must have
// no state where the past would begin before its sequence.
tefast::Past past_of(const std::vector<std::int64_t>& back, bool with_next, int bins,
                     const Dense<std::int16_t>& sources, std::int64_t steps) {
    if (back.empty()) return {nullptr, 0, with_next};
    if (*std::min_element(back.begin(), back.end()) < 0)
        throw std::invalid_argument("rows back must not be negative");
    std::int64_t states = 1;
    for (std::size_t k = 0; k < back.size(); ++k) {
        states *= bins;
        if (states * (with_next ? bins : 1) > 65536)
            throw std::invalid_argument("a table has more than 65,536 cells");
    }
    check_begin(sources, steps, *std::max_element(back.begin(), back.end()));
    return {back.data(), static_cast<int>(back.size()), with_next};
}

tefast::Told told_of(const std::string& name) {
    if (name == "by_source") return tefast::Told::by_source;
    if (name == "by_past") return tefast::Told::by_past;
    if (name == "by_nothing") return tefast::Told::by_nothing;
    throw std::invalid_argument("told must be 'by_source', 'by_past' or 'by_nothing'");
}

py::tuple transfer_entropies(const Input& target, const Dense<std::int16_t>& sources,
                             std::int64_t states, bool omit, int threads,
                             const std::vector<std::int64_t>& back, bool with_next,
                             const std::string& told, std::int64_t inner) {
    const Array3 values = target.values();
    if (sources.ndim() != 3 || sources.shape(1) != values.shape[0] ||
        sources.shape(2) != values.shape[1])
        throw std::invalid_argument("sources must have shape (S, N, T)");
    check_states(sources, states);
    if (inner < 0 || (inner && states % inner))
        throw std::invalid_argument("inner must divide the states, or be 0");
    if (told != "by_source" && states != 1)
        throw std::invalid_argument("only 'by_source' has states of a source");
    const tefast::Transitions work{
        values,
        target.edges(),
        target.lengths(),
        nullptr,
        states,
        omit,
        past_of(back, with_next, target.bins(), sources, sources.shape(2)),
        told_of(told),
        inner};
    const std::int64_t S = sources.shape(0);
    Dense<double> nats({S, target.units()});
    double* out = nats.mutable_data();
    const std::int16_t* in = sources.data();
    bool clean;
    {
        Released release;
        clean = tefast::transfer_entropies(work, in, S, out, threads_of(threads, values, S));
    }
    return py::make_tuple(nats, clean);
}

// An array that begins with a cache line, so that rows of whole lines are written line by line.
py::array_t<double> aligned(const std::vector<py::ssize_t>& shape) {
    constexpr py::ssize_t line = 64 / sizeof(double);
    py::ssize_t size = line;
    for (const py::ssize_t each : shape) size = product({size / line, each}) * line;
    Dense<double> whole(size + line);
    auto* const at = reinterpret_cast<char*>(whole.mutable_data());
    const auto past = reinterpret_cast<std::uintptr_t>(at) % 64;
    return py::array_t<double>(shape, reinterpret_cast<double*>(at + (past ? 64 - past : 0)),
                               whole);
}

py::tuple local_values(const Input& target, const Dense<std::int16_t>& source, std::int64_t states,
                       std::int64_t first, const std::array<double, 3>& unit, bool omit,
                       int threads, const std::vector<std::int64_t>& back) {
    auto work = transitions_of(target, source, states, omit);
    const auto [N, T, U] = work.target.shape;
    if (first < 0 || first > T - 2) throw std::invalid_argument("first must lie in 0 .. T - 2");
    if (product({N, T}) >= std::int64_t{1} << 32)
        throw std::invalid_argument("local values are for fewer than 2**32 steps");
    work.past = past_of(back, true, target.bins(), source, T);
    check_begin(source, T, first);
    auto values = aligned({N, T - first - 1, U});
    double* out = values.mutable_data();
    tefast::LocalResult found;
    {
        Released release;
        found = tefast::local_values(work, first, {unit[0], unit[1], unit[2]}, out,
                                     threads_of(threads, work.target));
    }
    return py::make_tuple(values, found.counted, found.clean);
}

Dense<double> score_counts(const Dense<std::int64_t>& counts, int threads) {
    if (counts.ndim() != 4 || counts.shape(1) != counts.shape(2))
        throw std::invalid_argument("counts must have shape (U, bins, bins, states)");
    const Array3 work{nullptr,
                      DType::i64,
                      {counts.shape(0), counts.shape(1) * counts.shape(2), counts.shape(3)},
                      {}};
    Dense<double> nats(counts.shape(0));
    double* out = nats.mutable_data();
    if (counts.size() == 0) {
        std::fill_n(out, nats.size(), std::numeric_limits<double>::quiet_NaN());
        return nats;
    }
    const std::int64_t* table = counts.data();
    const int bins = static_cast<int>(counts.shape(1));
    Released release;
    tefast::score_counts({table, work.shape[0], bins, bins, work.shape[2]}, out,
                         threads_of(threads, work));
    return nats;
}

// Windows of codes, and the arrays that hold them, as `Input` keeps those of a side.
struct Windows {
    Dense<std::int16_t> codes;
    int bins;
    std::vector<std::int64_t> back;
    Dense<std::int64_t> shared;
    std::int64_t states;
};

// Checked in each call, since the caller may have written to the arrays after the last one.
tefast::Windows checked(const Windows& windows) {
    const auto& [codes, bins, back, shared, states] = windows;
    if (codes.ndim() != 3) throw std::invalid_argument("codes must have shape (N, T, U)");
    const int length = static_cast<int>(back.size());
    if (shared.size() != codes.shape(0) * codes.shape(1))
        throw std::invalid_argument("shared must have shape (N, T)");
    if (bins < 1 || length < 1 || states < 1)
        throw std::invalid_argument("bins, the steps back and states must be positive in number");
    if (*std::min_element(back.begin(), back.end()) < 0)
        throw std::invalid_argument("steps back must not be negative");
    const auto outside = [](auto array, std::int64_t most) {
        return std::any_of(array.data(), array.data() + array.size(),
                           [most](auto value) { return value >= most; });
    };
    if (outside(codes, bins) || outside(shared, states))
        throw std::invalid_argument("a code or state is not below their number");
    return {codes.data(), {codes.shape(0), codes.shape(1), codes.shape(2)},
            bins,         back.data(),
            length,       shared.data(),
            states};
}

void count_windows(const Windows& windows, InPlace<std::int64_t> counts, int threads) {
    const tefast::Windows work = checked(windows);
    // Divided, not multiplied: the product could be beyond 64 bits.
    std::int64_t left = counts.size();
    int divided = 0;
    for (; divided < work.length && left % work.bins == 0; ++divided) left /= work.bins;
    if (divided < work.length || left != product({work.shape[2], work.states}))
        throw std::invalid_argument("counts must have shape (U, bins**len(back), states)");
    std::int64_t* out = written(counts);
    if (counts.size() == 0) return;
    const Array3 size{nullptr, DType::i16, {work.shape[0], work.shape[1], work.shape[2]}, {}};
    Released release;
    tefast::count_windows(work, out, threads_of(threads, size));
}

void check_orders(const Dense<std::uint32_t>& orders) {
    std::vector<char> met(static_cast<std::size_t>(orders.shape(1)));
    for (py::ssize_t s = 0; s < orders.shape(0); ++s) {
        std::fill(met.begin(), met.end(), char{0});
        for (py::ssize_t k = 0; k < orders.shape(1); ++k) {
            const std::uint32_t at = orders.data()[s * orders.shape(1) + k];
            if (at >= met.size() || met[at])
                throw std::invalid_argument("an order is no permutation of 0 .. M - 1");
            met[at] = 1;
        }
    }
}

Dense<double> conditional_surrogates(const Dense<std::int64_t>& own, std::int64_t nexts,
                                     const Dense<std::int64_t>& source,
                                     const Dense<std::uint32_t>& orders, int threads) {
    if (own.ndim() != 2 || source.ndim() != 1 || orders.ndim() != 2 ||
        source.shape(0) != own.shape(0) || orders.shape(1) != own.shape(0))
        throw std::invalid_argument("own must have shape (M, U), source (M,) and orders (S, M)");
    if (own.shape(0) >= std::int64_t{1} << 32)
        throw std::invalid_argument("conditional surrogates are for fewer than 2**32 transitions");
    if (nexts < 1) throw std::invalid_argument("nexts must be positive");
    if (std::any_of(source.data(), source.data() + source.size(), [](auto s) { return s < 0; }))
        throw std::invalid_argument("source holds a state below 0");
    const tefast::Conditional work{own.data(),    {own.shape(0), own.shape(1)},
                                   nexts,         source.data(),
                                   orders.data(), orders.shape(0)};
    Dense<double> nats({work.surrogates, work.shape[1]});
    double* out = nats.mutable_data();
    const Array3 size{nullptr, DType::i64, {1, work.shape[0], work.shape[1]}, {}};
    Released release;
    check_orders(orders);
    tefast::conditional_surrogates(work, out, threads_of(threads, size, work.surrogates));
    return nats;
}

// Series on one side of pairs: rows (U, states - 1, words) and any (U or 1, words).
struct PairSide {
    Dense<std::uint64_t> rows, any;
};

tefast::PairSide checked(const PairSide& side, py::ssize_t words) {
    const auto& [rows, any] = side;
    if (rows.ndim() != 3 || any.ndim() != 2 || rows.shape(2) != words || any.shape(1) != words ||
        (any.shape(0) != 1 && any.shape(0) != rows.shape(0)) || words % 8 != 0 || words == 0)
        throw std::invalid_argument(
            "rows must have shape (U, states - 1, words), any (U or 1, words), words a positive "
            "multiple of 8");
    return {{rows.data(), rows.shape(0) * rows.shape(1), words},
            {any.data(), any.shape(0), words},
            rows.shape(0),
            rows.shape(1) + 1};
}

tefast::Pairs pairs_of(const PairSide& targets, const PairSide& sources, std::int64_t nexts) {
    const py::ssize_t words = targets.any.ndim() == 2 ? targets.any.shape(1) : 0;
    const tefast::Pairs work{checked(targets, words), checked(sources, words), words, nexts};
    if (nexts < 1 || work.targets.states % nexts != 0)
        throw std::invalid_argument("a target's states must be a multiple of nexts");
    product({work.targets.states, work.sources.states, 8});
    return work;
}

// As many threads as so many products of a word are worth.
int threads_of(int threads, const tefast::Pairs& work) {
    return threads_of(threads, static_cast<double>(work.targets.rows.count) *
                                   static_cast<double>(work.sources.rows.count) *
                                   static_cast<double>(work.words) / 8);
}

py::tuple pack_windows(const Dense<std::int16_t>& codes, int bins,
                       const std::vector<std::int64_t>& back, int threads) {
    if (codes.ndim() != 3) throw std::invalid_argument("codes must have shape (N, T, U)");
    if (bins < 1 || back.empty() || *std::min_element(back.begin(), back.end()) < 0)
        throw std::invalid_argument("bins must be positive, and steps back not negative");
    const std::int16_t* const end = codes.data() + codes.size();
    if (std::any_of(codes.data(), end, [bins](std::int16_t code) { return code >= bins; }))
        throw std::invalid_argument("a code is not below their number");
    const tefast::SeriesWindows work{codes.data(),
                                     {codes.shape(0), codes.shape(1), codes.shape(2)},
                                     bins,
                                     back.data(),
                                     static_cast<int>(back.size())};
    const std::int64_t words = tefast::words_of(work.shape[0] * work.shape[1]);
    std::int64_t states = 1;
    for (std::size_t k = 0; k < back.size(); ++k) states = product({states, bins});
    Dense<std::uint64_t> rows({work.shape[2], states - 1, words}), any({work.shape[2], words});
    std::uint64_t *const of_states = rows.mutable_data(), *const of_any = any.mutable_data();
    {
        const Array3 size{nullptr, DType::i16, {work.shape[0], work.shape[1], work.shape[2]}, {}};
        Released release;
        tefast::pack_windows(work, words, of_states, of_any, threads_of(threads, size));
    }
    return py::make_tuple(rows, any);
}

Dense<std::uint64_t> move_bits(const Dense<std::uint64_t>& rows, std::int64_t steps,
                               const Dense<std::uint64_t>& kept, int threads) {
    if (kept.ndim() != 1 || kept.size() == 0 || rows.size() % kept.size() != 0 || steps < 0)
        throw std::invalid_argument("rows must have shape (..., words), kept (words,)");
    Dense<std::uint64_t> moved(std::vector<py::ssize_t>(rows.shape(), rows.shape() + rows.ndim()));
    const std::int64_t words = kept.size(), count = rows.size() / words;
    std::uint64_t* out = moved.mutable_data();
    const std::uint64_t *in = rows.data(), *mask = kept.data();
    const Array3 size{nullptr, DType::u64, {1, count, words}, {}};
    Released release;
    tefast::move_bits(in, count, words, steps, mask, out, threads_of(threads, size));
    return moved;
}

void score_pairs(const PairSide& targets, const std::vector<PairSide>& sources, std::int64_t nexts,
                 InPlace<double> nats, int threads) {
    std::vector<tefast::Pairs> jobs;
    for (const PairSide& each : sources) jobs.push_back(pairs_of(targets, each, nexts));
    if (jobs.empty()) throw std::invalid_argument("expected sources");
    const tefast::PairSide& first = jobs[0].sources;
    for (const tefast::Pairs& job : jobs) {
        if (job.sources.units != first.units || job.sources.states != first.states)
            throw std::invalid_argument("all sources must be as many, of as many states");
    }
    if (nats.ndim() != 3 || nats.shape(0) != static_cast<py::ssize_t>(jobs.size()) ||
        nats.shape(1) != first.units || nats.shape(2) != jobs[0].targets.units)
        throw std::invalid_argument("nats must have shape (number of sources' sets, S, U)");
    double* out = written(nats);
    Released release;
    tefast::score_pairs(jobs, out, threads_of(threads, jobs[0]));
}

Dense<std::int64_t> count_pairs(const PairSide& targets, const PairSide& sources,
                                std::int64_t nexts, int threads) {
    const tefast::Pairs work = pairs_of(targets, sources, nexts);
    Dense<std::int64_t> counts({work.sources.units, work.targets.units, work.targets.states / nexts,
                                nexts, work.sources.states});
    std::int64_t* out = counts.mutable_data();
    Released release;
    tefast::count_pairs(work, out, threads_of(threads, work));
    return counts;
}

bool all_guessed(const Dense<double>& inner, const std::string& dtype, py::ssize_t units) {
    if (inner.ndim() != 2 || inner.shape(1) < 1 || inner.shape(1) >= most_bins || units < 1 ||
        (inner.shape(0) != 1 && inner.shape(0) != units))
        throw std::invalid_argument("edges must have shape (U or 1, bins - 1)");
    const Edges edges{inner.data(), inner.shape(0) == 1 ? 0 : inner.shape(1),
                      static_cast<int>(inner.shape(1)) + 1};
    return tefast::CutsFor(edges, dtype == "float64" ? DType::f64 : DType::f32, units)
        .all_guessed();
}

py::dict build_info() {
    return py::dict(py::arg("version") = TEFAST_VERSION, py::arg("openmp") = _OPENMP,
                    py::arg("max_threads") = omp_get_max_threads(),
                    py::arg("compiler") = __VERSION__, py::arg("cuda") = TEFAST_CUDA_VERSION,
                    py::arg("cuda_architectures") = TEFAST_CUDA_ARCHITECTURES,
                    py::arg("instruction_sets") = tefast::level_names(true),
                    py::arg("instruction_set") = tefast::kernels().name);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
    main_thread =
        py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
    py::register_exception_translator([](std::exception_ptr error) {
        try {
            std::rethrow_exception(error);
        } catch (const tefast::Stopped&) {  // what the signal's handler raised is set already
        }
    });
    py::class_<Input>(m, "Input")
        .def(py::init<py::array, const std::string&, bool, std::optional<Dense<double>>, int,
                      std::optional<Dense<std::int64_t>>>());
    py::class_<Windows>(m, "Windows")
        .def(py::init<Dense<std::int16_t>, int, std::vector<std::int64_t>, Dense<std::int64_t>,
                      std::int64_t>());
    py::class_<PairSide>(m, "PairSide").def(py::init<Dense<std::uint64_t>, Dense<std::uint64_t>>());
    m.def("scan", &scan);
    m.def("find_ranks", &find_ranks);
    m.def("sort_units", &sort_units);
    m.def("encode", &encode);
    // Counts are written in place, so an array of another type must not be converted to a copy.
    const auto counts = py::arg("counts").noconvert();
    m.def("count_values", &count_values, py::arg("input"), counts, py::arg("threads"));
    m.def("count_transitions", &count_transitions, py::arg("target"), py::arg("source"), counts,
          py::arg("threads"));
    m.def("recent_size", &recent_size);
    m.def("count_recent", &count_recent, py::arg("target"), py::arg("source"), py::arg("states"),
          py::arg("omit"), py::arg("recent").noconvert(), py::arg("threads"));
    m.def("move_recent", &move_recent, py::arg("recent").noconvert(), counts, py::arg("threads"));
    m.def("transfer_entropy", &transfer_entropy);
    m.def("transfer_entropies", &transfer_entropies, py::arg("target"), py::arg("sources"),
          py::arg("states"), py::arg("omit"), py::arg("threads"),
          py::arg("back") = std::vector<std::int64_t>(), py::arg("with_next") = true,
          py::arg("told") = "by_source", py::arg("inner") = 0);
    m.def("local_values", &local_values);
    m.def("score_counts", &score_counts);
    m.def("count_windows", &count_windows, py::arg("windows"), counts, py::arg("threads"));
    m.def("conditional_surrogates", &conditional_surrogates);
    m.def("pack_windows", &pack_windows);
    m.def("move_bits", &move_bits);
    m.def("score_pairs", &score_pairs, py::arg("targets"), py::arg("sources"), py::arg("nexts"),
          py::arg("nats").noconvert(), py::arg("threads"));
    m.def("count_pairs", &count_pairs);
    // What tests look at and turn.
    m.def("all_guessed", &all_guessed);
    m.def("use_level", &tefast::use_level);
    using tefast::Limits;
    py::class_<Limits>(m, "Limits")
        .def(py::init<>())
        .def_readwrite("chunk_bytes", &Limits::chunk_bytes)
        .def_readwrite("least_rows", &Limits::least_rows)
        .def_readwrite("resident_bytes", &Limits::resident_bytes)
        .def_readwrite("table_bytes", &Limits::table_bytes)
        .def_readwrite("apart_bytes", &Limits::apart_bytes)
        .def_readwrite("window_rows", &Limits::window_rows)
        .def_readwrite("kept_bytes", &Limits::kept_bytes)
        .def_readwrite("schedule_bytes", &Limits::schedule_bytes);
    m.def("use_limits", &tefast::use_limits);
    m.def("build_info", &build_info);
}
