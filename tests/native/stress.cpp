// Runs every parallel part of the kernel with several threads, for a thread sanitizer to watch, and
// checks that one thread gives the same. Built where TEFAST_SANITIZE is set.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "cpu/codes.hpp"
#include "cpu/conditional.hpp"
#include "cpu/local.hpp"
#include "cpu/measure.hpp"
#include "cpu/order.hpp"
#include "cpu/recent.hpp"
#include "cpu/scan.hpp"
#include "cpu/transitions.hpp"
#include "random_bits.hpp"

namespace {

using namespace tefast;

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s differs between thread counts\n", what);
    std::exit(1);
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

struct Case {
    std::int64_t n, t, u;
    int bins;
};

// Through the counters of short batches.
void check_batch(Transitions work, const std::vector<std::int64_t>& expected, int threads) {
    const std::int64_t units = work.target.shape[2];
    const int bins = work.edges.bins;
    std::vector<std::uint16_t> recent(
        static_cast<std::size_t>(recent_size(units, bins, work.states)));
    std::vector<std::int64_t> counts(expected.size());
    work.omit = true;
    require(count_recent(work, recent.data(), threads), "a batch is counted");
    move_recent(recent.data(), units, bins, work.states, counts.data(), threads);
    require(same(counts, expected), "counts of a batch and of all");
}

void run(const Case& size, bool omit) {
    const std::int64_t rows = size.n * size.t;
    std::vector<float> h(static_cast<std::size_t>(rows * size.u));
    std::vector<std::int16_t> source(static_cast<std::size_t>(rows));
    std::vector<double> edges(static_cast<std::size_t>(size.bins - 1));
    std::vector<std::int64_t> lengths(static_cast<std::size_t>(size.n), size.t);
    for (std::size_t i = 0; i < h.size(); ++i) {
        const bool gap = omit && random_bits() % 50 == 0;
        const bool low = static_cast<std::int64_t>(i) % size.u % 3 != 0;  // few bins are used
        const float most = low ? 0.2F : 1.0F;
        h[i] = gap ? std::nanf("") : most * static_cast<float>(random_bits() % 1000) / 1000;
    }
    if (omit && size.n > 1) lengths[1] = size.t / 2;
    for (auto& state : source)
        state = static_cast<std::int16_t>(random_bits() % static_cast<unsigned>(size.bins));
    for (std::size_t i = 0; i < edges.size(); ++i)
        edges[i] = static_cast<double>(i + 1) / size.bins;
    const std::int64_t row = size.u * 4;
    const Array3 values{reinterpret_cast<const char*>(h.data()),
                        DType::f32,
                        {size.n, size.t, size.u},
                        {size.t * row, row, 4}};
    const Edges cuts{edges.data(), 0, size.bins};
    const Transitions work{values, cuts, lengths.data(), source.data(), size.bins, omit, {}};
    constexpr std::int64_t S = 9;  // units are put in order for so many
    std::vector<std::int16_t> sources;
    for (int i = 0; i < S; ++i) sources.insert(sources.end(), source.begin(), source.end());
    const auto units = static_cast<std::size_t>(size.u), bins = static_cast<std::size_t>(size.bins);

    std::vector<std::int64_t> own(static_cast<std::size_t>(rows * size.u)), states(source.size());
    std::vector<std::uint32_t> orders;
    for (auto& key : own) key = static_cast<std::int64_t>(random_bits() % 21) - 1;
    for (std::size_t j = 0; j < states.size(); ++j) states[j] = source[j];
    for (int s = 0; s < S; ++s) {
        std::vector<std::uint32_t> order(static_cast<std::size_t>(rows));
        std::iota(order.begin(), order.end(), 0U);
        for (std::size_t i = order.size(); i > 1; --i)
            std::swap(order[i - 1], order[random_bits() % i]);
        orders.insert(orders.end(), order.begin(), order.end());
    }
    const Conditional exchanged{own.data(), {rows, size.u}, 4, states.data(), orders.data(), S};

    std::vector<std::int64_t> every(static_cast<std::size_t>(size.u));
    std::iota(every.begin(), every.end(), 0);

    struct Result {
        std::vector<double> nats, alone, many, low, high, scored, within, ranked, ordered, local;
        std::vector<std::int64_t> counts, occupancy, sizes;
        std::vector<std::int16_t> codes;
    } first;
    for (const int threads : {1, 2, 4}) {
        Result found;
        for (auto* part : {&found.nats, &found.alone, &found.low, &found.high, &found.scored})
            part->resize(units);
        found.many.resize(S * units);
        found.within.resize(S * units);
        found.counts.resize(units * bins * bins * bins);
        found.occupancy.resize(units * bins);
        found.codes.resize(h.size());
        transfer_entropy(work, found.nats.data(), threads);
        transfer_entropies(work, sources.data(), S, found.many.data(), threads);
        for (std::size_t i = 0; i < found.many.size(); i += units)
            require(std::equal(found.nats.begin(), found.nats.end(), &found.many[i], same_bits),
                    "transfer entropy of one source and of many");
        found.local.resize(static_cast<std::size_t>(size.n * (size.t - 1) * size.u));
        local_values(work, 0, {1.0, 0x1.62e43p-1, -0x1.05c61p-29}, found.local.data(), threads);
        conditional_surrogates(exchanged, found.within.data(), threads);
        count_transitions(work, found.counts.data(), threads);
        if (rows <= 65535) check_batch(work, found.counts, threads);
        Transitions alone = work;
        alone.past.with_next = false;
        alone.inner = size.bins % 2 ? 0 : 2;
        transfer_entropy(alone, found.alone.data(), threads);
        score_counts({found.counts.data(), size.u, size.bins, size.bins, size.bins},
                     found.scored.data(), threads);
        scan(values, lengths.data(), size.bins, found.low.data(), found.high.data(), threads);
        found.ranked.resize(units * 3 * edges.size());
        found.ordered.resize(h.size());
        found.sizes.resize(units);
        find_ranks(values, lengths.data(), edges.data(), edges.size(), found.ranked.data(),
                   found.sizes.data(), threads);
        sort_units(values, lengths.data(), every.data(), size.u, found.ordered.data(), threads);
        encode(values, cuts, lengths.data(), found.codes.data(), threads);
        count_values(values, cuts, lengths.data(), found.occupancy.data(), threads);
        require(same(found.nats, found.scored), "transfer entropy of values and of counts");
        if (threads == 1) first = found;
        require(same(found.nats, first.nats) && same(found.counts, first.counts),
                "transfer entropy");
        require(same(found.alone, first.alone), "information beside conditions");
        require(same(found.local, first.local), "local values");
        require(same(found.within, first.within), "exchanges within each past");
        require(same(found.low, first.low) && same(found.high, first.high), "range");
        require(same(found.ranked, first.ranked) && same(found.sizes, first.sizes), "ranks");
        require(same(found.ordered, first.ordered), "sorted units");
        require(same(found.codes, first.codes) && same(found.occupancy, first.occupancy), "codes");
    }
}

}  // namespace

int main() {
    for (const bool omit : {false, true}) {
        for (const Case& size : {Case{40, 25, 70, 4}, Case{1, 3000, 1, 16}, Case{9, 11, 3, 40}}) {
            use_limits({});
            run(size, omit);  // the codes of all rows at once
            use_limits({1, 64, 0, std::int64_t{1} << 25, std::int64_t{1} << 25, 500});
            run(size, omit);  // chunks for each thread, and windows of them
            use_limits({1, 64, 0, std::int64_t{1} << 25, 0, 500});
            run(size, omit);  // chunks for all threads together
            use_limits({1, 64, 0, 1, 0, 500, 20000, 1});
            run(size, omit);  // units in blocks
        }
        use_limits({});
        run({1, 150000, 2, 2}, omit);  // counters that overflow
    }
    std::puts("every thread count gives the same");
}
