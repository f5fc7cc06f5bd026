#include <algorithm>

#include "cuda/measure.cuh"

namespace tefast::cuda {
namespace {

// Units whose counts may lie in memory only to be measured.
std::int64_t units_measured(const Queue& queue, std::int64_t units, std::int64_t cells) {
    return std::min(units, std::max<std::int64_t>(queue.joint_bytes / (8 * cells), 1));
}

Input states_of(const Input& target, const std::int16_t* source, int states) {
    const std::int64_t n = target.values.shape[0], t = target.values.shape[1];
    const Array3 values{
        reinterpret_cast<const char*>(source), DType::i16, {n, t, 1}, {2 * t, 2, 2}, false};
    return {values, {nullptr, 0, states}, target.lengths};
}

Counting transitions_of(const Queue& queue, const Input& target, const Input& source, int states,
                        int* seen) {
    const Walk walk{target.values, target.lengths, cut_rows(target.values, true)};
    const Moves* moves = make_moves(queue, walk, source, make_cuts(queue, source), seen);
    return {walk, make_cuts(queue, target), moves, states, seen};
}

bool is_empty(const Array3& values) {
    return values.shape[0] == 0 || values.shape[1] == 0 || values.shape[2] == 0;
}

void count_all(const Queue& queue, const Counting& work, std::int64_t* counts) {
    const Plan plan = work.plan(queue);
    const std::int64_t all = work.walk.values.shape[2];
    std::uint32_t* tables = allocate_tables(queue, plan);
    for (std::int64_t first = 0; first < all; first += plan.units) {
        const std::int64_t units = std::min(plan.units, all - first);
        count_into(queue, plan, work, first, units, tables, counts + first * work.cells());
    }
}

}  // namespace

void count_values(const Queue& queue, const Input& input, std::int64_t* counts) {
    if (is_empty(input.values)) return;
    const Walk walk{input.values, input.lengths, cut_rows(input.values, false)};
    count_all(queue, {walk, make_cuts(queue, input), nullptr, 1, nullptr}, counts);
}

void count_transitions(const Queue& queue, const Input& target, const std::int16_t* source,
                       int states, std::int64_t* counts) {
    if (is_empty(target.values) || target.values.shape[1] < 2) return;
    const Input codes = states_of(target, source, states);
    count_all(queue, transitions_of(queue, target, codes, states, nullptr), counts);
}

void score_counts(const Queue& queue, const std::int64_t* counts, std::int64_t units, int bins,
                  int states, double* nats) {
    const std::int64_t cells = std::int64_t{bins} * bins * states;
    const std::int64_t step = units_measured(queue, units, cells);
    if (units == 0) return;
    const Margins margins = allocate_margins(queue, step, bins);
    for (std::int64_t first = 0; first < units; first += step) {
        measure(queue, counts + first * cells, std::min(step, units - first), bins, states, margins,
                nats + first, nullptr);
    }
}

void transfer_entropy(const Queue& queue, const Input& target, const Input& source, bool omit,
                      double* nats, int* seen) {
    clear(queue, seen, sizeof *seen);
    const std::int64_t all = target.values.shape[2];
    if (all == 0) return;
    const int bins = target.edges.bins, states = source.edges.bins;
    const Counting work = transitions_of(queue, target, source, states, seen);
    const Plan plan = work.plan(queue);
    const std::int64_t cells = work.cells();
    const bool at_once = plan.fits() && plan.pieces_together == plan.pieces;
    const std::int64_t step = at_once ? plan.units : units_measured(queue, plan.units, cells);
    std::uint32_t* tables = allocate_tables(queue, plan);
    std::int64_t* counts = at_once ? nullptr : allocate<std::int64_t>(queue, step * cells);
    const Margins margins = allocate_margins(queue, step, bins);
    for (std::int64_t first = 0; first < all; first += step) {
        const std::int64_t units = std::min(step, all - first);
        if (at_once) {
            const Tables counted =
                count_pieces(queue, plan, work, first, units, 0, plan.pieces, tables);
            measure(queue, counted, units, bins, states, margins, nats + first, seen);
        } else {
            clear(queue, counts, static_cast<std::size_t>(units * cells) * 8);
            count_into(queue, plan, work, first, units, tables, counts);
            measure(queue, counts, units, bins, states, margins, nats + first, seen);
        }
    }
    withhold(queue, all, omit, nats, seen);
}

}  // namespace tefast::cuda
