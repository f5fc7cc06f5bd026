// Rows through codes into tables that live on, by all threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/kernels.hpp"
#include "cpu/region.hpp"
#include "cpu/schedule.hpp"
#include "cpu/transitions.hpp"

namespace tefast {

// For chunks of `chunk` rows, of which no more than `most` rows from `first` on.
inline Schedule schedule_for(const Transitions& work, std::int64_t first, std::int64_t most,
                             std::int64_t chunk) {
    return Schedule(work.lengths, work.target.shape[0], work.target.shape[1],
                    work.past.with_next ? 1 : 0, work.states, first, most, chunk);
}

// Where part p of all (group, state) pairs begins: parts have equally many transitions.
struct Pair {
    std::int64_t group, state;
    bool operator<(const Pair& other) const {
        return group != other.group ? group < other.group : state < other.state;
    }
};

inline Pair part_begin(const Schedule& schedule, std::int64_t c, std::int64_t groups,
                       std::int64_t p, std::int64_t parts) {
    const std::int64_t states = schedule.states(), each = schedule.count_before(c, states);
    if (each == 0 || p == parts) return {groups, 0};
    const std::int64_t target = groups * each * p / parts;
    const std::int64_t rest = target % each;
    std::int64_t s = 0;
    while (schedule.count_before(c, s) < rest) ++s;
    return s == states ? Pair{target / each + 1, 0} : Pair{target / each, s};
}

// Tables that live through all chunks, and how full they are.
class Counter {
  public:
    Counter(const Transitions& work, const Block& block, int threads)
        : kernels_(kernels()),
          block_(block),
          states_(work.states),
          tables_(block, work.states, threads),
          filled_(static_cast<std::size_t>(work.states)) {}

    Tables& tables() { return tables_; }

    // Transitions of state s since its tables were emptied.
    std::int64_t filled(std::int64_t s) const { return filled_[static_cast<std::size_t>(s)]; }

    // The pairs from `at` to `end` of chunk c. Calls empty(group, state, table) before a counter
    // could overflow.
    template <class Empty>
    void count(const Schedule& schedule, std::int64_t c, const Chunk& chunk, Pair at,
               const Pair& end, Empty&& empty) {
        for (; at < end;
             at = at.state + 1 < states_ ? Pair{at.group, at.state + 1} : Pair{at.group + 1, 0}) {
            const Group& group = block_.groups()[static_cast<std::size_t>(at.group)];
            std::uint16_t* table = tables_.at(at.group, at.state);
            const std::int64_t n = schedule.count(c, at.state);
            if (overflows(at.state, n)) empty(group, at.state, table);
            const Moves moves = block_.moves(chunk, group, schedule.rows(c, at.state), n);
            kernels_.count(moves, group.lane, block_.width(), table,
                           ahead_of(schedule, c, chunk, at));
        }
    }

    // Note that all groups have counted chunk c.
    void add_chunk(const Schedule& schedule, std::int64_t c) {
        for (std::int64_t s = 0; s < states_; ++s) {
            const std::int64_t n = schedule.count(c, s);
            filled_[static_cast<std::size_t>(s)] =
                (overflows(s, n) ? 0 : filled_[static_cast<std::size_t>(s)]) + n;
        }
    }

  private:
    bool overflows(std::int64_t s, std::int64_t n) const {
        return filled_[static_cast<std::size_t>(s)] + n > most_increments;
    }

    // The next table, and of the next strip's codes as large a part as this state is of all.
    Ahead ahead_of(const Schedule& schedule, std::int64_t c, const Chunk& chunk, const Pair& at) {
        Ahead ahead;
        ahead.table_bytes = tables_.bytes_after(at.group, at.state);
        if (ahead.table_bytes) {
            const std::uint16_t* next = tables_.at(at.group, at.state) + block_.cells();
            ahead.table = reinterpret_cast<const char*>(next);
        }
        const std::int64_t strip = block_.groups()[static_cast<std::size_t>(at.group)].strip + 1;
        const std::int64_t all = schedule.count_before(c, states_);
        if (strip < block_.strips() && all > 0) {
            const std::int64_t bytes = (schedule.end(c) - schedule.begin(c)) * lanes;
            const std::int64_t from = bytes * schedule.count_before(c, at.state) / all;
            const std::int64_t to = bytes * schedule.count_before(c, at.state + 1) / all;
            ahead.codes = reinterpret_cast<const char*>(chunk.codes(strip)) + from;
            ahead.code_bytes = to - from;
        }
        return ahead;
    }

    const Kernels& kernels_;
    const Block& block_;
    std::int64_t states_;
    Tables tables_;
    std::vector<std::int64_t> filled_;  // transitions of each state since its tables were emptied
};

// Window after window of rows, chunk after chunk of each, through one of two ways:
// apart, each thread takes chunks of its own into tables of its own, which are added up at the
// end: nothing goes from one core to another, whose caches may lie far apart;
// together, all share chunks and tables, where tables for every thread would take too much room.
class Pipeline {
  public:
    Pipeline(const Transitions& work, Block& block, int threads)
        : work_(work),
          block_(block),
          threads_(threads),
          apart_(threads * (bytes_of_tables() + limits.chunk_bytes) <= limits.apart_bytes),
          chunk_rows_(rows_in_chunk()) {
        for (int p = 0; p < (apart_ ? threads : 1); ++p) {
            counters_.push_back(std::make_unique<Counter>(work, block, threads));
        }
        for (int i = 0; i < (apart_ ? threads : 2); ++i) {
            chunks_.push_back(std::make_unique<Chunk>(chunk_rows_ + 1, block.strips(), work.omit));
        }
    }

    // Calls empty(group, state, table), from any thread, before a counter could overflow.
    template <class Empty>
    void run(Empty&& empty) {
        for (std::int64_t from = 0; from < rows_of(work_); from += limits.window_rows) {
            Schedule schedule = schedule_for(work_, from, limits.window_rows, chunk_rows_);
            schedule.order(work_.source, threads_);
            if (apart_) {
                go_apart(schedule, empty);
            } else {
                go_together(schedule, empty);
            }
        }
    }

    // What was counted: tables to be added up.
    std::vector<std::unique_ptr<Counter>>& counters() { return counters_; }

  private:
    std::int64_t bytes_of_tables() const {
        return block_.size() * work_.states * block_.cells() * std::int64_t{sizeof(std::uint16_t)};
    }

    std::int64_t rows_in_chunk() const {
        const std::int64_t rows = rows_of(work_),
                           fits = limits.chunk_bytes / (block_.strips() * lanes);
        const std::int64_t most =
            std::min(rows, std::clamp<std::int64_t>(fits, limits.least_rows, 32768));
        if (!apart_) return most;
        // As many chunks for every thread.
        const std::int64_t rounds = (rows + most * threads_ - 1) / (most * threads_);
        return (rows + rounds * threads_ - 1) / (rounds * threads_);
    }

    template <class Empty>
    void go_apart(const Schedule& schedule, Empty&& empty) {
        Region region;
#pragma omp parallel num_threads(threads_)
        {
            const int p = omp_get_thread_num();
            Counter& counter = *counters_[static_cast<std::size_t>(p)];
            Chunk& chunk = *chunks_[static_cast<std::size_t>(p)];
#pragma omp for schedule(dynamic, 1)
            for (std::int64_t c = 0; c < schedule.chunks(); ++c) {
                region([&] {
                    chunk.start();
                    block_.quantise(schedule.begin(c), schedule.end(c), p, chunk);
                    counter.count(schedule, c, chunk, {0, 0}, {block_.size(), 0}, empty);
                    counter.add_chunk(schedule, c);
                });
            }
        }
        region.end();
    }

    // While chunk c is counted, c + 1 is quantised. Every other thread begins with the one and the
    // rest with the other, so that memory and arithmetic are both kept busy.
    template <class Empty>
    void go_together(const Schedule& schedule, Empty&& empty) {
        Counter& counter = *counters_[0];
        Region region;
#pragma omp parallel num_threads(threads_)
        {
            const std::int64_t parts = omp_get_num_threads(), p = omp_get_thread_num();
            const auto quantise = [&](std::int64_t c) {
                if (c >= schedule.chunks()) return;
                const std::int64_t first = schedule.begin(c), rows = schedule.end(c) - first;
                region([&] {
                    block_.quantise_part(first, first + rows, p, parts,
                                         *chunks_[static_cast<std::size_t>(c % 2)]);
                });
            };
            quantise(0);
#pragma omp barrier
            for (std::int64_t c = 0; c < schedule.chunks(); ++c) {
                if (p % 2 == 0) quantise(c + 1);
                region([&] {
                    counter.count(schedule, c, *chunks_[static_cast<std::size_t>(c % 2)],
                                  part_begin(schedule, c, block_.size(), p, parts),
                                  part_begin(schedule, c, block_.size(), p + 1, parts), empty);
                });
                if (p % 2 == 1) quantise(c + 1);
#pragma omp barrier
#pragma omp single
                {
                    counter.add_chunk(schedule, c);
                    chunks_[static_cast<std::size_t>(c % 2)]->start();  // which c + 2 goes into
                }
            }
        }
        region.end();
    }

    const Transitions& work_;
    Block& block_;
    int threads_;
    bool apart_;
    std::int64_t chunk_rows_;
    std::vector<std::unique_ptr<Counter>> counters_;
    std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace tefast
