#include "cpu/conditional.hpp"

#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cpu/measure.hpp"
#include "cpu/region.hpp"

namespace tefast {
namespace {

using Labels = std::vector<std::uint32_t>;

constexpr std::int64_t missing_key = -1;
// Tables of more cells than these are not kept: their cells are sorted instead.
constexpr std::uint64_t most_cells = std::uint64_t{1} << 22;

// Numbers 0, 1, ... for the keys that occur, in their order.
class Numbering {
  public:
    // keys: of any number and order; those below 0 are left out.
    explicit Numbering(std::vector<std::int64_t> keys) {
        const std::int64_t most =
            keys.empty() ? missing_key : *std::max_element(keys.begin(), keys.end());
        const auto few = static_cast<std::int64_t>(4 * keys.size() + 65536);
        if (most < few) {
            direct_.assign(static_cast<std::size_t>(most + 1), 0);
            for (const std::int64_t key : keys) {
                if (key >= 0) direct_[static_cast<std::size_t>(key)] = 1;
            }
            for (std::size_t key = 0; key < direct_.size(); ++key) {
                if (!direct_[key]) continue;
                direct_[key] = static_cast<std::uint32_t>(found_.size());
                found_.push_back(static_cast<std::int64_t>(key));
            }
        } else {
            std::sort(keys.begin(), keys.end());
            keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
            keys.erase(keys.begin(), std::lower_bound(keys.begin(), keys.end(), 0));
            found_ = std::move(keys);
        }
    }

    std::size_t size() const { return found_.size(); }
    std::int64_t key(std::size_t number) const { return found_[number]; }

    // Of a key that occurs.
    std::uint32_t operator[](std::int64_t key) const {
        if (!direct_.empty()) return direct_[static_cast<std::size_t>(key)];
        const auto at = std::lower_bound(found_.begin(), found_.end(), key);
        return static_cast<std::uint32_t>(at - found_.begin());
    }

  private:
    std::vector<std::int64_t> found_;  // rising
    Labels direct_;                    // by key, where the highest one is not far beyond the number
};

// What the walks through a unit's transitions have in common. Missing ones have a row and a past of
// their own, the last ones, so that a walk needs no branch.
struct Unit {
    Labels row;                  // (M,): the number of (past, next)
    Labels past;                 // (rows + 1,): the number of a row's past
    Labels first;                // (pasts + 1,): where the list of a past begins
    Labels list;                 // (M,): the source's states, past by past
    Wide given = 0, spread = 0;  // sums of n ln n over pasts; over (past, next) and (past, state)
    std::uint64_t all = 0;       // transitions that are there

    std::size_t rows() const { return past.size() - 1; }
    std::size_t pasts() const { return first.size() - 1; }
};

// What one thread works with.
struct Scratch {
    Labels cursor, table;
    std::vector<std::uint64_t> met;
};

// The rows of unit u, and the pasts of these.
void number_rows(const Conditional& work, std::int64_t u, Unit& unit) {
    const std::int64_t M = work.shape[0], U = work.shape[1];
    std::vector<std::int64_t> keys(static_cast<std::size_t>(M));
    for (std::int64_t j = 0; j < M; ++j) keys[static_cast<std::size_t>(j)] = work.own[j * U + u];
    const Numbering numbers(keys);
    std::uint32_t past = 0;
    for (std::size_t q = 0; q < numbers.size(); ++q) {
        past += q > 0 && numbers.key(q) / work.nexts != numbers.key(q - 1) / work.nexts;
        unit.past.push_back(past);
    }
    unit.past.push_back(numbers.size() ? past + 1 : 0);
    unit.row.resize(keys.size());
    const auto last = static_cast<std::uint32_t>(numbers.size());
    for (std::size_t j = 0; j < keys.size(); ++j) {
        unit.row[j] = keys[j] < 0 ? last : numbers[keys[j]];
    }
}

// The lists of the source's states, and the sums that no exchange changes.
void list_states(const Labels& source, std::size_t states, Unit& unit) {
    const Terms term;
    std::vector<std::uint64_t> rows(unit.rows() + 1), beside(states);
    for (const std::uint32_t q : unit.row) ++rows[q];
    const std::uint32_t absent = unit.past.back();
    unit.first.assign(absent + 1, 0);
    for (std::size_t q = 0; q < unit.rows(); ++q) {
        unit.spread += term(rows[q]);
        unit.first[unit.past[q] + 1] += static_cast<std::uint32_t>(rows[q]);
    }
    for (std::size_t p = 0; p < absent; ++p) {
        unit.given += term(unit.first[p + 1]);
        unit.first[p + 1] += unit.first[p];
    }
    unit.all = unit.first[absent];
    unit.list.resize(unit.row.size());
    Labels next = unit.first;
    for (std::size_t j = 0; j < unit.row.size(); ++j) {
        unit.list[next[unit.past[unit.row[j]]]++] = source[j];
    }
    for (std::size_t p = 0; p < absent; ++p) {
        for (std::uint32_t i = unit.first[p]; i < unit.first[p + 1]; ++i) ++beside[unit.list[i]];
        for (std::uint32_t i = unit.first[p]; i < unit.first[p + 1]; ++i) {
            unit.spread += term(beside[unit.list[i]]);  // once: what was met is 0 from then on
            beside[unit.list[i]] = 0;
        }
    }
}

// Calls each(cell) for every transition in the order of a surrogate, with its cell in a table
// (rows + 1, states).
template <class Each>
void walk(const Unit& unit, const std::uint32_t* order, std::size_t states, Labels& cursor,
          Each&& each) {
    cursor.assign(unit.first.begin(), unit.first.end());
    const std::uint32_t* const row = unit.row.data();
    const std::uint32_t* const past = unit.past.data();
    const std::uint32_t* const list = unit.list.data();
    std::uint32_t* const used = cursor.data();
    for (std::size_t k = 0; k < unit.row.size(); ++k) {
        const std::uint32_t q = row[order[k]];
        each(std::uint64_t{q} * states + list[used[past[q]]++]);
    }
}

// The sum of n ln n over the cells (past, next, state) that are there.
Wide joint_sum(const Unit& unit, const std::uint32_t* order, std::size_t states, Scratch& scratch) {
    const Terms term;
    const std::uint64_t end = std::uint64_t{unit.rows()} * states, cells = end + states;
    const std::size_t M = unit.row.size();
    Wide sum = 0;
    if (cells > most_cells) {
        std::vector<std::uint64_t>& met = scratch.met;
        met.clear();
        walk(unit, order, states, scratch.cursor, [&](std::uint64_t cell) { met.push_back(cell); });
        std::sort(met.begin(), met.end());
        for (std::size_t from = 0, to = 0; from < M && met[from] < end; from = to) {
            while (to < M && met[to] == met[from]) ++to;
            sum += term(to - from);
        }
        return sum;
    }
    scratch.table.resize(
        std::max<std::size_t>(scratch.table.size(), cells));  // all 0 between walks
    std::uint32_t* const table = scratch.table.data();
    if (cells <= 4 * M + 4096) {
        walk(unit, order, states, scratch.cursor, [&](std::uint64_t cell) { ++table[cell]; });
        for (std::uint64_t cell = 0; cell < end; ++cell) sum += term(table[cell]);
        std::fill(table, table + cells, std::uint32_t{0});
        return sum;
    }
    // Most cells stay empty, so only those are looked at that were met.
    scratch.met.resize(M);
    std::uint64_t* to = scratch.met.data();
    walk(unit, order, states, scratch.cursor, [&](std::uint64_t cell) {
        ++table[cell];
        *to++ = cell;
    });
    for (const std::uint64_t cell : scratch.met) {
        if (cell < end) sum += term(table[cell]);
        table[cell] = 0;
    }
    return sum;
}

}  // namespace

void conditional_surrogates(const Conditional& work, double* nats, int threads) {
    const std::int64_t M = work.shape[0], U = work.shape[1], S = work.surrogates;
    const Numbering states(std::vector<std::int64_t>(work.source, work.source + M));
    Labels source(static_cast<std::size_t>(M));
    for (std::int64_t j = 0; j < M; ++j)
        source[static_cast<std::size_t>(j)] = states[work.source[j]];
    std::vector<Unit> units(static_cast<std::size_t>(U));
    std::vector<Scratch> scratch(static_cast<std::size_t>(threads));
    Region region;
#pragma omp parallel num_threads(threads)
    {
        Scratch& mine = scratch[static_cast<std::size_t>(omp_get_thread_num())];
#pragma omp for schedule(dynamic)
        for (std::int64_t u = 0; u < U; ++u) {
            region([&] {
                Unit& unit = units[static_cast<std::size_t>(u)];
                number_rows(work, u, unit);
                list_states(source, states.size(), unit);
            });
        }
        // Over surrogates too, so that one unit alone keeps all threads at work.
#pragma omp for collapse(2) schedule(dynamic)
        for (std::int64_t u = 0; u < U; ++u) {
            for (std::int64_t s = 0; s < S; ++s) {
                region([&] {
                    const Unit& unit = units[static_cast<std::size_t>(u)];
                    const Wide joint = joint_sum(unit, work.orders + s * M, states.size(), mine);
                    nats[s * U + u] = mean_nats(joint + unit.given, unit.spread, unit.all);
                });
            }
        }
    }
    region.end();
}

}  // namespace tefast
