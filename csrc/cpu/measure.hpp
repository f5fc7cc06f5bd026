// Counts to transfer entropy, and to what else is made of the same sums.
//
// With n ln n of every count of (next, past, source state), of past, of (next, past) and of
// (past, source state), summed over their cells and called A, B, C and D,
//     N * T = A + B - C - D    in nats, N being the number of transitions
// (Schreiber 2000, written out in counts). Beside conditions each of the four is summed over the
// states of the conditions too. With one past alone the same is mutual information.
//
// The terms are rounded to multiples of 2**-44 nats once, and sums of integers do not depend on
// their order: the result is the same to the last bit whatever the threads, chunks and instruction
// sets.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/told.hpp"

namespace tefast {

// n ln n in units of 2**-44. 128 bits hold it for every sum of counts below 2**63.
__extension__ typedef unsigned __int128 Wide;

// n ln n of any count, in units of 2**-44.
class Terms {
  public:
    Terms();
    Wide operator()(std::uint64_t n) const {
        return n < std::uint64_t{narrow_end} ? narrow_[n] : wide(n);
    }

    // Of counts below `narrow_end`, whose n ln n fits into 64 bits.
    const std::uint64_t* narrow() const { return narrow_; }

    static constexpr std::int64_t narrow_end = 65536;

  private:
    static Wide wide(std::uint64_t n);

    const std::uint64_t* narrow_;
};

// A + B less C + D, divided by N, in nats; never negative, NaN where N is 0.
double mean_nats(Wide given, Wide spread, std::uint64_t all);

// The same of A + B - C - D modulo 2**64, for N below 65,536 and no more than 256 bins, of which
// the difference is less than 2**63.
double mean_nats(std::uint64_t difference, std::uint64_t all);

// B, C and N of a unit: the same for every source that has a state at the same transitions.
struct Margins {
    Wide past, moves;
    std::uint64_t all;
};

// The sums of the terms of a strip's counts.
class StripTerms {
  public:
    explicit StripTerms(const Terms& terms) : kernels_(&kernels()), terms_(terms.narrow()) {}

    // As `Kernels::add_terms` takes them.
    void add(std::uint16_t* rows, std::int64_t parts, std::int64_t each, std::int64_t moves,
             bool clear, std::uint16_t* sums_of_parts, std::uint16_t* totals = nullptr);

    // Adds the sums to sums (lanes,), and forgets them.
    void move_to(Wide* sums);

  private:
    void add_reached();

    const Kernels* kernels_;
    const std::uint64_t* terms_;
    RowTerms found_{};
    std::int64_t rows_ = 0;  // whose counts may be in found_.reached
};

// Sums up the counts of a few units whose tables come one source state at a time.
class Measure {
  public:
    Measure(std::int64_t pasts, std::int64_t nexts, int units, Told told = Told::by_source);

    // all: transitions of a unit, at most. known: (units,), or null: what tables add is to be
    // summed up. If given, it must last, and there may be no conditions.
    void reset(std::int64_t all, const Margins* known = nullptr);

    // table: (pasts * nexts, units), row past * nexts + next, of one source state; no more than
    // `moves` transitions of a unit, at most 65,535. It is at 0 afterwards, with `clear`.
    void add(std::uint16_t* table, std::int64_t moves, bool clear);

    // The same, but only of the cells (moves, units) in which the moves of this state fell; the
    // table is at 0 afterwards.
    void take(std::uint16_t* table, const std::uint16_t* cells, std::int64_t moves);

    // The same for counts of any size.
    void add(const std::uint64_t* table);

    // The same for counts of any size, of one unit alone: cell (next, past) of the state is
    // counts[(next * pasts + past) * stride].
    void add(const std::int64_t* counts, std::int64_t stride);

    // What was added since the last call belongs to one state of the conditions. To be called after
    // each of them, of which the last needs no call.
    void end_condition();

    // What is told of each unit in nats; NaN where nothing was counted.
    void finish(double* nats);

    // margins: (units,), of what was added before `finish`; none may have been known.
    void margins(Margins* margins) const;

  private:
    void add_strip(std::uint16_t* table, std::int64_t moves, bool clear);
    void add_strip_pasts();
    void end_strip();
    std::uint16_t* strip_moves_for(std::int64_t moves);
    void empty_strip_moves();
    // Of pasts_ that hold no more than 65,535 of a unit.
    void add_past_states();
    void add_margins_of(std::size_t u);
    void add_strip_margins();
    double nats_of(std::size_t u, const Margins& of) const;

    const Kernels* kernels_;
    Terms terms_;
    Told told_;
    const Margins* known_ = nullptr;
    std::int64_t pasts_in_all_, nexts_;
    int units_;
    std::vector<Wide> joint_, past_state_;      // A and D of each unit so far
    std::vector<std::uint64_t> moves_, pasts_;  // (pasts * nexts, units), (pasts, units)
    std::vector<Margins> margins_;              // (units,), of the conditions that have ended
    std::vector<Wide> next_;                    // the terms of (next), for active information
    // Of strips: the sums so far, and the pasts of a few states that are not yet among them.
    StripTerms strip_joint_, strip_past_state_, strip_margins_;
    std::vector<std::uint16_t> strip_pasts_, strip_moves_;
    std::int64_t past_rows_ = 0, past_moves_ = 0;
    std::int64_t since_ = 0;     // about so many moves were added since a condition ended
    std::int64_t in_strip_ = 0;  // transitions in strip_moves_, at most
    bool wide_ = false;          // whether there are some in moves_
    bool narrow_ = false;        // whether all terms together fit into 64 bits
};

// counts: (U, nexts, pasts, states), as users see them: next, past, source state.
struct Counted {
    const std::int64_t* counts;
    std::int64_t units, nexts, pasts, states;
    Told told = Told::by_source;
    std::int64_t inner = 0;  // as `Transitions` has it
};

void score_counts(const Counted& given, double* nats, int threads);

}  // namespace tefast
