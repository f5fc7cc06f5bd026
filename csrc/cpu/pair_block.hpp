// The tables of some targets beside some sources, from products of their rows of bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/pairs.hpp"

namespace tefast {

using Counts = std::vector<std::int64_t>;

constexpr std::int64_t chunk = 512;      // words of a row that are multiplied at a time
constexpr std::int64_t block_rows = 96;  // rows of a side whose chunks stay in the cache together

inline std::int64_t block_units(const PairSide& side) {
    return std::max<std::int64_t>(1, block_rows / std::max<std::int64_t>(1, side.states - 1));
}

inline BitRows rows_of(const BitRows& all, std::int64_t first, std::int64_t count) {
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

    // Of these targets and sources nothing is counted yet.
    void begin(std::int64_t u, std::int64_t units, std::int64_t s, std::int64_t sources) {
        rows_ = states_of(work_.targets, u, units);
        any_ = any_of(work_.targets, u, units);
        column_rows_ = states_of(work_.sources, s, sources);
        any_column_ = any_of(work_.sources, s, sources);
        columns_ = column_rows_.count;
        any_columns_ = any_column_.count;
        both_.assign(static_cast<std::size_t>(rows_.count * columns_), 0);
        move_.assign(static_cast<std::size_t>(rows_.count * any_columns_), 0);
        state_.assign(static_cast<std::size_t>(any_.count * columns_), 0);
        all_.assign(static_cast<std::size_t>(any_.count * any_columns_), 0);
    }

    // The chunk of words from `from` on.
    void add(std::int64_t from) {
        add(from, rows_, column_rows_, both_);
        add(from, rows_, any_column_, move_);
        add(from, any_, column_rows_, state_);
        add(from, any_, any_column_, all_);
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

    // Whether all pairs have the same steps in common, so that the counts of a target's moves are
    // the same beside every source, and those of a source's states beside every target.
    bool alike() const { return work_.targets.any.count == 1 && any_columns_ == 1; }

    // Of blocks that are alike: how often target u is in a move but the last.
    std::int64_t move(std::int64_t u, std::int64_t m) const {
        return move_[static_cast<std::size_t>(u * (moves_ - 1) + m)];
    }

    // The same of source s and its states.
    const std::int64_t* state(std::int64_t s) const { return state_.data() + s * (states_ - 1); }

    // How often target u is in a move and the source s, s + 1 ... in a state, but the last of both.
    const std::int64_t* both(std::int64_t u, std::int64_t m, std::int64_t s) const {
        return both_.data() + (u * (moves_ - 1) + m) * columns_ + s * (states_ - 1);
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

    void add(std::int64_t from, const BitRows& a, const BitRows& b, Counts& counts) const {
        const std::int64_t some = std::min(chunk, work_.words - from);
        kernels().multiply_bits({a.data + from, a.count, a.stride},
                                {b.data + from, b.count, b.stride}, some, counts.data(), b.count);
    }

    const Pairs& work_;
    std::int64_t moves_, states_, columns_ = 0, any_columns_ = 0;
    BitRows rows_{}, any_{}, column_rows_{}, any_column_{};
    // Of moves by states, moves by any, any by states, any by any.
    Counts both_, move_, state_, all_;
    Counts table_;
};

}  // namespace tefast
