// Sums of n ln n over the cells of a table, for a strip of units at a time. Included by
// kernels_body.hpp, inside the level's own unnamed namespace.
//
// Most cells of a table that one state of the source leaves hold small counts. How many of them
// hold 2 or more, 3 or more and so on is counted for all units at once; at the end each number is
// multiplied by what the term grows by there. Larger counts are looked up one by one.

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

// Rows of a table, `each` at a time from the places that are listed on, in units of `each` rows.
struct ListedRows {
    const uint16_t* table;
    const uint16_t* places;
    int64_t count;
    int64_t each;

    const uint16_t* at(int64_t i) const { return table + places[i] * each * strip; }
};

// sums (strip,): the terms of rows, of which few are above `most`.
template <int most>
void add_terms_of(const ListedRows& rows, const uint64_t* terms, uint64_t* sums) {
    StripSigned reached[most + 1] = {};  // how many cells hold so much or more
    for (int64_t i = 0; i < rows.count; ++i) {
        const uint16_t* row = rows.at(i);
        for (int64_t r = 0; r < rows.each; ++r, row += strip) {
            StripCounts counts;
            load_counts(row, counts);
            for (unsigned left = lanes_above(counts, most); left; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                sums[lane] += terms[row[lane]];
                counts[lane] = 0;
            }
            for (int n = 2; n <= most; ++n) {
                reached[n] -= (StripSigned)counts > static_cast<int16_t>(n - 1);
            }
        }
    }
    for (int n = 2; n <= most; ++n) {
        const uint64_t more = terms[n] - terms[n - 1];
        for (int i = 0; i < strip; ++i) {
            sums[i] += more * static_cast<uint16_t>(reached[n][i]);
        }
    }
}

// `moves`: about how much the rows hold in all.
void add_terms_in(const ListedRows& rows, int64_t moves, const uint64_t* terms, uint64_t* sums) {
    constexpr int64_t many = 32;  // rows that are worth the products at the end
    const int64_t count = rows.count * rows.each;
    if (count >= many && moves < count) {
        add_terms_of<4>(rows, terms, sums);
    } else if (count >= many && moves < 3 * count) {
        add_terms_of<8>(rows, terms, sums);
    } else if (count >= 2 * many && moves < 8 * count) {
        add_terms_of<16>(rows, terms, sums);
    } else {
        for (int64_t i = 0; i < rows.count; ++i) {
            const uint16_t* row = rows.at(i);
            for (int64_t r = 0; r < rows.each; ++r, row += strip) {
                for (int lane = 0; lane < strip; ++lane) sums[lane] += terms[row[lane]];
            }
        }
    }
}

bool any_count(const StripCounts& counts) {
    uint64_t words[sizeof counts / 8], any = 0;
    __builtin_memcpy(words, &counts, sizeof counts);
    for (const uint64_t word : words) any |= word;
    return any != 0;
}

void add_terms(const uint16_t* table, int64_t pasts, int bins, int64_t moves, const uint64_t* terms,
               uint16_t* past_counts, uint64_t* joint, uint64_t* past_state) {
    uint16_t met[most_strip_moves / 2];  // pasts that some unit has
    int64_t many = 0;
    const uint16_t* row = table;
    for (int64_t past = 0; past < pasts; ++past) {
        StripCounts sum = {}, counts;
        for (int next = 0; next < bins; ++next, row += strip) {
            load_counts(row, counts);
            sum += counts;
        }
        __builtin_memcpy(past_counts + past * strip, &sum, sizeof sum);
        met[many] = static_cast<uint16_t>(past);
        many += any_count(sum);
    }
    add_terms_in({table, met, many, bins}, moves, terms, joint);
    add_terms_in({past_counts, met, many, 1}, moves, terms, past_state);
}
