#include "cpu/local.hpp"

#include <omp.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/memory.hpp"
#include "cpu/pipeline.hpp"
#include "cpu/region.hpp"
#include "cpu/schedule.hpp"

namespace tefast {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t rows_at_once = 128;
// Cells up to which there is a table for each state of the source, since they stay in the cache.
constexpr std::int64_t most_kept = std::int64_t{1} << 18;

// Where values go: row r of the result holds those of all units at one step.
class Places {
  public:
    Places(const Transitions& work, std::int64_t first, const Schedule& schedule);

    // Of the scheduled transitions of state s, in their order.
    const std::uint32_t* of(std::int64_t s) const {
        return rows_.data() + schedule_.count_before(0, s);
    }
    std::int64_t count() const {
        return static_cast<std::int64_t>(rows_.size() + left_out_.size());
    }
    // Of transitions that are left out for all units.
    const std::vector<std::uint32_t>& left_out() const { return left_out_; }

  private:
    const Schedule& schedule_;
    std::vector<std::uint32_t> rows_, left_out_;
};

Places::Places(const Transitions& work, std::int64_t first, const Schedule& schedule)
    : schedule_(schedule),
      rows_(static_cast<std::size_t>(schedule.count_before(0, schedule.states()))) {
    const std::int64_t steps = work.target.shape[1], kept = steps - first - 1;
    const std::uint32_t* const rows = schedule.rows(0, 0);
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const std::int64_t n = rows[i] / steps;
        rows_[i] = static_cast<std::uint32_t>(n * kept + rows[i] - n * steps - first);
    }
    for (std::int64_t n = 0; n < work.target.shape[0]; ++n) {
        const std::int64_t length = work.lengths ? work.lengths[n] : steps;
        for (std::int64_t t = first; t < steps - 1; ++t) {
            if (t + 1 < length && work.source[n * steps + t] >= 0) continue;
            left_out_.push_back(static_cast<std::uint32_t>(n * kept + t - first));
        }
    }
}

// One thread's way from codes of a group to values.
class LocalGroup {
  public:
    LocalGroup(const Transitions& work, const Block& block, bool kept, const LogUnit& unit);

    // all: the moves of all states. values: of the group's first unit, its rows `stride` apart.
    // False if there were none.
    bool write(const Moves& all, const Group& group, const Schedule& schedule, const Places& places,
               double* values, std::int64_t stride);

  private:
    void count(Moves moves, double* sums);
    void count_moves(const Moves& all, const Schedule& schedule);
    std::uint16_t* table(std::int64_t s) { return tables_.data() + (kept_ ? s * cells_ : 0); }
    void write_from_table(const Moves& moves, std::int64_t s, const std::uint32_t* places,
                          double* values);
    void write_each(const Moves& moves, std::int64_t s, const std::uint32_t* places,
                    double* values);
    void find_values_of(const Moves& batch, const std::uint16_t* table);
    template <class Each>
    void for_each_batch(Moves moves, Each&& each);
    template <class Each>
    void for_each_counted(const Moves& moves, Each&& each) const;
    void leave_out(const Moves& batch, const std::uint32_t* places, double* values) const;

    const Kernels& kernels_;
    const std::int64_t pasts_, bins_, width_, cells_;
    int shift_ = 0;  // cells >> shift_ is what a division by `width_` gives
    const LogUnit unit_;
    const bool kept_;  // whether there is a table for each state
    int lane_ = 0, units_ = 0;
    std::int64_t stride_ = 0;
    Buffer<std::uint16_t> tables_;         // (states or 1, pasts, bins, width), at 0 in between
    std::vector<double> moves_, counts_;   // the same; counts become values in their place
    std::vector<double> past_, start_;     // (pasts, width), of which `start_` is at 0 in between
    std::vector<double> above_, below_;    // of some cells, the two sides of the quotient
    std::vector<std::uint16_t> found_in_;  // (rows_at_once, width): cells of a batch
    std::vector<double> found_;            // values of as many cells as the quotients are of
    std::vector<std::uint16_t> past_of_;   // (pasts * bins,)
};

constexpr std::int64_t filled_up(std::int64_t count) { return (count + 7) / 8 * 8; }

LocalGroup::LocalGroup(const Transitions& work, const Block& block, bool kept, const LogUnit& unit)
    : kernels_(kernels()),
      pasts_(pasts_of(work)),
      bins_(work.edges.bins),
      width_(block.width()),
      cells_(pasts_ * bins_ * width_),
      unit_(unit),
      kept_(kept),
      tables_(static_cast<std::size_t>(cells_ * (kept ? work.states : 1))),
      moves_(static_cast<std::size_t>(cells_)),
      counts_(moves_.size()),
      past_(static_cast<std::size_t>(pasts_ * width_)),
      start_(past_.size()),
      above_(static_cast<std::size_t>(filled_up(rows_at_once * width_))),
      below_(above_.size(), 1.0),
      found_in_(above_.size()),
      found_(above_.size()),
      past_of_(static_cast<std::size_t>(pasts_ * bins_)) {
    while (std::int64_t{1} << shift_ < width_) ++shift_;
    for (std::size_t i = 0; i < past_of_.size(); ++i) {
        past_of_[i] = static_cast<std::uint16_t>(i / static_cast<std::size_t>(bins_));
    }
    std::fill(tables_.data(), tables_.data() + tables_.size(), std::uint16_t{0});
}

bool LocalGroup::write(const Moves& all, const Group& group, const Schedule& schedule,
                       const Places& places, double* values, std::int64_t stride) {
    lane_ = group.lane;
    units_ = group.units;
    stride_ = stride;
    count_moves(all, schedule);
    Moves moves = all;
    for (std::int64_t s = 0; s < schedule.states(); ++s) {
        moves.rows = schedule.rows(0, s);
        moves.count = schedule.count(0, s);
        if (moves.count == 0) continue;
        // Where most cells are empty, the logarithms of those met are fewer than those of all.
        if (3 * moves.count < pasts_ * bins_) {
            write_each(moves, s, places.of(s), values);
        } else {
            write_from_table(moves, s, places.of(s), values);
        }
    }
    for (const std::uint32_t row : places.left_out()) {
        std::fill_n(values + row * stride, units_, nan);
    }
    for (std::size_t i = 0; i < past_.size(); ++i) {
        if (static_cast<std::int64_t>(i) % width_ < units_ && past_[i] > 0) return true;
    }
    return false;
}

void LocalGroup::count(Moves moves, double* sums) {
    std::fill(sums, sums + cells_, 0.0);
    for (std::int64_t left = moves.count; left > 0; left -= moves.count) {
        moves.count = std::min(left, most_increments);
        kernels_.count(moves, lane_, static_cast<int>(width_), tables_.data(), {});
        kernels_.add_counts(tables_.data(), cells_, true, sums);
        moves.rows += moves.count;
    }
}

// Moves of all states, and their pasts; where there is a table for each state, its counts too.
void LocalGroup::count_moves(const Moves& all, const Schedule& schedule) {
    if (kept_) {
        std::fill(moves_.begin(), moves_.end(), 0.0);
        Moves moves = all;
        for (std::int64_t s = 0; s < schedule.states(); ++s) {
            moves.rows = schedule.rows(0, s);
            moves.count = schedule.count(0, s);
            kernels_.count(moves, lane_, static_cast<int>(width_), table(s), {});
            kernels_.add_counts(table(s), cells_, false, moves_.data());
        }
    } else {
        count(all, moves_.data());
    }
    std::fill(past_.begin(), past_.end(), 0.0);
    const double* counts = moves_.data();
    for (double* sums = past_.data(); counts != moves_.data() + cells_; sums += width_) {
        for (std::int64_t next = 0; next < bins_; ++next, counts += width_) {
            for (std::int64_t i = 0; i < width_; ++i) sums[i] += counts[i];
        }
    }
}

// each(moves of the batch, its first): with their cells in found_in_.
template <class Each>
void LocalGroup::for_each_batch(Moves moves, Each&& each) {
    const std::int64_t count = moves.count;
    for (std::int64_t from = 0; from < count; from += rows_at_once) {
        moves.count = std::min(count - from, rows_at_once);
        kernels_.list_cells(moves, lane_, static_cast<int>(width_), found_in_.data());
        each(moves, from);
        moves.rows += moves.count;
    }
}

// Bits of the lanes whose move k touches no NaN.
unsigned counted_of(const Moves& moves, std::int64_t k, int lane) {
    if (!moves.valid) return 0xffff;
    const std::int64_t row = moves.rows[k];
    unsigned bits = moves.valid[row + 1];
    if (moves.past.length == 0) bits &= moves.valid[row];
    for (int i = 0; i < moves.past.length; ++i) bits &= moves.valid[row - moves.past.back[i]];
    return bits >> lane;
}

// NaN in place of what was written for lanes whose move touches one.
void LocalGroup::leave_out(const Moves& batch, const std::uint32_t* places, double* values) const {
    if (!batch.valid) return;
    for (std::int64_t k = 0; k < batch.count; ++k) {
        const unsigned counted = counted_of(batch, k, lane_);
        double* const to = values + places[k] * stride_;
        for (int i = 0; i < units_; ++i) {
            if (!((counted >> i) & 1)) to[i] = nan;
        }
    }
}

void LocalGroup::write_from_table(const Moves& moves, std::int64_t s, const std::uint32_t* places,
                                  double* values) {
    if (kept_) {
        std::fill(counts_.begin(), counts_.end(), 0.0);
        kernels_.add_counts(table(s), cells_, true, counts_.data());
    } else {
        count(moves, counts_.data());
    }
    kernels_.find_values(counts_.data(), moves_.data(), past_.data(), pasts_,
                         static_cast<int>(bins_), static_cast<int>(width_), unit_);
    for_each_batch(moves, [&](const Moves& batch, std::int64_t from) {
        kernels_.write_cells(counts_.data(), found_in_.data(), static_cast<int>(width_),
                             places + from, batch.count, units_, values, stride_);
        leave_out(batch, places + from, values);
    });
}

// each(cell of a table, its past's place in `start_`) for all that the moves of a batch count in.
template <class Each>
void LocalGroup::for_each_counted(const Moves& batch, Each&& each) const {
    for (std::int64_t k = 0; k < batch.count; ++k) {
        const unsigned counted = counted_of(batch, k, lane_);
        const std::uint16_t* const cells = found_in_.data() + k * width_;
        for (std::int64_t i = 0; i < width_; ++i) {
            const std::size_t lane = static_cast<std::size_t>(i), cell = cells[i];
            const std::size_t past = past_of_[cell >> shift_];
            if ((counted >> i) & 1) {
                each(static_cast<std::size_t>(k * width_) + lane, cell + lane,
                     (past << shift_) + lane);
            }
        }
    }
}

void LocalGroup::write_each(const Moves& moves, std::int64_t s, const std::uint32_t* places,
                            double* values) {
    // Their number is one that a counter takes.
    if (!kept_) kernels_.count(moves, lane_, static_cast<int>(width_), table(s), {});
    for_each_batch(moves, [&](const Moves& batch, std::int64_t) {
        for_each_counted(batch, [&](auto, auto, auto past) { start_[past] += 1; });
    });
    for_each_batch(moves, [&](const Moves& batch, std::int64_t from) {
        find_values_of(batch, table(s));
        for (std::int64_t k = 0; k < batch.count; ++k) {
            std::copy_n(found_.data() + k * width_, units_, values + places[from + k] * stride_);
        }
        leave_out(batch, places + from, values);
    });
    for_each_batch(moves, [&](const Moves& batch, std::int64_t) {
        for_each_counted(batch, [&](auto, auto cell, auto past) {
            table(s)[cell] = 0;
            start_[past] = 0;
        });
    });
}

// Of each move of a batch, in `found_`.
void LocalGroup::find_values_of(const Moves& batch, const std::uint16_t* table) {
    for_each_counted(batch, [&](auto at, auto cell, auto past) {
        above_[at] = table[cell] * past_[past];
        below_[at] = start_[past] * moves_[cell];
    });
    const std::int64_t count = filled_up(batch.count * width_);
    kernels_.log_ratios(above_.data(), below_.data(), count, unit_, found_.data());
}

bool fits_counters(const Schedule& schedule) {
    for (std::int64_t s = 0; s < schedule.states(); ++s) {
        if (schedule.count(0, s) > most_increments) return false;
    }
    return true;
}

// Of some units, whose codes are all there at once. values: of the first of them.
LocalResult of_codes(const Transitions& work, const Schedule& schedule, const Places& places,
                     const LogUnit& unit, double* values, std::int64_t stride, int threads) {
    Block block(work, threads);
    Chunk chunk(rows_of(work) + 1, block.strips(), work.omit);
    const bool kept = block.cells() * work.states <= most_kept && fits_counters(schedule);
    std::vector<std::unique_ptr<LocalGroup>> mine;
    for (int p = 0; p < threads; ++p) {
        mine.push_back(std::make_unique<LocalGroup>(work, block, kept, unit));
    }
    std::vector<char> counted(static_cast<std::size_t>(block.size()));
    Region region;
#pragma omp parallel num_threads(threads)
    region([&] {
        block.quantise_part(0, rows_of(work), omp_get_thread_num(), omp_get_num_threads(), chunk);
    });
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (std::int64_t g = 0; g < block.size(); ++g) {
        region([&] {
            const auto thread = static_cast<std::size_t>(omp_get_thread_num());
            const Group& group = block.groups()[static_cast<std::size_t>(g)];
            const std::int64_t count = schedule.count_before(0, schedule.states());
            const Moves moves = block.moves(chunk, group, schedule.rows(0, 0), count);
            counted[static_cast<std::size_t>(g)] =
                mine[thread]->write(moves, group, schedule, places, values + group.unit, stride);
        });
    }
    region.end();
    return {std::find(counted.begin(), counted.end(), 1) != counted.end(), block.clean()};
}

// New memory, by all threads, each its own part: two that first write to the same page at once
// would each clear one.
void touch(double* values, std::int64_t count, int threads) {
    constexpr std::int64_t page = 4096 / sizeof(double);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < count; i += page) values[i] = nan;
}

}  // namespace

LocalResult local_values(const Transitions& work, std::int64_t first, const LogUnit& unit,
                         double* values, int threads) {
    const std::int64_t rows = rows_of(work), units = work.target.shape[2];
    Schedule schedule = schedule_for(work, 0, rows, rows);
    schedule.order(work.source, threads);
    const Places places(work, first, schedule);
    touch(values, places.count() * units, threads);
    LocalResult found{false, true};
    const std::int64_t most = std::max(limits.kept_bytes / rows / lanes, std::int64_t{1}) * lanes;
    for (std::int64_t u = 0; u < units; u += most) {
        const Transitions part = of_units(work, u, std::min(most, units - u));
        const LocalResult some = of_codes(part, schedule, places, unit, values + u, units, threads);
        found.counted |= some.counted;
        found.clean &= some.clean;
    }
    return found;
}

}  // namespace tefast
