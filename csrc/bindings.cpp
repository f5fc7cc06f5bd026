// Python's view of csrc/cpu: take NumPy arrays apart, release the GIL, call.
//
// The Python layer has checked every argument; what is checked here is what would otherwise be
// undefined behaviour.

#include <omp.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/codes.hpp"
#include "cpu/conditional.hpp"
#include "cpu/kernels.hpp"
#include "cpu/measure.hpp"
#include "cpu/scan.hpp"
#include "cpu/transitions.hpp"
#include "cpu/windows.hpp"

namespace py = pybind11;

namespace {

using tefast::Array3;
using tefast::DType;
using tefast::Edges;
const pid_t importing_process = getpid();

template <class T>
using Dense = py::array_t<T, py::array::c_style>;

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
    if (array.itemsize() != size) throw std::invalid_argument("item size does not fit " + dtype);
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

Edges edges_of(const std::optional<Dense<double>>& inner, int bins, const Array3& values) {
    if (tefast::holds_symbols(values.dtype) == inner.has_value())
        throw std::invalid_argument("floats need edges, symbols none");
    if (!inner) return {nullptr, 0, bins};
    const py::ssize_t rows = inner->ndim() == 2 ? inner->shape(0) : 0;
    if ((rows != 1 && rows != values.shape[2]) || inner->shape(1) != bins - 1)
        throw std::invalid_argument("edges must have shape (U or 1, bins - 1)");
    return {inner->data(), rows == 1 ? 0 : bins - 1, bins};
}

const std::int64_t* lengths_of(const std::optional<Dense<std::int64_t>>& lengths,
                               const Array3& values) {
    if (!lengths) return nullptr;
    if (lengths->ndim() != 1 || lengths->shape(0) != values.shape[0])
        throw std::invalid_argument("lengths must have shape (N,)");
    for (py::ssize_t n = 0; n < lengths->shape(0); ++n) {
        if (lengths->at(n) < 0 || lengths->at(n) > values.shape[1])
            throw std::invalid_argument("lengths must lie in 0 .. T");
    }
    return lengths->data();
}

// Values below which starting another thread costs more than it saves.
constexpr std::int64_t worth_a_thread = 32768;

// The number of threads asked for, or as many as the work is worth when done so many times.
int threads_of(int threads, const Array3& work, std::int64_t times = 1) {
    // GNU's OpenMP waits forever for the threads of a parent that a forked child does not have, so
    // such a child (a worker of a data loader, say) counts with one.
    if (getpid() != importing_process) return 1;
    if (threads > 0) return threads;
    const std::int64_t worth =
        work.shape[0] * work.shape[1] * work.shape[2] * times / worth_a_thread + 1;
    return static_cast<int>(std::min<std::int64_t>(worth, omp_get_max_threads()));
}

py::dict scan(const py::array& values, const std::string& dtype, bool mapped,
              const std::optional<Dense<std::int64_t>>& lengths, int bins, int threads) {
    const Array3 array = array3(values, dtype, mapped);
    const std::int64_t* valid = lengths_of(lengths, array);
    Dense<double> low(array.shape[2]), high(array.shape[2]);
    double *low_data = low.mutable_data(), *high_data = high.mutable_data();
    tefast::ScanResult found;
    {
        py::gil_scoped_release release;
        found = tefast::scan(array, valid, bins, low_data, high_data, threads_of(threads, array));
    }
    return py::dict(py::arg("nan") = found.nan, py::arg("infinite") = found.infinite,
                    py::arg("outside") = found.outside, py::arg("first_nan") = found.first_nan,
                    py::arg("first_bad") = found.first_bad, py::arg("low") = low,
                    py::arg("high") = high);
}

Dense<std::int16_t> encode(const py::array& values, const std::string& dtype,
                           const std::optional<Dense<double>>& inner, int bins,
                           const std::optional<Dense<std::int64_t>>& lengths, int threads) {
    const Array3 array = array3(values, dtype);
    const Edges edges = edges_of(inner, bins, array);
    const std::int64_t* valid = lengths_of(lengths, array);
    Dense<std::int16_t> codes({array.shape[0], array.shape[1], array.shape[2]});
    std::int16_t* out = codes.mutable_data();
    py::gil_scoped_release release;
    tefast::encode(array, edges, valid, out, threads_of(threads, array));
    return codes;
}

void count_values(const py::array& values, const std::string& dtype, bool mapped,
                  const std::optional<Dense<double>>& inner, int bins,
                  const std::optional<Dense<std::int64_t>>& lengths, Dense<std::int64_t> counts,
                  int threads) {
    const Array3 array = array3(values, dtype, mapped);
    const Edges edges = edges_of(inner, bins, array);
    const std::int64_t* valid = lengths_of(lengths, array);
    if (counts.size() != array.shape[2] * bins)
        throw std::invalid_argument("counts must have shape (U, bins)");
    std::int64_t* out = counts.mutable_data();
    py::gil_scoped_release release;
    tefast::count_values(array, edges, valid, out, threads_of(threads, array));
}

void check_states(const Dense<std::int16_t>& source, std::int64_t states) {
    const std::int16_t* const end = source.data() + source.size();
    const auto [least, most] = std::minmax_element(source.data(), end);
    if (least != end && (*least < tefast::missing || *most >= states))
        throw std::invalid_argument("source holds a state outside -1 .. states - 1");
}

// Checked arguments of a count of transitions; what it refers to must outlive it.
tefast::Transitions transitions_of(const py::array& target, const std::string& dtype, bool mapped,
                                   const std::optional<Dense<double>>& inner, int bins,
                                   const std::optional<Dense<std::int64_t>>& lengths,
                                   const Dense<std::int16_t>& source, std::int64_t states,
                                   bool omit) {
    const Array3 array = array3(target, dtype, mapped);
    if (source.size() != array.shape[0] * array.shape[1])
        throw std::invalid_argument("source must have shape (N, T)");
    check_states(source, states);
    return {array, edges_of(inner, bins, array), lengths_of(lengths, array), source.data(), states,
            omit};
}

bool count_transitions(const py::array& target, const std::string& dtype, bool mapped,
                       const std::optional<Dense<double>>& inner, int bins,
                       const std::optional<Dense<std::int64_t>>& lengths,
                       const Dense<std::int16_t>& source, std::int64_t states, bool omit,
                       Dense<std::int64_t> counts, int threads) {
    const auto work =
        transitions_of(target, dtype, mapped, inner, bins, lengths, source, states, omit);
    if (counts.size() != work.target.shape[2] * bins * bins * states)
        throw std::invalid_argument("counts must have shape (U, bins, bins, states)");
    std::int64_t* out = counts.mutable_data();
    py::gil_scoped_release release;
    return tefast::count_transitions(work, out, threads_of(threads, work.target));
}

py::tuple transfer_entropy(const py::array& target, const std::string& dtype, bool mapped,
                           const std::optional<Dense<double>>& inner, int bins,
                           const std::optional<Dense<std::int64_t>>& lengths,
                           const Dense<std::int16_t>& source, std::int64_t states, bool omit,
                           int threads) {
    const auto work =
        transitions_of(target, dtype, mapped, inner, bins, lengths, source, states, omit);
    Dense<double> nats(work.target.shape[2]);
    double* out = nats.mutable_data();
    bool clean;
    {
        py::gil_scoped_release release;
        clean = tefast::transfer_entropy(work, out, threads_of(threads, work.target));
    }
    return py::make_tuple(nats, clean);
}

py::tuple transfer_entropies(const py::array& target, const std::string& dtype, bool mapped,
                             const std::optional<Dense<double>>& inner, int bins,
                             const std::optional<Dense<std::int64_t>>& lengths,
                             const Dense<std::int16_t>& sources, std::int64_t states, bool omit,
                             int threads) {
    const Array3 array = array3(target, dtype, mapped);
    if (sources.ndim() != 3 || sources.shape(1) != array.shape[0] ||
        sources.shape(2) != array.shape[1])
        throw std::invalid_argument("sources must have shape (S, N, T)");
    check_states(sources, states);
    const tefast::Transitions work{
        array, edges_of(inner, bins, array), lengths_of(lengths, array), nullptr, states, omit};
    const std::int64_t S = sources.shape(0);
    Dense<double> nats({S, array.shape[2]});
    double* out = nats.mutable_data();
    const std::int16_t* in = sources.data();
    bool clean;
    {
        py::gil_scoped_release release;
        clean = tefast::transfer_entropies(work, in, S, out, threads_of(threads, array, S));
    }
    return py::make_tuple(nats, clean);
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
    const std::int64_t* table = counts.data();
    const int bins = static_cast<int>(counts.shape(1));
    py::gil_scoped_release release;
    tefast::score_counts(table, work.shape[0], bins, work.shape[2], out, threads_of(threads, work));
    return nats;
}

void count_windows(const Dense<std::int16_t>& codes, int bins,
                   const std::vector<std::int64_t>& back, const Dense<std::int64_t>& shared,
                   std::int64_t states, Dense<std::int64_t> counts, int threads) {
    if (codes.ndim() != 3) throw std::invalid_argument("codes must have shape (N, T, U)");
    const int length = static_cast<int>(back.size());
    const tefast::Windows work{codes.data(), {codes.shape(0), codes.shape(1), codes.shape(2)},
                               bins,         back.data(),
                               length,       shared.data(),
                               states};
    if (shared.size() != work.shape[0] * work.shape[1])
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
    // Divided, not multiplied: the product could be beyond 64 bits.
    std::int64_t left = counts.size();
    int divided = 0;
    for (; divided < length && left % bins == 0; ++divided) left /= bins;
    if (divided < length || left != work.shape[2] * states)
        throw std::invalid_argument("counts must have shape (U, bins**len(back), states)");
    std::int64_t* out = counts.mutable_data();
    const Array3 size{nullptr, DType::i16, {work.shape[0], work.shape[1], work.shape[2]}, {}};
    py::gil_scoped_release release;
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
    py::gil_scoped_release release;
    check_orders(orders);
    tefast::conditional_surrogates(work, out, threads_of(threads, size, work.surrogates));
    return nats;
}

bool all_guessed(const Dense<double>& inner, const std::string& dtype, py::ssize_t units) {
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
    // Counts are written in place, so an array of another type must not be converted to a copy.
    m.def("scan", &scan);
    m.def("encode", &encode);
    m.def("count_values", &count_values, py::arg("values"), py::arg("dtype"), py::arg("mapped"),
          py::arg("inner"), py::arg("bins"), py::arg("lengths"), py::arg("counts").noconvert(),
          py::arg("threads"));
    m.def("count_transitions", &count_transitions, py::arg("target"), py::arg("dtype"),
          py::arg("mapped"), py::arg("inner"), py::arg("bins"), py::arg("lengths"),
          py::arg("source"), py::arg("states"), py::arg("omit"), py::arg("counts").noconvert(),
          py::arg("threads"));
    m.def("transfer_entropy", &transfer_entropy);
    m.def("transfer_entropies", &transfer_entropies);
    m.def("score_counts", &score_counts);
    m.def("count_windows", &count_windows, py::arg("codes"), py::arg("bins"), py::arg("back"),
          py::arg("shared"), py::arg("states"), py::arg("counts").noconvert(), py::arg("threads"));
    m.def("conditional_surrogates", &conditional_surrogates);
    // What tests look at and turn.
    m.def("all_guessed", &all_guessed);
    m.def("use_level", &tefast::use_level);
    m.def("use_limits",
          [](std::int64_t chunk_bytes, std::int64_t least_rows, std::int64_t resident_bytes,
             std::int64_t table_bytes, std::int64_t apart_bytes, std::int64_t window_rows,
             std::int64_t kept_bytes, std::int64_t schedule_bytes) {
              tefast::use_limits({chunk_bytes, least_rows, resident_bytes, table_bytes, apart_bytes,
                                  window_rows, kept_bytes, schedule_bytes});
          });
    m.def("use_limits", [] { tefast::use_limits({}); });
    m.def("build_info", &build_info);
}
