#include "cpu/pairs.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/measure.hpp"
#include "cpu/region.hpp"

namespace tefast {
namespace {

using Counts = std::vector<std::int64_t>;

constexpr std::int64_t chunk = 512;      // words of a row that are multiplied at a time
constexpr std::int64_t block_rows = 96;  // rows of a side whose chunks stay in the cache together

std::int64_t block_units(const PairSide& side) {
    return std::max<std::int64_t>(1, block_rows / std::max<std::int64_t>(1, side.states - 1));
}

BitRows rows_of(const BitRows& all, std::int64_t first, std::int64_t count) {
    return {all.data + first * all.stride, count, all.stride};
}

// The tables of some targets by some sources.
class PairBlock {
  public:
    explicit PairBlock(const Pairs& work)
        : work_(work),
          moves_(work.targets.states),
          states_(work.sources.states),
          table_(static_cast<std::size_t>(moves_ * states_)) {}

    void multiply(std::int64_t u, std::int64_t units, std::int64_t s, std::int64_t sources) {
        const BitRows rows = states_of(work_.targets, u, units);
        const BitRows any = any_of(work_.targets, u, units);
        const BitRows columns = states_of(work_.sources, s, sources);
        const BitRows any_column = any_of(work_.sources, s, sources);
        both_.assign(static_cast<std::size_t>(rows.count * columns.count), 0);
        move_.assign(static_cast<std::size_t>(rows.count * any_column.count), 0);
        state_.assign(static_cast<std::size_t>(any.count * columns.count), 0);
        all_.assign(static_cast<std::size_t>(any.count * any_column.count), 0);
        columns_ = columns.count;
        any_columns_ = any_column.count;
        add(rows, columns, both_);
        add(rows, any_column, move_);
        add(any, columns, state_);
        add(any, any_column, all_);
    }

    // The table (moves, states) of target u and source s of the block.
    const Counts& table(std::int64_t u, std::int64_t s) {
        const std::int64_t u_any = work_.targets.any.count == 1 ? 0 : u;
        const std::int64_t s_any = any_columns_ == 1 ? 0 : s;
        const std::int64_t row = u * (moves_ - 1), column = s * (states_ - 1);
        std::int64_t* const last = &table_[at(moves_ - 1, 0)];
        for (std::int64_t q = 0; q + 1 < states_; ++q) {
            last[q] = state_[static_cast<std::size_t>(u_any * columns_ + column + q)];
        }
        last[states_ - 1] = all(u, s);
        for (std::int64_t m = 0; m + 1 < moves_; ++m) {
            std::int64_t* const out = &table_[at(m, 0)];
            std::int64_t rest = move_[static_cast<std::size_t>((row + m) * any_columns_ + s_any)];
            last[states_ - 1] -= rest;
            const std::int64_t* const in = both_.data() + (row + m) * columns_ + column;
            for (std::int64_t q = 0; q + 1 < states_; ++q) {
                out[q] = in[q];
                last[q] -= in[q];
                rest -= in[q];
            }
            out[states_ - 1] = rest;
        }
        // What is left of the last move is in the last state, or in one of the others.
        for (std::int64_t q = 0; q + 1 < states_; ++q) last[states_ - 1] -= last[q];
        return table_;
    }

    // The sum of that table.
    std::int64_t all(std::int64_t u, std::int64_t s) const {
        const std::int64_t u_any = work_.targets.any.count == 1 ? 0 : u;
        const std::int64_t s_any = any_columns_ == 1 ? 0 : s;
        return all_[static_cast<std::size_t>(u_any * any_columns_ + s_any)];
    }

  private:
    std::size_t at(std::int64_t m, std::int64_t q) const {
        return static_cast<std::size_t>(m * states_ + q);
    }

    static BitRows states_of(const PairSide& side, std::int64_t first, std::int64_t units) {
        const std::int64_t each = side.states - 1;
        return rows_of(side.rows, first * each, units * each);
    }

    static BitRows any_of(const PairSide& side, std::int64_t first, std::int64_t units) {
        return side.any.count == 1 ? side.any : rows_of(side.any, first, units);
    }

    void add(const BitRows& a, const BitRows& b, Counts& counts) const {
        for (std::int64_t from = 0; from < work_.words; from += chunk) {
            const std::int64_t some = std::min(chunk, work_.words - from);
            kernels().multiply_bits({a.data + from, a.count, a.stride},
                                    {b.data + from, b.count, b.stride}, some, counts.data(),
                                    b.count);
        }
    }

    const Pairs& work_;
    std::int64_t moves_, states_, columns_ = 0, any_columns_ = 0;
    Counts both_, move_, state_,
        all_;  // of states by states, states by any, any by ..., any by any
    Counts table_;
};

// A + B less C + D of a table, as measure.hpp has them.
class PairMeasure {
  public:
    explicit PairMeasure(const Pairs& work)
        : nexts_(work.nexts), states_(work.sources.states), moves_(work.targets.states) {
        pasts_.resize(static_cast<std::size_t>(states_));
    }

    // all: what the table holds in all.
    double nats(const Counts& table, std::int64_t all) {
        const std::uint64_t* const narrow = terms_.narrow();
        if (all < Terms::narrow_end) {
            // Of rows that are no states of one series a count may be below 0: it is a wrong number
            // then, but a place in the table.
            return sum<std::uint64_t>(table, all, [narrow](std::int64_t n) {
                return narrow[static_cast<std::uint16_t>(n)];
            });
        }
        return sum<Wide>(table, all,
                         [this](std::int64_t n) { return terms_(static_cast<std::uint64_t>(n)); });
    }

  private:
    // Sums of so few counts fit into 64 bits that those of 128 are not always needed.
    template <class Sum, class Term>
    double sum(const Counts& table, std::int64_t all, Term term) {
        Sum given = 0, spread = 0;
        const std::int64_t* row = table.data();
        for (std::int64_t past = 0; past < moves_ / nexts_; ++past) {
            std::fill(pasts_.begin(), pasts_.end(), std::int64_t{0});
            std::int64_t of_past = 0;
            for (std::int64_t next = 0; next < nexts_; ++next, row += states_) {
                std::int64_t of_move = 0;
                for (std::int64_t q = 0; q < states_; ++q) {
                    given += term(row[q]);
                    of_move += row[q];
                    pasts_[static_cast<std::size_t>(q)] += row[q];
                }
                spread += term(of_move);
                of_past += of_move;
            }
            given += term(of_past);
            for (const std::int64_t n : pasts_) spread += term(n);
        }
        return mean_nats(given, spread, static_cast<std::uint64_t>(all));
    }

    Terms terms_;
    std::int64_t nexts_, states_, moves_;
    Counts pasts_;
};

// Calls use(own, s, u, table, all) for all pairs, on all threads; `own` is what `make` gives each.
template <class Make, class Use>
void for_blocks(const Pairs& work, int threads, Make make, Use use) {
    const std::int64_t across = block_units(work.targets), down = block_units(work.sources);
    const std::int64_t columns = (work.targets.units + across - 1) / across;
    const std::int64_t rows = (work.sources.units + down - 1) / down;
    std::vector<PairBlock> blocks(static_cast<std::size_t>(threads), PairBlock(work));
    std::vector<decltype(make())> owns(blocks.size(), make());
    Region region;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (std::int64_t i = 0; i < rows * columns; ++i) {
        region([&] {
            const auto thread = static_cast<std::size_t>(omp_get_thread_num());
            PairBlock& block = blocks[thread];
            auto& own = owns[thread];
            const std::int64_t u = i % columns * across, s = i / columns * down;
            const std::int64_t units = std::min(across, work.targets.units - u);
            const std::int64_t sources = std::min(down, work.sources.units - s);
            block.multiply(u, units, s, sources);
            for (std::int64_t j = 0; j < sources; ++j) {
                for (std::int64_t k = 0; k < units; ++k) {
                    use(own, s + j, u + k, block.table(k, j), block.all(k, j));
                }
            }
        });
    }
    region.end();
}

}  // namespace

void score_pairs(const Pairs& work, double* nats, std::int64_t stride, int threads) {
    for_blocks(
        work, threads, [&] { return PairMeasure(work); },
        [&](PairMeasure& measure, std::int64_t s, std::int64_t u, const Counts& table,
            std::int64_t all) { nats[s * stride + u] = measure.nats(table, all); });
}

void count_pairs(const Pairs& work, std::int64_t* counts, int threads) {
    for_blocks(
        work, threads, [] { return 0; },
        [&](int, std::int64_t s, std::int64_t u, const Counts& table, std::int64_t) {
            const auto cells = static_cast<std::int64_t>(table.size());
            std::copy(table.begin(), table.end(), counts + (s * work.targets.units + u) * cells);
        });
}

}  // namespace tefast
