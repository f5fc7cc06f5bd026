#include "cpu/transitions.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/measure.hpp"
#include "cpu/pipeline.hpp"
#include "cpu/region.hpp"
#include "cpu/resident.hpp"
#include "cpu/schedule.hpp"
#include "cpu/spill.hpp"
#include "cpu/thread_measures.hpp"

namespace tefast {
namespace {

std::int64_t cells_of(const Transitions& work) { return moves_of(work) * work.states; }

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

// Adds the table of state s to counts (U, nexts, pasts, states), and clears it.
void spill(const Transitions& work, const Group& group, int width, std::int64_t s,
           std::uint16_t* table, std::int64_t* counts) {
    const std::int64_t pasts = pasts_of(work), nexts = nexts_of(work), states = work.states;
    const std::int64_t cells = pasts * nexts;
    for (std::int64_t past = 0; past < pasts; ++past) {
        for (std::int64_t next = 0; next < nexts; ++next, table += width) {
            std::int64_t* to = counts + (next * pasts + past) * states + s;
            for (int i = 0; i < group.units; ++i)
                add_to(to[(group.unit + i) * cells * states], table[i]);
            std::fill(table, table + width, std::uint16_t{0});
        }
    }
}

// The codes of all rows are there at once, and tables need not outlive their state.
bool score_codes(const Transitions& work, const std::vector<Schedule>& schedules, int threads,
                 double* nats) {
    Resident codes(work, 1, threads);
    codes.score(schedules, {true}, 1, nats, work.target.shape[2]);
    return codes.clean();
}

bool score_tables(const Transitions& work, int threads, double* nats) {
    Block block(work, threads);
    Pipeline pipeline(work, block, threads);
    pipeline.run([](const Group&, std::int64_t, std::uint16_t*) {});  // no counter can overflow
    ThreadMeasures measures(work, block.width(), threads);
    auto& counters = pipeline.counters();
    const auto measure = [&](std::int64_t g) {
        measures.mine().reset(rows_of(work));
        for (std::int64_t s = 0; s < work.states; ++s) {
            if (work.inner && s % work.inner == 0) measures.mine().end_condition();
            std::uint16_t* table = counters[0]->tables().at(g, s);
            std::int64_t moves = counters[0]->filled(s);
            for (std::size_t p = 1; p < counters.size(); ++p) {
                const std::uint16_t* other = counters[p]->tables().at(g, s);
                moves += counters[p]->filled(s);
                for (std::int64_t i = 0; i < block.cells(); ++i) {
                    table[i] = static_cast<std::uint16_t>(table[i] + other[i]);
                }
            }
            measures.mine().add(table, moves, false);
        }
        measures.finish(block.groups()[static_cast<std::size_t>(g)], nats);
    };
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < block.size(); ++g) region([&] { measure(g); });
    region.end();
    return block.clean();
}

bool add_counts(const Transitions& work, int threads, std::int64_t* counts) {
    Block block(work, threads);
    Pipeline pipeline(work, block, threads);
    std::mutex mutex;  // two threads may have to empty their tables of one group
    pipeline.run([&](const Group& group, std::int64_t s, std::uint16_t* table) {
        const std::lock_guard<std::mutex> lock(mutex);
        spill(work, group, block.width(), s, table, counts);
    });
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t g = 0; g < block.size(); ++g) {
        region([&] {
            for (auto& counter : pipeline.counters()) {
                spill_all(block.groups()[static_cast<std::size_t>(g)], block.width(),
                          pasts_of(work), nexts_of(work), work.states, counter->tables().at(g, 0),
                          counts);
            }
        });
    }
    region.end();
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
        score_counts({counts.data(), units, nexts_of(work), pasts_of(work), work.states, work.told,
                      work.inner},
                     nats + first, threads);
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

// Whether two sources (rows,) miss the same states.
bool same_gaps(const std::int16_t* a, const std::int16_t* b, std::int64_t rows) {
    return std::equal(a, a + rows, b, [](int s, int t) { return (s < 0) == (t < 0); });
}

}  // namespace

Limits limits;

Transitions of_units(Transitions work, std::int64_t first, std::int64_t units) {
    work.target.data += first * work.target.stride[2];
    work.target.shape[2] = units;
    if (work.edges.inner) work.edges.inner += first * work.edges.unit_stride;
    return work;
}

void use_limits(const Limits& other) {
    if (other.least_rows < 1 || other.least_rows > 32768 || other.window_rows < 1)
        throw std::invalid_argument("rows must be positive, and least_rows at most 32768");
    for (const std::int64_t bytes :
         {other.chunk_bytes, other.resident_bytes, other.table_bytes, other.apart_bytes,
          other.kept_bytes, other.schedule_bytes, other.window_rows}) {
        if (bytes < 0 || bytes > std::int64_t{1} << 48)
            throw std::invalid_argument("limits must lie in 0 .. 2**48");
    }
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
    if (most_frequent_state(work) > most_increments) {
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
        std::vector<Schedule> schedules(1, schedule_for(work, 0, rows, rows));
        schedules[0].order(work.source, threads);
        for_each_block(work, room / rows, [&](const Transitions& part, std::int64_t first) {
            clean &= score_codes(part, schedules, threads, nats + first);
        });
    } else {
        for_each_block(work, units_with_room(each),
                       [&](const Transitions& part, std::int64_t first) {
                           clean &= score_tables(part, threads, nats + first);
                       });
    }
    return clean;
}

bool transfer_entropies(const Transitions& work, const std::int16_t* sources, std::int64_t S,
                        double* nats, int threads) {
    if (S == 1 && work.past.length == 0) {
        Transitions alone = work;
        alone.source = sources;
        return transfer_entropy(alone, nats, threads);  // without keeping the codes
    }
    const std::int64_t rows = rows_of(work), units = work.target.shape[2];
    const std::int64_t unit_bytes = work.omit ? rows + rows / 8 : rows;
    // No fewer than threads, some of which else would wait where there are few units.
    const std::int64_t fit = std::max<std::int64_t>(limits.schedule_bytes / (4 * rows), threads);
    const std::int64_t most = std::min(fit, S);
    std::vector<Schedule> schedules(static_cast<std::size_t>(most),
                                    schedule_for(work, 0, rows, rows));
    std::vector<char> alike(schedules.size());
    const auto prepare = [&](std::int64_t from, std::int64_t count) {
        Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (std::int64_t i = 0; i < count; ++i) {
            region([&] {
                const std::int16_t* const source = sources + (from + i) * rows;
                schedules[static_cast<std::size_t>(i)].order(source, 1);
                alike[static_cast<std::size_t>(i)] = same_gaps(source, sources, rows);
            });
        }
        region.end();
    };
    bool clean = true;
    // A strip of codes takes the same room however few of its units are wanted.
    const std::int64_t kept = std::max(limits.kept_bytes / unit_bytes, lanes);
    for_each_block(work, kept, [&](const Transitions& part, std::int64_t u) {
        Resident codes(part, S, threads);
        for (std::int64_t from = 0; from < S; from += most) {
            const std::int64_t count = std::min(most, S - from);
            prepare(from, count);
            codes.score(schedules, alike, count, nats + from * units + u, units);
        }
        clean &= codes.clean();
    });
    return clean;
}

}  // namespace tefast
