#include "cpu/resident.hpp"

#include <omp.h>

#include <algorithm>

#include "cpu/memory.hpp"
#include "cpu/region.hpp"

namespace tefast {

// Counts of one group and state, measured and forgotten.
class OneTable {
  public:
    OneTable(const Block& block, std::int64_t rows)
        : kernels_(kernels()),
          width_(block.width()),
          few_(block.cells() / width_ / 16),
          table_(static_cast<std::size_t>(block.cells())),
          cells_(static_cast<std::size_t>(few_ * width_)),
          wide_(rows > most_increments ? table_.size() : 0) {
        clear();
    }

    void measure(const Moves& moves, const Group& group, Measure& measure) {
        if (moves.count == 0) return;
        if (moves.count > most_increments) return measure_many(moves, group, measure);
        kernels_.count(moves, group.lane, width_, table_.data(), {});
        if (moves.count <= few_) {
            // Few cells were touched, so only those are looked at.
            kernels_.list_cells(moves, group.lane, width_, cells_.data());
            measure.take(table_.data(), cells_.data(), moves.count);
        } else {
            measure.add(table_.data(), moves.count);
            clear();
        }
    }

  private:
    // More than a counter takes.
    void measure_many(Moves moves, const Group& group, Measure& measure) {
        std::fill(wide_.begin(), wide_.end(), std::uint64_t{0});
        for (std::int64_t left = moves.count; left > 0; left -= moves.count) {
            moves.count = std::min(left, most_increments);
            kernels_.count(moves, group.lane, width_, table_.data(), {});
            for (std::size_t i = 0; i < wide_.size(); ++i) wide_[i] += table_.data()[i];
            moves.rows += moves.count;
            clear();
        }
        measure.add(wide_.data());
    }

    void clear() { std::fill(table_.data(), table_.data() + table_.size(), std::uint16_t{0}); }

    const Kernels& kernels_;
    int width_;
    std::int64_t few_;  // moves that leave most cells at 0
    Buffer<std::uint16_t> table_, cells_;
    std::vector<std::uint64_t> wide_;
};

Resident::Resident(const Transitions& work, int threads)
    : threads_(threads),
      block_(work, threads),
      chunk_(rows_of(work) + 1, block_.strips(), work.omit),
      measures_(pasts_of(work), work.edges.bins, block_.width(), threads) {
    for (int p = 0; p < threads; ++p)
        tables_.push_back(std::make_unique<OneTable>(block_, rows_of(work)));
    Region region;
#pragma omp parallel num_threads(threads)
    region([&] {
        block_.quantise_part(0, rows_of(work), omp_get_thread_num(), omp_get_num_threads(), chunk_);
    });
    region.end();
}

Resident::~Resident() = default;

void Resident::score_group(std::int64_t g, const Schedule& schedule, const Margins* known,
                           double* nats) {
    const Group& group = block_.groups()[static_cast<std::size_t>(g)];
    OneTable& table = *tables_[static_cast<std::size_t>(omp_get_thread_num())];
    Measure& measure = measures_.mine();
    measure.reset(known);
    for (std::int64_t s = 0; s < schedule.states(); ++s) {
        const Moves moves = block_.moves(chunk_, group, schedule.rows(0, s), schedule.count(0, s));
        table.measure(moves, group, measure);
    }
    measures_.finish(group, nats);
}

void Resident::score(const std::vector<Schedule>& schedules, const std::vector<char>& alike,
                     std::int64_t count, double* nats, std::int64_t stride) {
    std::int64_t first = 0;
    Region region;
    if (count > 1 && margins_.empty()) {
        margins_.resize(static_cast<std::size_t>(block_.size() * block_.width()));
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
        for (std::int64_t g = 0; g < block_.size(); ++g) {
            region([&] {
                score_group(g, schedules[0], nullptr, nats);
                measures_.mine().margins(margins(g));
            });
        }
        first = 1;
    }
    // All sources of a group in turn, so that its codes come from a near cache for all but the
    // first.
#pragma omp parallel for collapse(2) num_threads(threads_) schedule(dynamic)
    for (std::int64_t g = 0; g < block_.size(); ++g) {
        for (std::int64_t i = first; i < count; ++i) {
            region([&] {
                const auto at = static_cast<std::size_t>(i);
                const bool known = !margins_.empty() && alike[at];
                score_group(g, schedules[at], known ? margins(g) : nullptr, nats + i * stride);
            });
        }
    }
    region.end();
}

}  // namespace tefast
