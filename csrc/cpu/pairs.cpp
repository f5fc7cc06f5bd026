#include "cpu/pairs.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/measure.hpp"
#include "cpu/pair_block.hpp"
#include "cpu/region.hpp"

namespace tefast {
namespace {

// Calls use(zero of the type of sums, term of a count) for tables that hold so much in all: sums
// of few counts need no 128 bits.
template <class Use>
auto with_terms(const Terms& terms, std::int64_t all, Use use) {
    if (all < Terms::narrow_end) {
        const std::uint64_t* const narrow = terms.narrow();
        // Of rows that are no states of one series a count may be below 0: it is a wrong number
        // then, but a place in the table.
        return use(std::uint64_t{0},
                   [narrow](std::int64_t n) { return narrow[static_cast<std::uint16_t>(n)]; });
    }
    return use(Wide{0}, [&terms](std::int64_t n) { return terms(static_cast<std::uint64_t>(n)); });
}

double nats_of(std::uint64_t given, std::uint64_t spread, std::int64_t all) {
    return mean_nats(given - spread, static_cast<std::uint64_t>(all));
}

double nats_of(Wide given, Wide spread, std::int64_t all) {
    return mean_nats(given, spread, static_cast<std::uint64_t>(all));
}

// A + B less C + D of a table, as measure.hpp has them.
class PairMeasure {
  public:
    explicit PairMeasure(const Pairs& work)
        : nexts_(work.nexts), states_(work.sources.states), moves_(work.targets.states) {
        pasts_.resize(static_cast<std::size_t>(states_));
    }

    // all: what the table holds in all.
    double nats(const Counts& table, std::int64_t all) {
        return with_terms(terms_, all, [&](auto zero, auto term) {
            return sum<decltype(zero)>(table, all, term);
        });
    }

  private:
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
        return nats_of(given, spread, all);
    }

    Terms terms_;
    std::int64_t nexts_, states_, moves_;
    Counts pasts_;
};

// The same for a whole block of one step of the past and of the source, of so few symbols that
// the loops over them are unrolled, where all pairs have the same steps in common.
template <int bins>
class FewSymbols {
  public:
    explicit FewSymbols(const PairBlock& block) : block_(block), all_(block.all(0, 0)) {}

    // nats: (sources, units), whose rows lie `stride` apart.
    void score(std::int64_t units, std::int64_t sources, double* nats, std::int64_t stride) const {
        with_terms(terms_, all_, [&](auto zero, auto term) {
            for (std::int64_t u = 0; u < units; ++u) {
                score_target<decltype(zero)>(u, sources, nats + u, stride, term);
            }
        });
    }

  private:
    static constexpr int moves = bins * bins;

    template <class Sum, class Term>
    void score_target(std::int64_t u, std::int64_t sources, double* nats, std::int64_t stride,
                      Term term) const {
        std::int64_t move[moves], rest = all_;
        for (int m = 0; m + 1 < moves; ++m) rest -= move[m] = block_.move(u, m);
        move[moves - 1] = rest;
        Sum given = 0, spread = 0;
        for (int past = 0; past < bins; ++past) {
            std::int64_t total = 0;
            for (int next = 0; next < bins; ++next) {
                total += move[past * bins + next];
                spread += term(move[past * bins + next]);
            }
            given += term(total);
        }
        const std::int64_t* both[moves - 1];
        for (int m = 0; m + 1 < moves; ++m) both[m] = block_.both(u, m, 0);
        for (std::int64_t s = 0; s < sources; ++s) {
            Sum more_given = given, more_spread = spread;
            std::int64_t last_state[moves];  // what is left of each move for the last state
            std::copy(move, move + moves, last_state);
            const std::int64_t* const state = block_.state(s);
            for (int q = 0; q + 1 < bins; ++q) {
                std::int64_t of_move[moves], left = state[q];
                for (int m = 0; m + 1 < moves; ++m) left -= of_move[m] = *both[m]++;
                of_move[moves - 1] = left;
                for (int m = 0; m < moves; ++m) last_state[m] -= of_move[m];
                add_state(of_move, more_given, more_spread, term);
            }
            add_state(last_state, more_given, more_spread, term);
            nats[s * stride] = nats_of(more_given, more_spread, all_);
        }
    }

    // of_move: (moves,) of one state of the source.
    template <class Sum, class Term>
    static void add_state(const std::int64_t* of_move, Sum& given, Sum& spread, Term term) {
        for (int past = 0; past < bins; ++past) {
            std::int64_t total = 0;
            for (int next = 0; next < bins; ++next) {
                total += of_move[past * bins + next];
                given += term(of_move[past * bins + next]);
            }
            spread += term(total);
        }
    }

    const PairBlock& block_;
    std::int64_t all_;
    Terms terms_;
};

// Whether the loops for so many symbols did it.
bool score_few(const Pairs& work, const PairBlock& block, std::int64_t units, std::int64_t sources,
               double* nats, std::int64_t stride) {
    const std::int64_t bins = work.nexts;
    if (work.targets.states != bins * bins || work.sources.states != bins || !block.alike()) {
        return false;
    }
    if (bins == 2) {
        FewSymbols<2>(block).score(units, sources, nats, stride);
    } else if (bins == 3) {
        FewSymbols<3>(block).score(units, sources, nats, stride);
    } else if (bins == 4) {
        FewSymbols<4>(block).score(units, sources, nats, stride);
    }
    return 2 <= bins && bins <= 4;
}

// Calls use(block, own, d, s, sources, u, units) for all blocks of each job d, on all threads;
// `own` is what `make` gives each. All jobs have the same targets, whose chunks are read once for
// all.
template <class Make, class Use>
void for_blocks(const std::vector<Pairs>& jobs, int threads, Make make, Use use) {
    const Pairs& work = jobs[0];
    const std::int64_t across = block_units(work.targets), down = block_units(work.sources);
    const std::int64_t columns = (work.targets.units + across - 1) / across;
    const std::int64_t rows = (work.sources.units + down - 1) / down;
    const std::vector<PairBlock> of_jobs(jobs.begin(), jobs.end());
    std::vector<std::vector<PairBlock>> blocks(static_cast<std::size_t>(threads), of_jobs);
    std::vector<decltype(make())> owns(blocks.size(), make());
    Region region;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
    for (std::int64_t i = 0; i < rows * columns; ++i) {
        region([&] {
            const auto thread = static_cast<std::size_t>(omp_get_thread_num());
            const std::int64_t u = i % columns * across, s = i / columns * down;
            const std::int64_t units = std::min(across, work.targets.units - u);
            const std::int64_t sources = std::min(down, work.sources.units - s);
            for (PairBlock& block : blocks[thread]) block.begin(u, units, s, sources);
            for (std::int64_t from = 0; from < work.words; from += chunk) {
                for (PairBlock& block : blocks[thread]) block.add(from);
            }
            std::int64_t d = 0;
            for (PairBlock& block : blocks[thread]) {
                use(block, owns[thread], d++, s, sources, u, units);
            }
        });
    }
    region.end();
}

}  // namespace

void score_pairs(const std::vector<Pairs>& jobs, double* nats, int threads) {
    const std::int64_t targets = jobs[0].targets.units, each = jobs[0].sources.units * targets;
    for_blocks(
        jobs, threads, [&] { return PairMeasure(jobs[0]); },
        [&](PairBlock& block, PairMeasure& measure, std::int64_t d, std::int64_t s,
            std::int64_t sources, std::int64_t u, std::int64_t units) {
            double* const out = nats + d * each + s * targets + u;
            if (score_few(jobs[0], block, units, sources, out, targets)) return;
            for (std::int64_t j = 0; j < sources; ++j) {
                for (std::int64_t k = 0; k < units; ++k) {
                    out[j * targets + k] = measure.nats(block.table(k, j), block.all(k, j));
                }
            }
        });
}

void count_pairs(const Pairs& work, std::int64_t* counts, int threads) {
    for_blocks(
        {work}, threads, [] { return 0; },
        [&](PairBlock& block, int, std::int64_t, std::int64_t s, std::int64_t sources,
            std::int64_t u, std::int64_t units) {
            for (std::int64_t j = 0; j < sources; ++j) {
                for (std::int64_t k = 0; k < units; ++k) {
                    const Counts& table = block.table(k, j);
                    const auto cells = static_cast<std::int64_t>(table.size());
                    const std::int64_t pair = (s + j) * work.targets.units + u + k;
                    std::copy(table.begin(), table.end(), counts + pair * cells);
                }
            }
        });
}

}  // namespace tefast
