// Products of rows of bits: how many bits are set in both of two rows. Included by
// kernels_body.hpp, inside the level's own unnamed namespace.
//
// A tile of several rows by several is done at a time, as in a product of matrices: each word is
// loaded once for all the rows that it meets, and the sums stay in registers.

#if defined(__AVX512VPOPCNTDQ__)

constexpr int bits_rows = 4, bits_columns = 4;

// Adds the sum over the lanes of each of four vectors to four counts.
inline void add_totals(const __m512i* sums, int64_t* counts) {
    const auto add_pairs = [](__m512i a, __m512i b) {
        return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    };
    const auto add_halves = [](__m512i a, __m512i b) {
        return _mm512_add_epi64(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
    };
    const __m512i quarters = add_halves(add_pairs(sums[0], sums[1]), add_pairs(sums[2], sums[3]));
    const __m256i totals = _mm512_castsi512_si256(add_halves(quarters, quarters));
    __m256i* const to = reinterpret_cast<__m256i*>(counts);
    _mm256_storeu_si256(to, _mm256_add_epi64(_mm256_loadu_si256(to), totals));
}

template <int rows, int columns>
inline void multiply_tile(const BitRows& a, int64_t i, const BitRows& b, int64_t j, int64_t words,
                          int64_t* counts, int64_t stride) {
    __m512i sums[rows][columns];
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) sums[r][c] = _mm512_setzero_si512();
    }
    const uint64_t* const left = a.data + i * a.stride;
    const uint64_t* const right = b.data + j * b.stride;
    for (int64_t w = 0; w < words; w += 8) {
        __m512i column[columns];
        for (int c = 0; c < columns; ++c) column[c] = _mm512_loadu_si512(right + c * b.stride + w);
        for (int r = 0; r < rows; ++r) {
            const __m512i row = _mm512_loadu_si512(left + r * a.stride + w);
            for (int c = 0; c < columns; ++c) {
                const __m512i both = _mm512_popcnt_epi64(_mm512_and_si512(row, column[c]));
                sums[r][c] = _mm512_add_epi64(sums[r][c], both);
            }
        }
    }
    for (int r = 0; r < rows; ++r) {
        int64_t* const to = counts + (i + r) * stride + j;
        if constexpr (columns == 4) {
            add_totals(sums[r], to);
        } else {
            for (int c = 0; c < columns; ++c) to[c] += _mm512_reduce_add_epi64(sums[r][c]);
        }
    }
}

#else

#if defined(__AVX512BW__)
constexpr int bits_bytes = 64, bits_rows = 4, bits_columns = 4;
#elif defined(__AVX2__)
constexpr int bits_bytes = 32, bits_rows = 2, bits_columns = 4;
#else
constexpr int bits_bytes = 16, bits_rows = 2, bits_columns = 2;
#endif
constexpr int64_t bits_words = bits_bytes / 8;
typedef uint64_t BitVector __attribute__((vector_size(bits_bytes)));

// The same in all lanes.
inline BitVector splat(uint64_t value) { return BitVector{} + value; }

// How many bits are set in each byte, 0 to 8.
inline BitVector count_bytes(BitVector v) {
#if defined(__AVX512BW__)
    const __m512i known =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i half = _mm512_set1_epi8(15), all = (__m512i)v;
    const __m512i low = _mm512_shuffle_epi8(known, _mm512_and_si512(all, half));
    const __m512i high =
        _mm512_shuffle_epi8(known, _mm512_and_si512(_mm512_srli_epi16(all, 4), half));
    return (BitVector)_mm512_add_epi8(low, high);
#elif defined(__AVX2__)
    const __m256i known =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i half = _mm256_set1_epi8(15), all = (__m256i)v;
    const __m256i low = _mm256_shuffle_epi8(known, _mm256_and_si256(all, half));
    const __m256i high =
        _mm256_shuffle_epi8(known, _mm256_and_si256(_mm256_srli_epi16(all, 4), half));
    return (BitVector)_mm256_add_epi8(low, high);
#else
    v = v - ((v >> 1) & splat(0x5555555555555555));
    v = (v & splat(0x3333333333333333)) + ((v >> 2) & splat(0x3333333333333333));
    return (v + (v >> 4)) & splat(0x0f0f0f0f0f0f0f0f);
#endif
}

// The sum over the bytes of each lane, none of which is above 255.
inline BitVector add_bytes(BitVector v) {
    v = (v & splat(0x00ff00ff00ff00ff)) + ((v >> 8) & splat(0x00ff00ff00ff00ff));
    v = v + (v >> 16);
    return (v + (v >> 32)) & splat(0xffff);
}

inline int64_t total(BitVector v) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < bits_words; ++i) sum += v[i];
    return static_cast<int64_t>(sum);
}

inline BitVector load_bits(const uint64_t* from) {
    BitVector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <int rows, int columns>
inline void multiply_tile(const BitRows& a, int64_t i, const BitRows& b, int64_t j, int64_t words,
                          int64_t* counts, int64_t stride) {
    constexpr int64_t most = 31 * bits_words;  // 31 times 8 bits fit into a byte
    BitVector sums[rows][columns] = {};
    const uint64_t* const left = a.data + i * a.stride;
    const uint64_t* const right = b.data + j * b.stride;
    for (int64_t from = 0; from < words; from += most) {
        const int64_t to = words - from < most ? words : from + most;
        BitVector bytes[rows][columns] = {};
        for (int64_t w = from; w < to; w += bits_words) {
            for (int r = 0; r < rows; ++r) {
                const BitVector row = load_bits(left + r * a.stride + w);
                for (int c = 0; c < columns; ++c) {
                    bytes[r][c] += count_bytes(row & load_bits(right + c * b.stride + w));
                }
            }
        }
        for (int r = 0; r < rows; ++r) {
            for (int c = 0; c < columns; ++c) sums[r][c] += add_bytes(bytes[r][c]);
        }
    }
    for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) counts[(i + r) * stride + j + c] += total(sums[r][c]);
    }
}

#endif

template <int rows>
inline void multiply_rows(const BitRows& a, int64_t i, const BitRows& b, int64_t words,
                          int64_t* counts, int64_t stride) {
    int64_t j = 0;
    for (; j + bits_columns <= b.count; j += bits_columns) {
        multiply_tile<rows, bits_columns>(a, i, b, j, words, counts, stride);
    }
    for (; j < b.count; ++j) multiply_tile<rows, 1>(a, i, b, j, words, counts, stride);
}

void multiply_bits(const BitRows& a, const BitRows& b, int64_t words, int64_t* counts,
                   int64_t stride) {
    int64_t i = 0;
    for (; i + bits_rows <= a.count; i += bits_rows) {
        multiply_rows<bits_rows>(a, i, b, words, counts, stride);
    }
    for (; i < a.count; ++i) multiply_rows<1>(a, i, b, words, counts, stride);
}

// ---- codes to rows of bits ----

typedef int16_t StripCodes __attribute__((vector_size(2 * strip)));
typedef uint16_t StripMarks __attribute__((vector_size(2 * strip)));

void mark_codes(const int16_t* codes, int64_t stride, int64_t units, int64_t steps, int bins,
                uint16_t* marks) {
    StripCodes rows[16];
    for (int64_t t = 0; t < steps; ++t, codes += stride) {
        rows[t] = StripCodes{} - 1;
        if (units == strip) {
            __builtin_memcpy(&rows[t], codes, sizeof rows[t]);
        } else {
            for (int64_t i = 0; i < units; ++i) rows[t][i] = codes[i];
        }
    }
    for (int code = 0; code < bins; ++code, marks += strip) {
        StripMarks mark = {}, bit = StripMarks{} + 1;
        for (int64_t t = 0; t < steps; ++t, bit += bit) {
            mark |= (StripMarks)(rows[t] == static_cast<int16_t>(code)) & bit;
        }
        __builtin_memcpy(marks, &mark, sizeof mark);
    }
}
