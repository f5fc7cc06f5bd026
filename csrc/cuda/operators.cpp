// The kernels as operators of PyTorch, on its stable ABI: one build serves torch 2.10 and later.
//
// Tensors are checked and taken apart, outputs and workspace allocated, work queued on the current
// stream. Nothing here waits for the device. The Python layer has checked what users pass; what is
// checked here is what would otherwise be undefined behaviour.

#ifdef TEFAST_EMULATED_DEVICE
// For tests: the kernels run on the host, so the tensors are the CPU's.
#define TEFAST_DISPATCH_KEY CPU
#else
#define USE_CUDA  // declares the functions of torch's CUDA library
#define TEFAST_DISPATCH_KEY CUDA
#endif
#ifndef TEFAST_NAMESPACE
#define TEFAST_NAMESPACE tefast
#endif

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "cuda/launch.hpp"

#ifndef TEFAST_EMULATED_DEVICE
// Not there in a torch without CUDA, which must still be able to load this library: its schemas are
// of use to torch.compile, and what is missing is said when an operator is called.
#pragma weak aoti_torch_get_current_cuda_stream
#endif

namespace {

namespace cuda = tefast::cuda;
using tefast::Array3;
using tefast::DType;
using tefast::Edges;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using MaybeTensor = std::optional<Tensor>;

DType dtype_of(const Tensor& tensor) {
    switch (tensor.scalar_type()) {
        case ScalarType::Half:
            return DType::f16;
        case ScalarType::BFloat16:
            return DType::bf16;
        case ScalarType::Float:
            return DType::f32;
        case ScalarType::Double:
            return DType::f64;
        case ScalarType::Char:
            return DType::i8;
        case ScalarType::Short:
            return DType::i16;
        case ScalarType::Int:
            return DType::i32;
        case ScalarType::Long:
            return DType::i64;
        case ScalarType::Byte:
            return DType::u8;
        case ScalarType::UInt16:
            return DType::u16;
        case ScalarType::UInt32:
            return DType::u32;
        case ScalarType::UInt64:
            return DType::u64;
        default:
            STD_TORCH_CHECK(false, "tefast: values must be floats or integers");
            return DType::f32;
    }
}

// The device of a call: everything is there, and stays there until the call is over.
class Call {
  public:
    explicit Call(const Tensor& on)
        : device_(on.device()),
#ifndef TEFAST_EMULATED_DEVICE
          guard_(device_.index()),
#endif
          queue_(cuda::queue_on(index(), stream(),
                                [this](std::size_t bytes) { return take(bytes); })) {
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    const cuda::Queue& queue() const { return queue_; }

    Tensor empty(const std::vector<std::int64_t>& shape, ScalarType type) const {
        return torch::stable::empty(shape, type, std::nullopt, device_);
    }

    void require_here(const Tensor& tensor, const char* name) const {
        STD_TORCH_CHECK(tensor.device() == device_, "tefast: ", name,
                        " must be on the same device as the values");
    }

  private:
    int index() const { return device_.index() < 0 ? 0 : device_.index(); }

    void* stream() const {
        void* current = nullptr;
#ifndef TEFAST_EMULATED_DEVICE
        STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream,
                        "tefast: this PyTorch was built without CUDA");
        TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(index(), &current));
#endif
        return current;
    }

    // PyTorch's allocator gives memory back in the order of the stream, so a tensor that dies with
    // the call outlives the work that was queued.
    void* take(std::size_t bytes) {
        kept_.push_back(empty({static_cast<std::int64_t>(bytes)}, ScalarType::Byte));
        return kept_.back().mutable_data_ptr();
    }

    torch::stable::Device device_;
#ifndef TEFAST_EMULATED_DEVICE
    torch::stable::accelerator::DeviceGuard guard_;
#endif
    std::vector<Tensor> kept_;
    cuda::Queue queue_;
};

void require_dense(const Call& call, const Tensor& tensor, ScalarType type,
                   const std::vector<std::int64_t>& shape, const char* name) {
    call.require_here(tensor, name);
    bool fits = tensor.dim() == static_cast<std::int64_t>(shape.size()) &&
                tensor.scalar_type() == type && tensor.is_contiguous();
    for (std::size_t axis = 0; fits && axis < shape.size(); ++axis) {
        fits = tensor.sizes()[axis] == shape[axis];
    }
    STD_TORCH_CHECK(fits, "tefast: ", name, " has the wrong shape or type, or is not contiguous");
}

// values: (N, T, U), any strides. edges: (U or 1, bins - 1), or none for symbols. lengths: (N,).
cuda::Input input_of(const Call& call, const Tensor& values, const MaybeTensor& edges,
                     std::int64_t bins, const MaybeTensor& lengths) {
    call.require_here(values, "every input");
    STD_TORCH_CHECK(values.dim() == 3, "tefast: values must have three axes");
    STD_TORCH_CHECK(bins >= 2 && bins <= 256, "tefast: bins must lie in 2 .. 256");
    Array3 array{
        static_cast<const char*>(values.const_data_ptr()), dtype_of(values), {}, {}, false};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        array.shape[axis] = values.sizes()[axis];
        array.stride[axis] = values.strides()[axis] * tefast::size_of(array.dtype);
    }
    cuda::Input input{array, {nullptr, 0, static_cast<int>(bins)}, nullptr};
    if (edges) {
        STD_TORCH_CHECK(!tefast::holds_symbols(array.dtype), "tefast: symbols have no edges");
        const bool shared = edges->dim() == 2 && edges->sizes()[0] == 1;
        require_dense(call, *edges, ScalarType::Double, {shared ? 1 : array.shape[2], bins - 1},
                      "edges");
        input.edges.inner = static_cast<const double*>(edges->const_data_ptr());
        input.edges.unit_stride = shared ? 0 : bins - 1;
    }
    if (lengths) {
        require_dense(call, *lengths, ScalarType::Long, {array.shape[0]}, "lengths");
        input.lengths = static_cast<const std::int64_t*>(lengths->const_data_ptr());
    }
    return input;
}

// The same, of floats that must have edges.
cuda::Input binned(const Call& call, const Tensor& values, const MaybeTensor& edges,
                   std::int64_t bins, const MaybeTensor& lengths) {
    const cuda::Input input = input_of(call, values, edges, bins, lengths);
    STD_TORCH_CHECK(input.edges.inner || tefast::holds_symbols(input.values.dtype),
                    "tefast: floats need edges");
    return input;
}

template <class T>
T* data(const Tensor& tensor) {
    return static_cast<T*>(tensor.mutable_data_ptr());
}

std::tuple<Tensor, Tensor, Tensor> scan(Tensor values, std::int64_t bins, MaybeTensor lengths) {
    Call call(values);
    const cuda::Input input = input_of(call, values, std::nullopt, bins, lengths);
    const std::int64_t units = input.values.shape[2];
    Tensor found = call.empty({5}, ScalarType::Long);
    Tensor low = call.empty({units}, ScalarType::Double);
    Tensor high = call.empty({units}, ScalarType::Double);
    cuda::scan(call.queue(), input, data<std::int64_t>(found), data<double>(low),
               data<double>(high));
    return {found, low, high};
}

Tensor encode(Tensor values, MaybeTensor edges, std::int64_t bins, MaybeTensor lengths) {
    Call call(values);
    const cuda::Input input = binned(call, values, edges, bins, lengths);
    const std::int64_t* shape = input.values.shape;
    Tensor codes = call.empty({shape[0], shape[1], shape[2]}, ScalarType::Short);
    cuda::encode(call.queue(), input, data<std::int16_t>(codes));
    return codes;
}

void count_values(Tensor counts, Tensor values, MaybeTensor edges, MaybeTensor lengths) {
    Call call(values);
    STD_TORCH_CHECK(counts.dim() == 2, "tefast: counts must have shape (U, bins)");
    const std::int64_t bins = counts.sizes()[1];
    const cuda::Input input = binned(call, values, edges, bins, lengths);
    require_dense(call, counts, ScalarType::Long, {input.values.shape[2], bins}, "counts");
    cuda::count_values(call.queue(), input, data<std::int64_t>(counts));
}

// The bins and states of counts (U, bins, bins, states).
std::pair<std::int64_t, int> sizes_of(const Tensor& counts) {
    STD_TORCH_CHECK(counts.dim() == 4 && counts.sizes()[1] == counts.sizes()[2],
                    "tefast: counts must have shape (U, bins, bins, states)");
    const std::int64_t states = counts.sizes()[3];
    STD_TORCH_CHECK(states >= 1 && states <= 32767, "tefast: states must lie in 1 .. 32767");
    return {counts.sizes()[1], static_cast<int>(states)};
}

void count_transitions(Tensor counts, Tensor target, MaybeTensor edges, Tensor source,
                       MaybeTensor lengths) {
    Call call(target);
    const auto [bins, states] = sizes_of(counts);
    const cuda::Input input = binned(call, target, edges, bins, lengths);
    const std::int64_t* shape = input.values.shape;
    require_dense(call, counts, ScalarType::Long, {shape[2], bins, bins, states}, "counts");
    require_dense(call, source, ScalarType::Short, {shape[0], shape[1]}, "source");
    cuda::count_transitions(call.queue(), input,
                            static_cast<const std::int16_t*>(source.const_data_ptr()), states,
                            data<std::int64_t>(counts));
}

Tensor score_counts(Tensor counts) {
    Call call(counts);
    const auto [bins, states] = sizes_of(counts);
    STD_TORCH_CHECK(bins >= 2 && bins <= 256, "tefast: bins must lie in 2 .. 256");
    const std::int64_t units = counts.sizes()[0];
    require_dense(call, counts, ScalarType::Long, {units, bins, bins, states}, "counts");
    Tensor nats = call.empty({units}, ScalarType::Double);
    cuda::score_counts(call.queue(), static_cast<const std::int64_t*>(counts.const_data_ptr()),
                       units, static_cast<int>(bins), states, data<double>(nats));
    return nats;
}

std::tuple<Tensor, Tensor> transfer_entropy(Tensor h, MaybeTensor h_edges, Tensor y,
                                            MaybeTensor y_edges, std::int64_t bins,
                                            MaybeTensor lengths, bool omit) {
    Call call(h);
    const cuda::Input target = binned(call, h, h_edges, bins, lengths);
    const cuda::Input source = binned(call, y, y_edges, bins, lengths);
    STD_TORCH_CHECK(source.values.shape[0] == target.values.shape[0] &&
                        source.values.shape[1] == target.values.shape[1] &&
                        source.values.shape[2] == 1,
                    "tefast: the source must have shape (N, T, 1)");
    Tensor nats = call.empty({target.values.shape[2]}, ScalarType::Double);
    Tensor seen = call.empty({}, ScalarType::Int);
    cuda::transfer_entropy(call.queue(), target, source, omit, data<double>(nats), data<int>(seen));
    return {nats, seen};
}

}  // namespace

// Their arguments are expanded only on the way through another macro.
#define TEFAST_LIBRARY(space, m) STABLE_TORCH_LIBRARY(space, m)
#define TEFAST_LIBRARY_IMPL(space, key, m) STABLE_TORCH_LIBRARY_IMPL(space, key, m)

// h, values: (N, T, U); y: (N, T, 1); edges: float64 (U or 1, bins - 1), none for integers, which
// are symbols; lengths: int64 (N,); source: int16 (N, T), codes; counts: int64 (U, bins) or
// (U, next, past, state), which is added to. found, seen: as launch.hpp says.
TEFAST_LIBRARY(TEFAST_NAMESPACE, m) {
    m.def("scan(Tensor values, int bins, Tensor? lengths) -> (Tensor, Tensor, Tensor)");
    m.def("encode(Tensor values, Tensor? edges, int bins, Tensor? lengths) -> Tensor");
    m.def("count_values_(Tensor(a!) counts, Tensor values, Tensor? edges, Tensor? lengths) -> ()");
    m.def(
        "count_transitions_(Tensor(a!) counts, Tensor h, Tensor? edges, Tensor source, "
        "Tensor? lengths) -> ()");
    m.def("score_counts(Tensor counts) -> Tensor");
    m.def(
        "transfer_entropy(Tensor h, Tensor? h_edges, Tensor y, Tensor? y_edges, int bins, "
        "Tensor? lengths, bool omit) -> (Tensor nats, Tensor seen)");
}

TEFAST_LIBRARY_IMPL(TEFAST_NAMESPACE, TEFAST_DISPATCH_KEY, m) {
    m.impl("scan", TORCH_BOX(&scan));
    m.impl("encode", TORCH_BOX(&encode));
    m.impl("count_values_", TORCH_BOX(&count_values));
    m.impl("count_transitions_", TORCH_BOX(&count_transitions));
    m.impl("score_counts", TORCH_BOX(&score_counts));
    m.impl("transfer_entropy", TORCH_BOX(&transfer_entropy));
}
