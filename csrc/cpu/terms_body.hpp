// Sums of n ln n over the cells of a table, for a strip of units at a time. Included by
// kernels_body.hpp, inside the level's own unnamed namespace.
//
// Most cells of a table that one state of the source leaves hold small counts. How many of them
// hold 2 or more, 3 or more and so on is counted for all units at once, in RowTerms; at the end
// each number is multiplied by what the term grows by there. Of larger counts, what is left is
// looked up one by one.

typedef uint16_t StripCounts __attribute__((vector_size(2 * strip)));
typedef int16_t StripSigned __attribute__((vector_size(2 * strip)));

// By reference, as how such vectors are returned depends on the instruction set.
inline void load_counts(const uint16_t* from, StripCounts& counts) {
    __builtin_memcpy(&counts, from, sizeof counts);
}

// A bit for each lane whose count is above `most`.
inline unsigned lanes_above(const StripCounts& counts, int most) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    return _mm256_cmpgt_epu16_mask((__m256i)counts, _mm256_set1_epi16(static_cast<short>(most)));
#elif defined(__SSE2__)
    __m128i half[2];
    __builtin_memcpy(half, &counts, sizeof half);
    const __m128i bound = _mm_set1_epi16(static_cast<short>(most)), none = _mm_setzero_si128();
    for (__m128i& each : half) each = _mm_cmpeq_epi16(_mm_subs_epu16(each, bound), none);
    const int within = _mm_movemask_epi8(_mm_packs_epi16(half[0], half[1]));
    return ~static_cast<unsigned>(within) & 0xffffU;
#else
    const StripCounts above = (StripCounts)(counts > static_cast<uint16_t>(most));
    uint64_t words[sizeof above / 8];
    __builtin_memcpy(words, &above, sizeof above);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any == 0) return 0;
    unsigned mask = 0;
    for (int i = 0; i < strip; ++i) mask |= (above[i] & 1U) << i;
    return mask;
#endif
}

// Adds what is left of the terms of counts above `most`.
template <int most>
void add_large(const uint16_t* row, int64_t count, const uint64_t* terms, uint64_t* sums) {
    for (; count > 0; --count, row += strip) {
        StripCounts counts;
        load_counts(row, counts);
        for (unsigned left = lanes_above(counts, most); left; left &= left - 1) {
            const int lane = __builtin_ctz(left);
            const bool counted = row[lane] <= INT16_MAX;  // by add_small
            sums[lane] += terms[row[lane]] - (counted ? terms[most] : 0);
        }
    }
}

// A call of memset for so few rows costs more than they do.
inline void clear_rows(uint16_t* rows, int64_t count) {
    const StripCounts none = {};
    for (; count > 0; --count, rows += strip) {
        __builtin_memcpy(rows, &none, sizeof none);
        asm volatile("" ::: "memory");  // or the loop becomes one
    }
}

// Adds a row of counts to another one.
inline void add_row(const StripCounts& counts, uint16_t* to) {
    StripCounts sum;
    load_counts(to, sum);
    sum += counts;
    __builtin_memcpy(to, &sum, sizeof sum);
}

// rows (parts, each, strip). sums_of_parts (parts, strip), or null: their sums. Rows are added to
// `totals` unless it is null, and cleared if `clear`.
template <int most, bool clear, bool add_up>
void add_small(uint16_t* rows, int64_t parts, int64_t each, const uint64_t* terms,
               uint16_t* sums_of_parts, uint16_t* totals, RowTerms& found) {
    static_assert((most & (most + 1)) == 0, "so that a bit beyond it says that a count is larger");
    constexpr int64_t at_once = 16;  // rows that are looked through for large counts together
    StripCounts reached[most + 1];
    for (int n = 2; n <= most; ++n) load_counts(found.reached[n], reached[n]);
    for (int64_t part = 0; part < parts; ++part, rows += each * strip) {
        StripCounts sum = {};
        for (int64_t from = 0; from < each; from += at_once) {
            const int64_t left = each - from, some = left < at_once ? left : at_once;
            const uint16_t* row = rows + from * strip;
            StripCounts any = {};
            for (int64_t r = 0; r < some; ++r, row += strip) {
                StripCounts counts;
                load_counts(row, counts);
                if constexpr (add_up) {
                    add_row(counts, totals);
                    totals += strip;
                }
                sum += counts;
                any |= counts;
                for (int n = 2; n <= most; ++n) {
                    // With a sign, since most instruction sets compare such numbers.
                    reached[n] -= (StripCounts)((StripSigned)counts > static_cast<int16_t>(n - 1));
                }
            }
            if (lanes_above(any, most)) {  // a bit above those of `most`
                add_large<most>(rows + from * strip, some, terms, found.sums);
            }
        }
        if (sums_of_parts) __builtin_memcpy(sums_of_parts + part * strip, &sum, sizeof sum);
        if constexpr (clear) clear_rows(rows, each);
    }
    for (int n = 2; n <= most; ++n) {
        __builtin_memcpy(found.reached[n], &reached[n], sizeof reached[n]);
    }
}

// The same of counts that are mostly large.
template <bool clear, bool add_up>
void add_each(uint16_t* rows, int64_t parts, int64_t each, const uint64_t* terms,
              uint16_t* sums_of_parts, uint16_t* totals, RowTerms& found) {
    for (int64_t part = 0; part < parts; ++part) {
        StripCounts sum = {};
        for (int64_t r = 0; r < each; ++r, rows += strip) {
            StripCounts counts;
            load_counts(rows, counts);
            if constexpr (add_up) {
                add_row(counts, totals);
                totals += strip;
            }
            sum += counts;
            for (int lane = 0; lane < strip; ++lane) found.sums[lane] += terms[rows[lane]];
            if constexpr (clear) __builtin_memset(rows, 0, sizeof counts);
        }
        if (sums_of_parts) __builtin_memcpy(sums_of_parts + part * strip, &sum, sizeof sum);
    }
}

template <bool clear, bool add_up>
void add_terms_in(uint16_t* rows, int64_t parts, int64_t each, int64_t moves, const uint64_t* terms,
                  uint16_t* sums_of_parts, uint16_t* totals, RowTerms& found) {
    const int64_t count = parts * each;
    const auto way = moves < count       ? add_small<3, clear, add_up>
                     : moves < 3 * count ? add_small<7, clear, add_up>
                     : moves < 8 * count ? add_small<most_reached, clear, add_up>
                                         : add_each<clear, add_up>;
    way(rows, parts, each, terms, sums_of_parts, totals, found);
}

void add_terms(uint16_t* rows, int64_t parts, int64_t each, int64_t moves, bool clear,
               const uint64_t* terms, uint16_t* sums_of_parts, uint16_t* totals, RowTerms& found) {
    const auto way = clear ? (totals ? add_terms_in<true, true> : add_terms_in<true, false>)
                           : (totals ? add_terms_in<false, true> : add_terms_in<false, false>);
    way(rows, parts, each, moves, terms, sums_of_parts, totals, found);
}
