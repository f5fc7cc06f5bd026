#include "cpu/transitions.hpp"

#include <omp.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/measure.hpp"
#include "cpu/pipeline.hpp"
#include "cpu/schedule.hpp"

namespace tefast {
namespace {

std::int64_t cells_of(const Transitions& work) {
    return std::int64_t{work.edges.bins} * work.edges.bins * work.states;
}

Transitions of_units(Transitions work, std::int64_t first, std::int64_t units) {
    work.target.data += first * work.target.stride[2];
    work.target.shape[2] = units;
    if (work.edges.inner) work.edges.inner += first * work.edges.unit_stride;
    return work;
}

// Units whose tables of `each` bytes have room, and whose chunks do not need more than theirs for
// the least of rows.
std::int64_t units_with_room(std::int64_t each) {
    return std::min(limits.table_bytes / each,
                    std::max(limits.chunk_bytes / limits.least_rows, lanes));
}

// Calls each(part, first unit) for blocks of at most `most` units, whole strips if it can be.
template <class Each>
void for_each_block(const Transitions& work, std::int64_t most, Each&& each) {
    if (most > lanes) most = most / lanes * lanes;
    most = std::max<std::int64_t>(most, 1);
    const std::int64_t units = work.target.shape[2];
    for (std::int64_t u = 0; u < units; u += most) {
        each(of_units(work, u, std::min(most, units - u)), u);
    }
}

// Adds the table of one state to counts (U, bins, bins, states), and clears it.
void spill(const Group& group, int width, int bins, std::int64_t states, std::int64_t s,
           std::uint16_t* table, std::int64_t* counts) {
    const std::int64_t cells = std::int64_t{bins} * bins;
    for (int past = 0; past < bins; ++past) {
        for (int next = 0; next < bins; ++next, table += width) {
            std::int64_t* to = counts + (std::int64_t{next} * bins + past) * states + s;
            for (int i = 0; i < group.units; ++i) to[(group.unit + i) * cells * states] += table[i];
            std::fill(table, table + width, std::uint16_t{0});
        }
    }
}

// The same of all states, whose tables (states, cells, width) follow each other and are not needed
// any more: in the order in which the counts lie.
void spill_all(const Group& group, int width, int bins, std::int64_t states,
               const std::uint16_t* tables, std::int64_t* counts) {
    const std::int64_t cells = std::int64_t{bins} * bins, each = cells * width;
    for (int i = 0; i < group.units; ++i) {
        std::int64_t* to = counts + (group.unit + i) * cells * states;
        for (int next = 0; next < bins; ++next) {
            for (int past = 0; past < bins; ++past, to += states) {
                const std::uint16_t* from = tables + (std::int64_t{past} * bins + next) * width + i;
                for (std::int64_t s = 0; s < states; ++s) to[s] += from[s * each];
            }
        }
    }
}

// One for each thread: sums, and where the results of a group go before they are known to exist.
class Meters {
  public:
    Meters(const Block& block, int bins, int threads)
        : measures_(static_cast<std::size_t>(threads), Measure(bins, block.width())),
          found_(static_cast<std::size_t>(threads * lanes)) {}

    Measure& mine() {
        Measure& measure = measures_[static_cast<std::size_t>(omp_get_thread_num())];
        return measure;
    }

    void finish(const Group& group, double* nats) {
        double* found = found_.data() + omp_get_thread_num() * lanes;
        mine().finish(found);
        std::copy(found, found + group.units, nats + group.unit);
    }

  private:
    std::vector<Measure> measures_;
    std::vector<double> found_;
};

// Counts of one group and state, measured and forgotten.
class OneTable {
  public:
    OneTable(const Block& block, std::int64_t most_moves)
        : kernels_(kernels()),
          width_(block.width()),
          sparse_(most_moves < block.cells() / block.width() / 4),
          table_(static_cast<std::size_t>(block.cells())),
          cells_(sparse_ ? static_cast<std::size_t>(most_moves * block.width()) : 0) {
        std::fill(table_.data(), table_.data() + table_.size(), std::uint16_t{0});
    }

    void measure(const Moves& moves, const Group& group, Measure& measure) {
        kernels_.count(moves, group.lane, width_, table_.data(), {});
        if (sparse_) {
            // Few cells were touched, so only those are looked at.
            kernels_.list_cells(moves, group.lane, width_, cells_.data());
            measure.take(table_.data(), cells_.data(), moves.count);
        } else {
            measure.add(table_.data());
            std::fill(table_.data(), table_.data() + table_.size(), std::uint16_t{0});
        }
    }

  private:
    const Kernels& kernels_;
    int width_;
    bool sparse_;
    Buffer<std::uint16_t> table_, cells_;
};

// A small table for each thread is enough where the codes of all rows are there at once.
bool score_codes(const Transitions& work, const Schedule& schedule, std::int64_t most_moves,
                 int threads, double* nats) {
    Block block(work, threads);
    Chunk chunk(rows_of(work) + 1, block.strips(), work.omit);
    Meters meters(block, work.edges.bins, threads);
    std::vector<std::unique_ptr<OneTable>> tables;
    for (int p = 0; p < threads; ++p) {
        tables.push_back(std::make_unique<OneTable>(block, most_moves));
    }
#pragma omp parallel num_threads(threads)
    {
        const std::int64_t parts = omp_get_num_threads(), p = omp_get_thread_num();
        OneTable& table = *tables[static_cast<std::size_t>(p)];
        block.quantise_part(0, rows_of(work), p, parts, chunk);
#pragma omp barrier
#pragma omp for schedule(dynamic)
        for (std::int64_t g = 0; g < block.size(); ++g) {
            const Group& group = block.groups()[static_cast<std::size_t>(g)];
            meters.mine().reset();
            for (std::int64_t s = 0; s < work.states; ++s) {
                const Moves moves =
                    block.moves(chunk, group, schedule.rows(0, s), schedule.count(0, s));
                table.measure(moves, group, meters.mine());
            }
            meters.finish(group, nats);
        }
    }
    return block.clean();
}

bool score_tables(const Transitions& work, int threads, double* nats) {
    Block block(work, threads);
    Pipeline pipeline(work, block, threads);
    pipeline.run([](const Group&, std::int64_t, std::uint16_t*) {});  // no counter can overflow
    Meters meters(block, work.edges.bins, threads);
    auto& counters = pipeline.counters();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < block.size(); ++g) {
        meters.mine().reset();
        for (std::int64_t s = 0; s < work.states; ++s) {
            std::uint16_t* table = counters[0]->tables().at(g, s);
            for (std::size_t p = 1; p < counters.size(); ++p) {
                const std::uint16_t* other = counters[p]->tables().at(g, s);
                for (std::int64_t i = 0; i < block.cells(); ++i) {
                    table[i] = static_cast<std::uint16_t>(table[i] + other[i]);
                }
            }
            meters.mine().add(table);
        }
        meters.finish(block.groups()[static_cast<std::size_t>(g)], nats);
    }
    return block.clean();
}

bool add_counts(const Transitions& work, int threads, std::int64_t* counts) {
    Block block(work, threads);
    Pipeline pipeline(work, block, threads);
    std::mutex mutex;  // two threads may have to empty their tables of one group
    pipeline.run([&](const Group& group, std::int64_t s, std::uint16_t* table) {
        const std::lock_guard<std::mutex> lock(mutex);
        spill(group, block.width(), work.edges.bins, work.states, s, table, counts);
    });
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < block.size(); ++g) {
        for (auto& counter : pipeline.counters()) {
            spill_all(block.groups()[static_cast<std::size_t>(g)], block.width(), work.edges.bins,
                      work.states, counter->tables().at(g, 0), counts);
        }
    }
    return block.clean();
}

bool score_through_counts(const Transitions& work, int threads, double* nats) {
    bool clean = true;
    const std::int64_t each = cells_of(work), most = units_with_room(each * 8);
    for_each_block(work, most, [&](const Transitions& part, std::int64_t first) {
        const std::int64_t units = part.target.shape[2];
        Buffer<std::int64_t> counts(static_cast<std::size_t>(units * each));
        std::fill(counts.data(), counts.data() + counts.size(), std::int64_t{0});
        clean &= add_counts(part, threads, counts.data());
        score_counts(counts.data(), units, work.edges.bins, work.states, nats + first, threads);
    });
    return clean;
}

// Upper bound of the transitions of any one state.
std::int64_t most_frequent_state(const Transitions& work) {
    std::vector<std::int64_t> seen(static_cast<std::size_t>(work.states));
    for (std::int64_t row = 0; row < rows_of(work); ++row) {
        if (work.source[row] >= 0) ++seen[static_cast<std::size_t>(work.source[row])];
    }
    return *std::max_element(seen.begin(), seen.end());
}

}  // namespace

Limits limits;

void use_limits(const Limits& other) {
    if (other.least_rows < 1 || other.least_rows > 32768 || other.window_rows < 1)
        throw std::invalid_argument("rows must be positive, and least_rows at most 32768");
    limits = other;
}

bool count_transitions(const Transitions& work, std::int64_t* counts, int threads) {
    bool clean = true;
    const std::int64_t each = cells_of(work);
    for_each_block(work, units_with_room(each * 2),
                   [&](const Transitions& part, std::int64_t first) {
                       clean &= add_counts(part, threads, counts + first * each);
                   });
    return clean;
}

bool transfer_entropy(const Transitions& work, double* nats, int threads) {
    const std::int64_t most_moves = most_frequent_state(work);
    if (most_moves > most_increments) {
        return score_through_counts(work, threads, nats);
    }
    const std::int64_t rows = rows_of(work), units = work.target.shape[2];
    const std::int64_t each = cells_of(work) * std::int64_t{sizeof(std::uint16_t)};
    // Codes may take as much room as the counts would, for large tables within reason.
    const std::int64_t room =
        std::clamp(4 * each * units, limits.resident_bytes, 4 * limits.resident_bytes);
    const bool few_rows = rows * units <= 2 * limits.chunk_bytes && units >= threads * lanes;
    const bool large_tables = each * units > limits.table_bytes && rows * lanes <= room;
    bool clean = true;
    if (few_rows || large_tables) {
        const Schedule schedule = schedule_of(work, 0, rows, rows, threads);
        for_each_block(work, room / rows, [&](const Transitions& part, std::int64_t first) {
            clean &= score_codes(part, schedule, most_moves, threads, nats + first);
        });
    } else {
        for_each_block(work, units_with_room(each),
                       [&](const Transitions& part, std::int64_t first) {
                           clean &= score_tables(part, threads, nats + first);
                       });
    }
    return clean;
}

}  // namespace tefast
