// Counts to transfer entropy.
//
// With n ln n of every count of (next, past, source state), of past, of (next, past) and of
// (past, source state), summed over their cells and called A, B, C and D,
//     N * T = A + B - C - D    in nats, N being the number of transitions
// (Schreiber 2000, written out in counts). The terms are rounded to multiples of 2**-44 nats once,
// and sums of integers do not depend on their order: the result is the same to the last bit
// whatever the threads, chunks and instruction sets.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"

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
             bool clear, std::uint16_t* sums_of_parts);

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
    Measure(std::int64_t pasts, int bins, int units);

    // all: transitions of a unit, at most. known: (units,), or null: what tables add is to be
    // summed up. If given, it must last.
    void reset(std::int64_t all, const Margins* known = nullptr);

    // table: (pasts * bins, units), row past * bins + next, of one source state; about `moves`
    // transitions of a unit, no more than 65,535. It is at 0 afterwards, with `clear`.
    void add(std::uint16_t* table, std::int64_t moves, bool clear);

    // The same, but only of the cells (moves, units) in which the moves of this state fell; the
    // table is at 0 afterwards.
    void take(std::uint16_t* table, const std::uint16_t* cells, std::int64_t moves);

    // The same for counts of any size.
    void add(const std::uint64_t* table);

    // The same for counts of any size, of one unit alone: cell (next, past) of the state is
    // counts[(next * pasts + past) * stride].
    void add(const std::int64_t* counts, std::int64_t stride);

    // Transfer entropy in nats of each unit; NaN where nothing was counted.
    void finish(double* nats);

    // margins: (units,), of what was added; none may have been known.
    void margins(Margins* margins) const;

  private:
    void add_strip(std::uint16_t* table, std::int64_t moves, bool clear);
    void add_strip_pasts();
    void end_strip();
    // Of pasts_ that hold no more than 65,535 of a unit.
    void add_past_states();
    Margins margins_of(std::size_t u) const;

    const Kernels* kernels_;
    Terms terms_;
    const Margins* known_ = nullptr;
    std::int64_t pasts_in_all_;
    int bins_, units_;
    std::vector<Wide> joint_, past_state_;      // A and D of each unit so far
    std::vector<std::uint64_t> moves_, pasts_;  // (pasts * bins, units), (pasts, units)
    // Of strips: the sums so far, and the pasts of a few states that are not yet among them.
    StripTerms strip_joint_, strip_past_state_;
    std::vector<std::uint16_t> strip_pasts_;
    std::int64_t past_rows_ = 0, past_moves_ = 0;
    bool narrow_ = false;  // whether all terms together fit into 64 bits
};

// counts: (U, bins, bins, states), as users see them: next, past, source state.
void score_counts(const std::int64_t* counts, std::int64_t units, int bins, std::int64_t states,
                  double* nats, int threads);

}  // namespace tefast
