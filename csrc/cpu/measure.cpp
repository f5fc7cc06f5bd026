#include "cpu/measure.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/region.hpp"

namespace tefast {
namespace {

constexpr double one = 0x1p44;  // a nat

constexpr std::int64_t most_counted = 65535;  // in 16 bits

constexpr std::int64_t rows_at_once = 128;  // of pasts, whose terms are added together

double scaled(std::uint64_t n) {
    const double count = static_cast<double>(n);
    return n < 2 ? 0.0 : std::nearbyint(count * std::log(count) * one);
}

// The sum over the cells of `width` neighbouring units. It fits into 64 bits, since there are no
// more than 65,535 transitions.
template <int width>
void add_terms(const std::uint64_t* terms, const std::uint16_t* table, std::size_t cells,
               std::size_t stride, Wide* sums) {
    std::uint64_t sum[width] = {};
    for (std::size_t cell = 0; cell < cells; ++cell, table += stride) {
        for (int i = 0; i < width; ++i) sum[i] += terms[table[i]];
    }
    for (int i = 0; i < width; ++i) sums[i] += sum[i];
}

}  // namespace

Terms::Terms() {
    static const std::vector<std::uint64_t> terms = [] {
        std::vector<std::uint64_t> made(std::size_t{narrow_end});
        for (std::uint64_t n = 0; n < made.size(); ++n)
            made[n] = static_cast<std::uint64_t>(scaled(n));
        return made;
    }();
    narrow_ = terms.data();
}

Wide Terms::wide(std::uint64_t n) { return static_cast<Wide>(scaled(n)); }

// Sums are never negative but for rounding, of which nobody should see a trace.
double mean_nats(Wide given, Wide spread, std::uint64_t all) {
    const double sum = given > spread ? static_cast<double>(given - spread) : 0.0;
    return all ? sum / one / static_cast<double>(all) : std::numeric_limits<double>::quiet_NaN();
}

double mean_nats(std::uint64_t difference, std::uint64_t all) {
    const auto sum = std::max(static_cast<std::int64_t>(difference), std::int64_t{0});
    return all ? static_cast<double>(sum) / one / static_cast<double>(all)
               : std::numeric_limits<double>::quiet_NaN();
}

void StripTerms::add(std::uint16_t* rows, std::int64_t parts, std::int64_t each, std::int64_t moves,
                     bool clear, std::uint16_t* sums_of_parts, std::uint16_t* totals) {
    if (rows_ + parts * each > most_counted) add_reached();  // a lane of `reached` takes no more
    kernels_->add_terms(rows, parts, each, moves, clear, terms_, sums_of_parts, totals, found_);
    rows_ += parts * each;
}

void StripTerms::add_reached() {
    for (int n = 2; n <= most_reached; ++n) {
        const std::uint64_t more = terms_[n] - terms_[n - 1];
        for (std::size_t u = 0; u < lanes; ++u) found_.sums[u] += more * found_.reached[n][u];
    }
    for (auto& counts : found_.reached) std::fill(counts, counts + lanes, std::uint16_t{0});
    rows_ = 0;
}

void StripTerms::move_to(Wide* sums) {
    if (rows_) add_reached();
    for (std::size_t u = 0; u < lanes; ++u) sums[u] += found_.sums[u];
    std::fill(found_.sums, found_.sums + lanes, std::uint64_t{0});
}

Measure::Measure(std::int64_t pasts, std::int64_t nexts, int units, Told told)
    : kernels_(&kernels()),
      told_(told),
      pasts_in_all_(pasts),
      nexts_(nexts),
      units_(units),
      joint_(static_cast<std::size_t>(units)),
      past_state_(joint_.size()),
      moves_(static_cast<std::size_t>(pasts * nexts) * joint_.size()),
      pasts_(static_cast<std::size_t>(pasts) * joint_.size()),
      margins_(joint_.size()),
      next_(joint_.size()),
      strip_joint_(terms_),
      strip_past_state_(terms_),
      strip_margins_(terms_),
      strip_pasts_(static_cast<std::size_t>(std::max(pasts, rows_at_once) * lanes)),
      strip_moves_(units == lanes ? moves_.size() : 0) {}

void Measure::reset(std::int64_t all, const Margins* known) {
    known_ = known;
    narrow_ = all < Terms::narrow_end;
    since_ = 0;
    std::fill(joint_.begin(), joint_.end(), Wide{0});
    std::fill(past_state_.begin(), past_state_.end(), Wide{0});
    std::fill(margins_.begin(), margins_.end(), Margins{0, 0, 0});
    std::fill(next_.begin(), next_.end(), Wide{0});
}

void Measure::add(std::uint16_t* table, std::int64_t moves, bool clear) {
    since_ += moves + 1;
    if (units_ == lanes) return add_strip(table, moves, clear);
    const std::size_t units = joint_.size(), cells = moves_.size() / units;
    const std::uint64_t* const narrow = terms_.narrow();
    std::size_t u = 0;
    for (; u + 4 <= units; u += 4) add_terms<4>(narrow, table + u, cells, units, &joint_[u]);
    for (; u < units; ++u) add_terms<1>(narrow, table + u, cells, units, &joint_[u]);
    std::fill(pasts_.begin(), pasts_.end(), std::uint64_t{0});
    std::uint64_t* const to = known_ ? nullptr : moves_.data();
    kernels_->add_margins(table, pasts_in_all_, static_cast<int>(nexts_), units_, to,
                          pasts_.data());
    add_past_states();
    if (clear) std::fill(table, table + moves_.size(), std::uint16_t{0});
}

void Measure::add_strip(std::uint16_t* table, std::int64_t moves, bool clear) {
    std::uint16_t* const totals = strip_moves_for(moves);
    const std::int64_t room = static_cast<std::int64_t>(strip_pasts_.size()) / lanes;
    if (past_rows_ + pasts_in_all_ > room) add_strip_pasts();
    std::uint16_t* const pasts = strip_pasts_.data() + past_rows_ * lanes;
    strip_joint_.add(table, pasts_in_all_, nexts_, moves, clear, pasts, totals);
    past_rows_ += pasts_in_all_;
    past_moves_ += moves;
    if (!narrow_) end_strip();
}

// Where so many moves are added up in 16 bits; null if they are known.
std::uint16_t* Measure::strip_moves_for(std::int64_t moves) {
    if (known_) return nullptr;
    if (in_strip_ + moves > most_counted) empty_strip_moves();
    in_strip_ += moves;
    return strip_moves_.data();
}

void Measure::empty_strip_moves() {
    if (in_strip_ == 0) return;
    for (std::size_t i = 0; i < moves_.size(); ++i) moves_[i] += strip_moves_[i];
    std::fill(strip_moves_.begin(), strip_moves_.end(), std::uint16_t{0});
    in_strip_ = 0;
    wide_ = true;
}

// The pasts of several states at once: their terms are worth the vectors then.
void Measure::add_strip_pasts() {
    strip_past_state_.add(strip_pasts_.data(), 1, past_rows_, past_moves_, false, nullptr);
    past_rows_ = past_moves_ = 0;
}

void Measure::end_strip() {
    add_strip_pasts();
    strip_joint_.move_to(joint_.data());
    strip_past_state_.move_to(past_state_.data());
}

void Measure::take(std::uint16_t* table, const std::uint16_t* cells, std::int64_t moves) {
    since_ += moves;
    const std::size_t units = joint_.size();
    const auto row = static_cast<std::uint32_t>(nexts_ * units_);  // 32 bits divide faster
    const std::uint64_t* const narrow = terms_.narrow();
    std::uint16_t* const totals = units_ == lanes ? strip_moves_for(moves) : nullptr;
    std::fill(pasts_.begin(), pasts_.end(), std::uint64_t{0});
    for (std::int64_t k = 0; k < moves; ++k, cells += units) {
        for (std::size_t u = 0; u < units; ++u) {
            const std::size_t cell = cells[u] + u;
            const std::uint16_t n = table[cell];
            table[cell] = 0;  // a cell is met as often as it was counted, and taken once
            joint_[u] += narrow[n];
            if (totals) {
                totals[cell] = static_cast<std::uint16_t>(totals[cell] + n);
            } else if (!known_) {
                moves_[cell] += n;
            }
            pasts_[cells[u] / row * units + u] += n;
        }
    }
    add_past_states();
}

void Measure::add_past_states() {
    const std::uint64_t* const narrow = terms_.narrow();
    const std::size_t units = joint_.size();
    for (std::size_t u = 0; u < units; ++u) {
        std::uint64_t sum = 0;
        for (std::size_t i = u; i < pasts_.size(); i += units) sum += narrow[pasts_[i]];
        past_state_[u] += sum;
    }
}

void Measure::add(const std::uint64_t* table) {
    ++since_;
    wide_ = true;
    const Terms term(terms_);
    const std::size_t units = joint_.size(), nexts = static_cast<std::size_t>(nexts_);
    std::fill(pasts_.begin(), pasts_.end(), std::uint64_t{0});
    for (std::size_t cell = 0; cell < moves_.size() / units; ++cell, table += units) {
        for (std::size_t u = 0; u < units; ++u) {
            joint_[u] += term(table[u]);
            if (!known_) moves_[cell * units + u] += table[u];
            pasts_[cell / nexts * units + u] += table[u];
        }
    }
    for (std::size_t i = 0; i < pasts_.size(); ++i) past_state_[i % units] += term(pasts_[i]);
}

void Measure::add(const std::int64_t* counts, std::int64_t stride) {
    ++since_;
    const Terms term(terms_);
    for (std::int64_t past = 0; past < pasts_in_all_; ++past) {
        std::uint64_t total = 0;
        for (std::int64_t next = 0; next < nexts_; ++next) {
            const auto n =
                static_cast<std::uint64_t>(counts[(next * pasts_in_all_ + past) * stride]);
            moves_[static_cast<std::size_t>(past * nexts_ + next)] += n;
            joint_[0] += term(n);
            total += n;
        }
        past_state_[0] += term(total);
    }
}

void Measure::add_margins_of(std::size_t u) {
    const Terms term(terms_);
    const std::size_t units = joint_.size(), nexts = static_cast<std::size_t>(nexts_);
    Margins& found = margins_[u];
    for (std::size_t past = 0; past < static_cast<std::size_t>(pasts_in_all_); ++past) {
        std::uint64_t total = 0;
        for (std::size_t next = 0; next < nexts; ++next) {
            const std::uint64_t n = moves_[(past * nexts + next) * units + u];
            found.moves += term(n);
            total += n;
        }
        found.past += term(total);
        found.all += total;
    }
    if (told_ != Told::by_past) return;
    for (std::size_t next = 0; next < nexts; ++next) {
        std::uint64_t total = 0;
        for (std::size_t i = next * units + u; i < moves_.size(); i += nexts * units) {
            total += moves_[i];
        }
        next_[u] += term(total);
    }
}

// The same of a strip, in whose 16-bit table all its moves fit.
void Measure::add_strip_margins() {
    std::uint16_t *const moves = strip_moves_.data(), *const pasts = strip_pasts_.data();
    const std::size_t row = static_cast<std::size_t>(nexts_ * lanes), units = joint_.size();
    std::uint16_t totals[lanes];
    Wide sums[3][lanes] = {};
    add_strip_pasts();  // to have their room
    strip_margins_.add(moves, pasts_in_all_, nexts_, since_, false, pasts);
    strip_margins_.move_to(sums[0]);
    strip_margins_.add(pasts, 1, pasts_in_all_, since_, false, totals);
    strip_margins_.move_to(sums[1]);
    if (told_ == Told::by_past) {
        for (std::size_t past = row; past < moves_.size(); past += row) {
            for (std::size_t i = 0; i < row; ++i) {
                moves[i] = static_cast<std::uint16_t>(moves[i] + moves[past + i]);
            }
        }
        strip_margins_.add(moves, 1, nexts_, since_, false, nullptr);
        strip_margins_.move_to(sums[2]);
    }
    std::fill(strip_moves_.begin(), strip_moves_.end(), std::uint16_t{0});
    in_strip_ = 0;
    for (std::size_t u = 0; u < units; ++u) {
        margins_[u].moves += sums[0][u];
        margins_[u].past += sums[1][u];
        margins_[u].all += totals[u];
        next_[u] += sums[2][u];
    }
}

void Measure::end_condition() {
    if (known_ || since_ == 0) return;
    if (units_ == lanes && !wide_) {
        add_strip_margins();
    } else {
        empty_strip_moves();
        for (std::size_t u = 0; u < joint_.size(); ++u) add_margins_of(u);
        std::fill(moves_.begin(), moves_.end(), std::uint64_t{0});
        wide_ = false;
    }
    since_ = 0;
}

void Measure::margins(Margins* margins) const {
    std::copy(margins_.begin(), margins_.end(), margins);
}

double Measure::nats_of(std::size_t u, const Margins& of) const {
    switch (told_) {
        case Told::by_past:
            return mean_nats(of.moves + terms_(of.all), of.past + next_[u], of.all);
        case Told::by_nothing:
            return mean_nats(of.past, of.moves, of.all);
        case Told::by_source:
            break;
    }
    return mean_nats(joint_[u] + of.past, past_state_[u] + of.moves, of.all);
}

void Measure::finish(double* nats) {
    if (units_ == lanes) end_strip();
    end_condition();
    for (std::size_t u = 0; u < joint_.size(); ++u) {
        nats[u] = nats_of(u, known_ ? known_[u] : margins_[u]);
    }
}

void score_counts(const Counted& given, double* nats, int threads) {
    std::vector<Measure> measures(static_cast<std::size_t>(threads),
                                  Measure(given.pasts, given.nexts, 1, given.told));
    const std::int64_t cells = given.pasts * given.nexts * given.states;
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t u = 0; u < given.units; ++u) {
        region([&] {
            Measure& measure = measures[static_cast<std::size_t>(omp_get_thread_num())];
            measure.reset(0);
            for (std::int64_t s = 0; s < given.states; ++s) {
                if (given.inner && s % given.inner == 0) measure.end_condition();
                measure.add(given.counts + u * cells + s, given.states);
            }
            measure.finish(nats + u);
        });
    }
    region.end();
}

}  // namespace tefast
