#include "cpu/resident.hpp"

#include <omp.h>

#include <algorithm>
#include <numeric>

#include "cpu/memory.hpp"
#include "cpu/region.hpp"
#include "cpu/used_bins.hpp"

namespace tefast {

// Counts of one group and state, measured and forgotten.
class OneTable {
  public:
    // cells: of a unit.
    OneTable(std::int64_t cells, int width, std::int64_t rows)
        : kernels_(kernels()),
          width_(width),
          few_(cells / 16),
          table_(static_cast<std::size_t>(cells * width)),
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
            measure.add(table_.data(), moves.count, true);
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

Resident::Resident(const Transitions& work, std::int64_t sources, int threads)
    : threads_(threads),
      inner_(work.inner),
      shares_margins_(work.told == Told::by_source && !work.inner),
      block_(work, threads),
      chunk_(std::make_unique<Chunk>(rows_of(work) + 1, block_.strips(), work.omit)),
      groups_(block_.groups()),
      places_(static_cast<std::size_t>(work.target.shape[2])) {
    Region region;
#pragma omp parallel num_threads(threads)
    region([&] {
        block_.quantise_part(0, rows_of(work), omp_get_thread_num(), omp_get_num_threads(),
                             *chunk_);
    });
    region.end();
    std::iota(places_.begin(), places_.end(), 0);
    prepare(work, sources);
}

Resident::~Resident() = default;

void Resident::prepare(const Transitions& work, std::int64_t sources) {
    constexpr std::int64_t many = 8;  // sources that make up for looking through the codes
    constexpr int few = 4;            // bins that are counted fast enough
    if (sources >= many && block_.width() == lanes && work.edges.bins > few) {
        UsedBins used(work, std::move(chunk_), block_, threads_);
        chunk_ = std::move(used.chunk);
        groups_ = std::move(used.groups);
        places_ = std::move(used.places);
    }
    for (const Group& group : groups_) {
        Tools& tools = tools_[group.bins];
        if (!tools.tables.empty()) continue;
        const std::int64_t pasts = pasts_of(work.past, group.bins);
        const std::int64_t nexts = nexts_of(work.past, group.bins);
        tools.measures.assign(static_cast<std::size_t>(threads_),
                              Measure(pasts, nexts, block_.width(), work.told));
        for (int p = 0; p < threads_; ++p) {
            tools.tables.push_back(
                std::make_unique<OneTable>(pasts * nexts, block_.width(), rows_of(work)));
        }
    }
}

// nats: of all units of `work`.
const Measure& Resident::measure_group(std::int64_t g, const Schedule& schedule,
                                       const Margins* known, double* nats) {
    const Group& group = groups_[static_cast<std::size_t>(g)];
    Tools& tools = tools_.find(group.bins)->second;
    const auto thread = static_cast<std::size_t>(omp_get_thread_num());
    OneTable& table = *tools.tables[thread];
    Measure& measure = tools.measures[thread];
    measure.reset(schedule.count_before(0, schedule.states()), known);
    for (std::int64_t s = 0; s < schedule.states(); ++s) {
        if (inner_ && s % inner_ == 0) measure.end_condition();
        const Moves moves = block_.moves(*chunk_, group, schedule.rows(0, s), schedule.count(0, s));
        table.measure(moves, group, measure);
    }
    double found[lanes];
    measure.finish(found);
    for (int i = 0; i < group.units; ++i) {
        nats[places_[static_cast<std::size_t>(group.unit + i)]] = found[i];
    }
    return measure;
}

void Resident::score(const std::vector<Schedule>& schedules, const std::vector<char>& alike,
                     std::int64_t count, double* nats, std::int64_t stride) {
    std::int64_t first = 0;
    Region region;
    if (count > 1 && margins_.empty() && shares_margins_) {
        margins_.resize(static_cast<std::size_t>(block_.size() * block_.width()));
#pragma omp parallel for num_threads(threads_) schedule(dynamic)
        for (std::int64_t g = 0; g < block_.size(); ++g) {
            region([&] { measure_group(g, schedules[0], nullptr, nats).margins(margins(g)); });
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
                measure_group(g, schedules[at], known ? margins(g) : nullptr, nats + i * stride);
            });
        }
    }
    region.end();
}

}  // namespace tefast
