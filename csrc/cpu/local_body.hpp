// The logarithms of local values. Included by kernels_body.hpp, inside the level's own unnamed
// namespace.

constexpr int log_lanes = 8;
typedef double LogDoubles __attribute__((vector_size(8 * log_lanes)));
typedef uint64_t LogWords __attribute__((vector_size(8 * log_lanes)));

// A double's exponent, as a double, and its value with the exponent of 1.
inline void take_apart(const LogDoubles& given, LogDoubles& exponent, LogDoubles& value) {
    constexpr uint64_t fraction = (uint64_t{1} << 52) - 1;
    const LogWords bits = (LogWords)given;
    // 2**52 has a last place of 1, so that a whole number below it can be put into its fraction.
    exponent = (LogDoubles)((bits >> 52) | uint64_t{0x433} << 52) - 0x1p52;
    value = (LogDoubles)((bits & fraction) | uint64_t{0x3ff} << 52);
}

// ln(p / q) = k ln 2 + 2 artanh(x) with x = (p - q) / (p + q), of p and q scaled by powers of two
// so that p / q lies between the roots of 1/2 and of 2. The difference is exact, so what is found
// is 0 where p = q, and has all its places where they are near each other. The same operations as
// in tefast/_tables/logarithms.py, for the same bits.
inline void log_ratio(const LogDoubles& p, const LogDoubles& q, const LogUnit& unit,
                      LogDoubles& found) {
    constexpr double root = 0x1.6a09e667f3bcdp+0;  // of 2
    constexpr uint64_t one = uint64_t{0x3ff} << 52, half = uint64_t{1} << 52;
    LogDoubles of_p, of_q, a, b;
    take_apart(p, of_p, a);
    take_apart(q, of_q, b);
    const LogWords above = (LogWords)(a > root * b), below = (LogWords)(b > root * a);
    a = (LogDoubles)((LogWords)a - (above & half));
    b = (LogDoubles)((LogWords)b - (below & half));
    const LogDoubles k = (of_p - of_q) + ((LogDoubles)(above & one) - (LogDoubles)(below & one));
    const LogDoubles x = (a - b) / (a + b), z = x * x;
    // What is left out of the series is less than 2**-60 of it, since z is below 0.0295.
    LogDoubles series = z * (1.0 / 21) + 1.0 / 19;
    series = series * z + 1.0 / 17;
    series = series * z + 1.0 / 15;
    series = series * z + 1.0 / 13;
    series = series * z + 1.0 / 11;
    series = series * z + 1.0 / 9;
    series = series * z + 1.0 / 7;
    series = series * z + 1.0 / 5;
    series = series * z + 1.0 / 3;
    const LogDoubles twice = (x + x) * unit.nat;
    found = k * unit.two_high + (twice + (twice * (z * series) + k * unit.two_low));
}

void log_ratios(const double* p, const double* q, int64_t count, const LogUnit& unit,
                double* found) {
    for (int64_t i = 0; i < count; i += log_lanes) {
        LogDoubles a, b, out;
        __builtin_memcpy(&a, p + i, sizeof a);
        __builtin_memcpy(&b, q + i, sizeof b);
        log_ratio(a, b, unit, out);
        __builtin_memcpy(found + i, &out, sizeof out);
    }
}

void add_counts(uint16_t* table, int64_t cells, bool clear, double* sums) {
    for (int64_t i = 0; i < cells; ++i) sums[i] += table[i];
    if (clear) __builtin_memset(table, 0, static_cast<size_t>(cells) * sizeof *table);
}

// Of a past: the values of its cells (next, group) in place of their counts. past_counts: of each
// lane, as often as a strip has room for.
template <int group>
inline void find_values_of_past(double* counts, const double* moves, const double* past_counts,
                                int bins, const LogUnit& unit) {
    double start[strip] = {};
    for (int64_t next = 0; next < bins; ++next) {
        for (int i = 0; i < group; ++i) start[i] += counts[next * group + i];
    }
    for (int i = group; i < strip; ++i) start[i] = start[i - group];
    const int64_t cells = int64_t{bins} * group;
    for (int64_t at = 0; at < cells; at += log_lanes) {
        LogDoubles n = {}, move = {}, of_past, of_start, out;
        const int64_t left = cells - at;
        // A row of narrow groups may end within a vector.
        const size_t bytes =
            group == strip || left >= log_lanes ? sizeof n : static_cast<size_t>(left) * 8;
        __builtin_memcpy(&n, counts + at, bytes);
        __builtin_memcpy(&move, moves + at, bytes);
        __builtin_memcpy(&of_past, past_counts + at % strip, sizeof of_past);
        __builtin_memcpy(&of_start, start + at % strip, sizeof of_start);
        log_ratio(n * of_past, of_start * move, unit, out);
        __builtin_memcpy(counts + at, &out, bytes);
    }
}

template <int group>
void find_values_in(double* counts, const double* moves, const double* past_counts, int64_t pasts,
                    int bins, const LogUnit& unit) {
    for (int64_t past = 0; past < pasts; ++past, past_counts += group) {
        double repeated[strip];
        for (int i = 0; i < strip; ++i) repeated[i] = past_counts[i % group];
        const int64_t row = past * bins * group;
        find_values_of_past<group>(counts + row, moves + row, repeated, bins, unit);
    }
}

void find_values(double* counts, const double* moves, const double* past_counts, int64_t pasts,
                 int bins, int group, const LogUnit& unit) {
    if (group == strip) {
        find_values_in<strip>(counts, moves, past_counts, pasts, bins, unit);
    } else if (group == 4) {
        find_values_in<4>(counts, moves, past_counts, pasts, bins, unit);
    } else {
        find_values_in<1>(counts, moves, past_counts, pasts, bins, unit);
    }
}

// Past the caches, where the instruction set can: what is written is not read again, and would
// else be fetched first.
inline void write_two(const double* first, const double* second, double* to) {
#if defined(__SSE2__)
    _mm_stream_pd(to, _mm_loadh_pd(_mm_load_sd(first), second));
#else
    to[0] = *first;
    to[1] = *second;
#endif
}

void write_lines(const double* table, const uint16_t* cells, const uint32_t* rows, int64_t count,
                 double* values, int64_t stride) {
    for (int64_t k = 0; k < count; ++k, cells += strip) {
        double* const to = values + rows[k] * stride;
        for (int i = 0; i < strip; i += 2) {
            write_two(table + cells[i] + i, table + cells[i + 1] + i + 1, to + i);
        }
    }
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

// Through the caches, since neighbours write to the same lines.
template <int group>
void write_parts(const double* table, const uint16_t* cells, const uint32_t* rows, int64_t count,
                 int units, double* values, int64_t stride) {
    constexpr int64_t lead = 16;
    for (int64_t k = 0; k < count; ++k, cells += group) {
        if (group > 1 && k + lead < count) {
            const double* const later = values + rows[k + lead] * stride;
            __builtin_prefetch(later, 1);
            __builtin_prefetch(later + units - 1, 1);
        }
        double* const to = values + rows[k] * stride;
        for (int i = 0; i < (group == 1 ? 1 : units); ++i) to[i] = table[cells[i] + i];
    }
}

void write_cells(const double* table, const uint16_t* cells, int group, const uint32_t* rows,
                 int64_t count, int units, double* values, int64_t stride) {
    constexpr int64_t line = 64 / sizeof(double);
    const bool lines = reinterpret_cast<uintptr_t>(values) % 64 == 0 && stride % line == 0;
    if (group == strip && units == strip && lines) {
        write_lines(table, cells, rows, count, values, stride);
    } else if (group == strip) {
        write_parts<strip>(table, cells, rows, count, units, values, stride);
    } else if (group == 4) {
        write_parts<4>(table, cells, rows, count, units, values, stride);
    } else {
        write_parts<1>(table, cells, rows, count, units, values, stride);
    }
}
