#include <limits>

#include "cuda/prepare.cuh"

namespace tefast::cuda {
namespace {

constexpr int block = 256;

// One thread a row of edges. low, scale: (rows,); thresholds: (rows, bins).
template <class F>
__global__ void cut(Edges edges, std::int64_t rows, F* low, F* scale, F* thresholds) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (i >= rows) return;
    const int bins = edges.bins;
    const double* inner = edges.inner + i * edges.unit_stride;
    F* row = thresholds + i * bins;
    for (int e = 0; e + 1 < bins; ++e) row[e] = threshold_of<F>(inner[e]);
    row[bins - 1] = std::numeric_limits<F>::quiet_NaN();
    const Line<F> line = line_through(inner, row, bins);
    const bool guessed = guess_holds(row, line.low, line.scale, bins);
    low[i] = line.low;
    scale[i] = guessed ? line.scale : std::numeric_limits<F>::quiet_NaN();
}

template <class F>
Cuts<F> make(const Queue& queue, const Edges& edges, std::int64_t units) {
    const bool shared = edges.unit_stride == 0;
    const std::int64_t rows = shared ? 1 : units;
    F* low = allocate<F>(queue, rows * (2 + edges.bins));
    F *scale = low + rows, *thresholds = scale + rows;
    launch("making cuts", cut<F>, blocks_for(rows, block), block, 0, queue, edges, rows, low, scale,
           thresholds);
    return {low, scale, thresholds, shared, edges.bins};
}

// One thread a place of a batch.
template <class T>
__global__ void schedule(Walk walk, Input source, Cuts<Compared<T>> cuts, Moves* moves, int* seen) {
    const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t places = std::int64_t{walk.segments.batches} * batch;
    const std::int64_t at = i / places;
    if (at >= walk.segments.count) return;
    const int place = static_cast<int>(i - at * places) % batch;
    const int number = static_cast<int>(i - at * places) / batch;
    const int row = number * walk.segments.batch_rows + place;
    const Segment segment(walk, at);
    Reader<T> reader{};
    reader.cut.bins = cuts.bins;
    if (cuts.low) reader.cut = {*cuts.low, *cuts.scale, cuts.row, 1, cuts.bins};
    int state = missing, saw = 0, nothing = 0;
    if (place < walk.segments.batch_rows && row < segment.rows) {
        const std::int64_t t = segment.t + row;
        const auto value = [&](std::int64_t step) {
            return Reader<T>::read(source.values.row(segment.n, step, 0), source.values.dtype);
        };
        reader.code(value(t), saw);
        if (row > 0) state = reader.code(value(t - 1), nothing);
    }
    moves[at * walk.segments.batches + number].state[place] = static_cast<std::int16_t>(state);
    if (seen && saw) atomicOr(seen, saw << 2);
}

}  // namespace

AnyCuts make_cuts(const Queue& queue, const Input& input) {
    const Edges& edges = input.edges;
    AnyCuts cuts{};
    cuts.floats.bins = cuts.doubles.bins = edges.bins;
    cuts.floats.shared = cuts.doubles.shared = true;
    if (!edges.inner) return cuts;
    if (input.values.dtype == DType::f64) {
        cuts.doubles = make<double>(queue, edges, input.values.shape[2]);
    } else {
        cuts.floats = make<float>(queue, edges, input.values.shape[2]);
    }
    return cuts;
}

const Moves* make_moves(const Queue& queue, const Walk& walk, const Input& source,
                        const AnyCuts& cuts, int* seen) {
    const std::int64_t count = walk.segments.count * walk.segments.batches;
    Moves* moves = allocate<Moves>(queue, count);
    with_type(source.values.dtype, [&](auto type) {
        using T = decltype(type);
        launch("reading the source", schedule<T>, blocks_for(count * batch, block), block, 0, queue,
               walk, source, cuts.of<Compared<T>>(), moves, seen);
    });
    return moves;
}

void clear(const Queue& queue, void* at, std::size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemsetAsync(at, 0, bytes, static_cast<cudaStream_t>(queue.stream)), "clearing");
}

Queue queue_on(int device, Stream stream, Allocate allocate) {
    Queue queue{stream, std::move(allocate), 0, 0, 0};
    int shared = 0;
    check(cudaDeviceGetAttribute(&queue.processors, cudaDevAttrMultiProcessorCount, device),
          "looking at the device");
    check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "looking at the device");
    check(cudaDeviceGetAttribute(&queue.threads, cudaDevAttrMaxThreadsPerBlock, device),
          "looking at the device");
    queue.shared = static_cast<std::size_t>(shared);
    return queue;
}

}  // namespace tefast::cuda
