// A piece of the kernel's work, done some times, for a simulator to count its instructions: what a
// second time adds is the work alone. See instructions.py.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "cpu/bits.hpp"
#include "cpu/codes.hpp"
#include "cpu/conditional.hpp"
#include "cpu/local.hpp"
#include "cpu/order.hpp"
#include "cpu/pairs.hpp"
#include "cpu/recent.hpp"
#include "cpu/scan.hpp"
#include "cpu/transitions.hpp"
#include "cpu/windows.hpp"
#include "random_bits.hpp"

namespace {

using namespace tefast;

template <class T>
std::vector<T> random_symbols(std::int64_t count, int bins) {
    std::vector<T> made(static_cast<std::size_t>(count));
    for (T& each : made) each = static_cast<T>(random_bits() % static_cast<unsigned>(bins));
    return made;
}

// Sequences of equally many steps, and what is asked of them.
struct Data {
    std::int64_t sequences, steps, units;
    int bins;
    DType dtype = DType::f32;
    std::int64_t sources = 1;
    std::vector<float> floats{};
    std::vector<std::uint8_t> symbols{};
    std::vector<std::int16_t> states{};
    std::vector<double> edges{};

    std::int64_t rows() const { return sequences * steps; }

    void make() {
        const std::int64_t count = rows() * units;
        if (dtype == DType::f32) {
            floats.resize(static_cast<std::size_t>(count));
            for (float& each : floats) each = static_cast<float>(random_bits() % 9973) / 9973;
            for (int i = 1; i < bins; ++i) edges.push_back(static_cast<double>(i) / bins);
        } else {
            symbols = random_symbols<std::uint8_t>(count, bins);
        }
        states = random_symbols<std::int16_t>(sources * rows(), bins);
    }

    Array3 values() const {
        const std::int64_t each = size_of(dtype), row = units * each;
        const char* const data = dtype == DType::f32
                                     ? reinterpret_cast<const char*>(floats.data())
                                     : reinterpret_cast<const char*>(symbols.data());
        return {data, dtype, {sequences, steps, units}, {steps * row, row, each}};
    }

    Edges cuts() const { return {edges.empty() ? nullptr : edges.data(), 0, bins}; }

    Transitions transitions() const {
        return {values(), cuts(), nullptr, states.data(), bins, false, {}};
    }
};

using Work = std::function<void()>;

Work one_source(Data data) {
    data.make();
    return [data, nats = std::vector<double>(static_cast<std::size_t>(data.units))]() mutable {
        transfer_entropy(data.transitions(), nats.data(), 1);
    };
}

Work many_sources(Data data) {
    data.make();
    const auto size = static_cast<std::size_t>(data.units * data.sources);
    return [data, nats = std::vector<double>(size)]() mutable {
        transfer_entropies(data.transitions(), data.states.data(), data.sources, nats.data(), 1);
    };
}

Work long_past(Data data, std::vector<std::int64_t> back) {
    data.make();
    for (std::int64_t row = 0; row < data.sources * data.rows(); row += data.steps) {
        std::fill_n(data.states.begin() + row, back[0], std::int16_t{-1});
    }
    const auto size = static_cast<std::size_t>(data.units * data.sources);
    return [data, back, nats = std::vector<double>(size)]() mutable {
        Transitions work = data.transitions();
        work.past = {back.data(), static_cast<int>(back.size())};
        transfer_entropies(work, data.states.data(), data.sources, nats.data(), 1);
    };
}

// What the source tells of a unit's value.
Work mutual(Data data) {
    data.make();
    return [data, nats = std::vector<double>(static_cast<std::size_t>(data.units))]() mutable {
        Transitions work = data.transitions();
        work.past.with_next = false;
        transfer_entropy(work, nats.data(), 1);
    };
}

// Beside conditions with as many states as the source has.
Work beside_conditions(Data data) {
    data.make();
    const int states = data.bins * data.bins;
    data.states = random_symbols<std::int16_t>(data.rows(), states);
    return
        [data, states, nats = std::vector<double>(static_cast<std::size_t>(data.units))]() mutable {
            Transitions work = data.transitions();
            work.states = states;
            work.inner = data.bins;
            transfer_entropy(work, nats.data(), 1);
        };
}

Work locals(Data data) {
    data.make();
    const auto size = static_cast<std::size_t>(data.rows() * data.units);
    return [data, values = std::vector<double>(size)]() mutable {
        local_values(data.transitions(), 0, {1.0, 0x1.62e42ep-1, 0x1.efa39ep-26}, values.data(), 1);
    };
}

Work batch(Data data) {
    data.make();
    const auto size = static_cast<std::size_t>(recent_size(data.units, data.bins, data.bins));
    return [data, recent = std::vector<std::uint16_t>(size)]() mutable {
        count_recent(data.transitions(), recent.data(), 1);
    };
}

Work quantiles(Data data) {
    data.make();
    std::vector<double> shares = data.edges;
    const std::size_t many = shares.size(), units = static_cast<std::size_t>(data.units);
    return [data, shares, many, found = std::vector<double>(3 * many * units),
            sizes = std::vector<std::int64_t>(units)]() mutable {
        find_ranks(data.values(), nullptr, shares.data(), many, found.data(), sizes.data(), 1);
    };
}

Work scanned(Data data) {
    data.make();
    return [data, low = std::vector<double>(static_cast<std::size_t>(data.units)),
            high = std::vector<double>(static_cast<std::size_t>(data.units))]() mutable {
        scan(data.values(), nullptr, data.bins, low.data(), high.data(), 1);
    };
}

Work encoded(Data data) {
    data.make();
    const auto size = static_cast<std::size_t>(data.rows() * data.units);
    return [data, codes = std::vector<std::int16_t>(size)]() mutable {
        encode(data.values(), data.cuts(), nullptr, codes.data(), 1);
    };
}

Work windows(Data data, std::vector<std::int64_t> back) {
    const auto codes = random_symbols<std::int16_t>(data.rows() * data.units, data.bins);
    const auto shared = random_symbols<std::int64_t>(data.rows(), data.bins);
    const std::int64_t cells = power(data.bins, static_cast<int>(back.size()) + 1);
    return [=, counts = std::vector<std::int64_t>(
                   static_cast<std::size_t>(data.units * cells))]() mutable {
        const Windows work{codes.data(),
                           {data.sequences, data.steps, data.units},
                           data.bins,
                           back.data(),
                           static_cast<int>(back.size()),
                           shared.data(),
                           data.bins};
        count_windows(work, counts.data(), 1);
    };
}

Work conditional(Data data, std::int64_t surrogates) {
    const std::int64_t moves = data.bins * data.bins;
    const auto own =
        random_symbols<std::int64_t>(data.rows() * data.units, static_cast<int>(moves));
    const auto source = random_symbols<std::int64_t>(data.rows(), data.bins);
    std::vector<std::uint32_t> orders;
    for (std::int64_t s = 0; s < surrogates; ++s) {
        std::vector<std::uint32_t> order(static_cast<std::size_t>(data.rows()));
        std::iota(order.begin(), order.end(), 0U);
        for (std::size_t i = order.size() - 1; i > 0; --i) {
            std::swap(order[i], order[random_bits() % (i + 1)]);
        }
        orders.insert(orders.end(), order.begin(), order.end());
    }
    return [=, nats = std::vector<double>(
                   static_cast<std::size_t>(surrogates * data.units))]() mutable {
        const Conditional work{own.data(),    {data.rows(), data.units},
                               data.bins,     source.data(),
                               orders.data(), surrogates};
        conditional_surrogates(work, nats.data(), 1);
    };
}

Work pairs(std::int64_t steps, std::int64_t series, int bins) {
    const std::int64_t words = words_of(steps), states = power(bins, 2);
    const auto codes = random_symbols<std::int16_t>(steps * series, bins);
    const auto rows_of = [=](std::int64_t of) {
        return std::vector<std::uint64_t>(static_cast<std::size_t>(series * of * words));
    };
    return [=, of_moves = rows_of(states - 1), moved = rows_of(1), of_states = rows_of(bins - 1),
            there = rows_of(1),
            nats = std::vector<double>(static_cast<std::size_t>(series * series))]() mutable {
        const std::int64_t past[] = {1, 0}, own[] = {1};
        SeriesWindows work{codes.data(), {1, steps, series}, bins, past, 2};
        pack_windows(work, words, of_moves.data(), moved.data(), 1);
        work.back = own;
        work.length = 1;
        pack_windows(work, words, of_states.data(), there.data(), 1);
        const Pairs job{{{of_moves.data(), series * (states - 1), words},
                         {moved.data(), 1, words},
                         series,
                         states},
                        {{of_states.data(), series * (bins - 1), words},
                         {there.data(), 1, words},
                         series,
                         bins},
                        words,
                        bins};
        score_pairs({job}, nats.data(), 1);
    };
}

// A case is made only when it is asked for.
const std::map<std::string, std::function<Work()>> cases = {
    {"one source, 2 bins", [] { return one_source({300, 25, 256, 2}); }},
    {"one source, 3 bins", [] { return one_source({300, 25, 256, 3}); }},
    {"one source, 4 bins", [] { return one_source({300, 25, 256, 4}); }},
    {"one source, 16 bins", [] { return one_source({300, 25, 256, 16}); }},
    {"one source, 64 bins", [] { return one_source({300, 25, 64, 64}); }},
    {"one source, 16 symbols", [] { return one_source({300, 25, 256, 16, DType::u8}); }},
    {"one long series", [] { return one_source({1, 200'000, 1, 16}); }},
    {"many sources, 11 symbols", [] { return many_sources({1, 459, 256, 11, DType::u8, 64}); }},
    {"many sources, 16 bins", [] { return many_sources({40, 50, 64, 16, DType::f32, 16}); }},
    {"past of two steps, 16 bins",
     [] { return long_past({100, 25, 64, 16, DType::f32, 4}, {1, 0}); }},
    {"mutual information, 16 bins", [] { return mutual({300, 25, 256, 16}); }},
    {"conditions, 8 bins", [] { return beside_conditions({300, 25, 256, 8}); }},
    {"local values, 16 bins", [] { return locals({300, 25, 64, 16}); }},
    {"a short batch, 16 bins", [] { return batch({60, 25, 256, 16}); }},
    {"quantiles, 16 bins", [] { return quantiles({300, 25, 64, 16}); }},
    {"ranges", [] { return scanned({300, 25, 256, 16}); }},
    {"codes, 16 bins", [] { return encoded({300, 25, 64, 16}); }},
    {"windows of three steps", [] { return windows({100, 25, 64, 4}, {2, 1, 0}); }},
    {"conditional surrogates", [] { return conditional({1, 2000, 16, 4}, 8); }},
    {"pairs, 2 symbols", [] { return pairs(20'000, 64, 2); }},
    {"pairs, 3 symbols", [] { return pairs(10'000, 48, 3); }},
};

// Additions that wait for each other take a cycle each. The best of some runs, which others did not
// interrupt.
double cycles_in_a_nanosecond() {
    constexpr std::int64_t many = 20'000'000;
    double best = 0;
    std::uint64_t sum = 0;
    for (int run = 0; run < 50; ++run) {
        const auto start = std::chrono::steady_clock::now();
        for (std::int64_t i = 0; i < many; ++i) {
            sum += 1;
            asm volatile("" : "+r"(sum));
        }
        const std::chrono::duration<double, std::nano> passed =
            std::chrono::steady_clock::now() - start;
        best = std::max(best, static_cast<double>(many) / passed.count());
    }
    return best;
}

}  // namespace

// Without arguments: the cases, a line each. With one and a number: the case, so many times. With
// "clock": the processor's clock in GHz.
int main(int count, char** arguments) {
    if (count == 2 && std::string(arguments[1]) == "clock") {
        std::printf("%.3f\n", cycles_in_a_nanosecond());
        return 0;
    }
    if (count != 3) {
        for (const auto& [name, make] : cases) std::printf("%s\n", name.c_str());
        return count == 1 ? 0 : 2;
    }
    const auto found = cases.find(arguments[1]);
    if (found == cases.end()) return 2;
    Work work = found->second();
    for (int left = std::atoi(arguments[2]); left > 0; --left) work();
    return 0;
}
