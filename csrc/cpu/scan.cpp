#include "cpu/scan.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/region.hpp"
#include "cpu/rows.hpp"

namespace tefast {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Positions are visited in rising order by one thread; threads are merged by minimum.
void keep_first(std::int64_t& first, std::int64_t position) {
    if (first < 0 || (position >= 0 && position < first)) first = position;
}

struct Partial {
    ScanResult found;
    std::vector<double> low, high;  // (U,)

    explicit Partial(std::size_t units) : low(units, infinity), high(units, -infinity) {}

    void add_to(ScanResult& total, double* all_low, double* all_high) const {
        total.nan += found.nan;
        total.infinite += found.infinite;
        total.outside += found.outside;
        keep_first(total.first_nan, found.first_nan);
        keep_first(total.first_bad, found.first_bad);
        for (std::size_t u = 0; u < low.size(); ++u) {
            all_low[u] = std::min(all_low[u], low[u]);
            all_high[u] = std::max(all_high[u], high[u]);
        }
    }
};

template <class T>
void scan_value(T value, std::int64_t position, std::size_t u, int bins, Partial& partial) {
    ScanResult& found = partial.found;
    if constexpr (is_symbol<T>) {
        if (!is_outside(value, bins)) return;
        ++found.outside;
        keep_first(found.first_bad, position);
    } else {
        const double number = to_double(value);
        if (std::isfinite(number)) {
            partial.low[u] = std::min(partial.low[u], number);
            partial.high[u] = std::max(partial.high[u], number);
        } else if (std::isnan(number)) {
            ++found.nan;
            keep_first(found.first_nan, position);
        } else {
            ++found.infinite;
            keep_first(found.first_bad, position);
        }
    }
}

template <class T>
void scan_rows(const Array3& values, const std::int64_t* lengths, int bins, std::int64_t first_row,
               std::int64_t last_row, Partial& partial) {
    const std::int64_t steps = values.shape[1], units = values.shape[2];
    for (std::int64_t row = first_row; row < last_row; ++row) {
        const std::int64_t n = row / steps, t = row % steps;
        if (lengths && t >= lengths[n]) continue;
        const char* at = values.row(n, t, 0);
        for (std::int64_t u = 0; u < units; ++u, at += values.stride[2]) {
            scan_value(load<T>(at), row * units + u, static_cast<std::size_t>(u), bins, partial);
        }
    }
}

// This thread's rows.
struct Share {
    std::int64_t begin, end;

    explicit Share(std::int64_t rows) {
        const std::int64_t parts = omp_get_num_threads(), part = omp_get_thread_num();
        begin = rows * part / parts;
        end = rows * (part + 1) / parts;
    }
};

// Calls each(begin, end) for this thread's rows, about a million values at a time.
template <class Each>
void for_each_piece(const Array3& values, Region& region, Each&& each) {
    const Share share(values.shape[0] * values.shape[1]);
    const std::int64_t piece = (std::int64_t{1} << 20) / values.shape[2] + 1;
    for (std::int64_t begin = share.begin; begin < share.end; begin += piece) {
        region([&] { each(begin, std::min(begin + piece, share.end)); });
    }
}

// With every bad value's place: slow, and needed only where there is one.
ScanResult scan_each(const Array3& values, const std::int64_t* lengths, int bins, double* low,
                     double* high, int threads) {
    const auto units = static_cast<std::size_t>(values.shape[2]);
    ScanResult total;
    std::vector<Partial> partials(static_cast<std::size_t>(threads), Partial(units));
    Region region;
#pragma omp parallel num_threads(threads)
    {
        Partial& partial = partials[static_cast<std::size_t>(omp_get_thread_num())];
        for_each_piece(values, region, [&](std::int64_t begin, std::int64_t end) {
            visit(values.dtype, [&](auto kind) {
                scan_rows<decltype(kind)>(values, lengths, bins, begin, end, partial);
            });
        });
    }
    region.end();
    for (const Partial& partial : partials) partial.add_to(total, low, high);
    return total;
}

// Values of one unit that are taken side by side.
constexpr std::int64_t series_width = 4 * lanes;

// The ranges alone, at the speed of memory. False if a value is NaN or infinite. F: what the
// values are compared in.
template <class F>
bool scan_ranges(const Array3& values, const std::int64_t* lengths, double* low, double* high,
                 int threads) {
    const std::int64_t units = values.shape[2], size = size_of(values.dtype);
    const bool series = units == 1 && values.stride[1] == size;
    const std::int64_t width = series ? series_width : units;
    const auto padded = static_cast<std::size_t>(strips_of(width) * lanes);
    constexpr F infinite = std::numeric_limits<F>::infinity();
    std::vector<std::vector<F>> lows(static_cast<std::size_t>(threads),
                                     std::vector<F>(padded, infinite));
    std::vector<std::vector<F>> highs(static_cast<std::size_t>(threads),
                                      std::vector<F>(padded, -infinite));
    std::vector<RowScratch> scratch(static_cast<std::size_t>(threads), RowScratch(values));
    std::atomic<bool> clean{true};
    const Kernels& fast = kernels();
    const auto scan_piece = [&](std::int64_t begin, std::int64_t end) {
        const auto p = static_cast<std::size_t>(omp_get_thread_num());
        const auto extend = [&](const Rows& rows, F* lowest, F* highest) {
            if (!fast.extend_range(values.dtype, rows, lowest, highest)) clean.store(false);
        };
        for_each_run_once(
            values, lengths, begin, end, scratch[p].data(), [&](const Rows& run, std::int64_t) {
                F *lowest = lows[p].data(), *highest = highs[p].data();
                if (!series) return extend(run, lowest, highest);
                const std::int64_t done = run.count / width * width, rest = run.count - done;
                extend({run.data, run.count / width, width * size, width}, lowest, highest);
                // The kernel fills up what is left with zeros, which must not count: they go where
                // nobody looks.
                std::array<F, series_width> low_rest, high_rest;
                low_rest.fill(infinite);
                high_rest.fill(-infinite);
                extend({run.data + done * size, 1, 0, rest}, low_rest.data(), high_rest.data());
                for (std::size_t i = 0; i < static_cast<std::size_t>(rest); ++i) {
                    lowest[0] = std::min(lowest[0], low_rest[i]);
                    highest[0] = std::max(highest[0], high_rest[i]);
                }
            });
    };
    Region region;
#pragma omp parallel num_threads(threads)
    for_each_piece(values, region, scan_piece);
    region.end();
    for (std::size_t p = 0; p < lows.size(); ++p) {
        for (std::int64_t i = 0; i < width; ++i) {
            const std::int64_t u = series ? 0 : i;
            low[u] = std::min(low[u], static_cast<double>(lows[p][static_cast<std::size_t>(i)]));
            high[u] = std::max(high[u], static_cast<double>(highs[p][static_cast<std::size_t>(i)]));
        }
    }
    return clean.load();
}

}  // namespace

ScanResult scan(const Array3& values, const std::int64_t* lengths, int bins, double* low,
                double* high, int threads) {
    // Each thread has ranges of its own for all units, which must not outgrow the data or the room.
    const std::int64_t rows = values.shape[0] * values.shape[1];
    constexpr std::int64_t room = std::int64_t{32} << 20;
    const std::int64_t most = std::min(rows, room / (16 * values.shape[2]));
    threads = static_cast<int>(std::clamp<std::int64_t>(most, 1, threads));
    const auto forget = [&] {
        std::fill(low, low + values.shape[2], infinity);
        std::fill(high, high + values.shape[2], -infinity);
    };
    forget();
    const bool symbols = holds_symbols(values.dtype);
    if (!symbols) {
        const bool clean = values.dtype == DType::f64
                               ? scan_ranges<double>(values, lengths, low, high, threads)
                               : scan_ranges<float>(values, lengths, low, high, threads);
        if (clean) return {};
        forget();
    }
    return scan_each(values, lengths, bins, low, high, threads);
}

}  // namespace tefast
