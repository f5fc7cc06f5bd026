// Moves of few symbols, and values of no more than 16, counted in registers instead of a table:
// every byte of a vector counts for a unit. Included by kernels_body.hpp, inside the level's own
// unnamed namespace.

#if defined(__AVX512BW__)
constexpr int few_rows = 4;  // whose strips fill a vector
#elif defined(__AVX2__)
constexpr int few_rows = 2;
#else
constexpr int few_rows = 1;
#endif
typedef uint8_t FewBytes __attribute__((vector_size(strip * few_rows)));
typedef uint8_t StripBytes __attribute__((vector_size(strip)));
typedef uint16_t StripSums __attribute__((vector_size(2 * strip)));

constexpr int64_t most_in_byte = 255;

// The codes of a few rows, and those of the rows after them, which lie right behind.
inline void load_few(const uint8_t* codes, const uint32_t* rows, FewBytes& past, FewBytes& next) {
    const auto at = [&](int k) { return codes + int64_t{strip} * rows[k]; };
#if defined(__AVX2__)
    const auto load = [&](int k) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at(k)));
    };
#endif
#if defined(__AVX512BW__)
    const auto two = [&](int k) {
        return _mm512_inserti64x4(_mm512_castsi256_si512(load(k)), load(k + 1), 1);
    };
    const __m512i first = two(0), second = two(2);
    past = (FewBytes)_mm512_shuffle_i64x2(first, second, 0x88);
    next = (FewBytes)_mm512_shuffle_i64x2(first, second, 0xdd);
#elif defined(__AVX2__)
    const __m256i first = load(0), second = load(1);
    past = (FewBytes)_mm256_permute2x128_si256(first, second, 0x20);
    next = (FewBytes)_mm256_permute2x128_si256(first, second, 0x31);
#else
    __builtin_memcpy(&past, at(0), sizeof past);
    __builtin_memcpy(&next, at(0) + strip, sizeof next);
#endif
}

#if defined(__AVX2__)
// The codes of a few rows alone.
inline FewBytes load_values(const uint8_t* codes, const uint32_t* rows) {
    StripBytes each[few_rows];
    for (int k = 0; k < few_rows; ++k) {
        __builtin_memcpy(&each[k], codes + int64_t{strip} * rows[k], sizeof each[k]);
    }
    FewBytes all;
    __builtin_memcpy(&all, each, sizeof all);
    return all;
}
#endif

// Adds what the bytes of each unit count to its counters (strip,). few: no unit counted more than
// a byte takes.
template <bool few = false>
inline void spill_few(const FewBytes& bytes, uint16_t* counts) {
    StripBytes parts[few_rows];
    __builtin_memcpy(parts, &bytes, sizeof parts);
    StripSums sums;
    __builtin_memcpy(&sums, counts, sizeof sums);
    if constexpr (few) {
        for (int part = 1; part < few_rows; ++part) parts[0] += parts[part];
        sums += __builtin_convertvector(parts[0], StripSums);
    } else {
        for (const StripBytes& part : parts) sums += __builtin_convertvector(part, StripSums);
    }
    __builtin_memcpy(counts, &sums, sizeof sums);
}

// What is left of the rows for a vector.
inline void count_rest(const Moves& moves, int64_t from, uint16_t* table) {
    for (int64_t k = from; k < moves.count; ++k) {
        const uint8_t* const past = moves.codes + int64_t{strip} * moves.rows[k];
        for (int i = 0; i < strip; ++i) {
            const int cell =
                moves.past.with_next ? past[i] * moves.bins + past[strip + i] : past[i];
            ++table[cell * strip + i];
        }
    }
}

// Of two symbols the sums of past, next and both say all.
void count_two(const Moves& moves, uint16_t* table, Prefetch codes) {
    const int64_t whole = moves.count / few_rows * few_rows;
    uint16_t sums[3][strip] = {};
    for (int64_t from = 0; from < whole; from += most_in_byte * few_rows) {
        const int64_t left = whole - from, most = most_in_byte * few_rows;
        FewBytes pasts = {}, nexts = {}, both = {}, past, next;
        for (int64_t k = from, end = from + (left < most ? left : most); k < end; k += few_rows) {
            if (k % (4 * few_rows) == 0) codes.advance();
            load_few(moves.codes, moves.rows + k, past, next);
            pasts += past;
            nexts += next;
            both += past & next;
        }
        spill_few(pasts, sums[0]);
        spill_few(nexts, sums[1]);
        spill_few(both, sums[2]);
    }
    for (int i = 0; i < strip; ++i) {
        const int past = sums[0][i], next = sums[1][i], both = sums[2][i];
        const int of_cells[] = {static_cast<int>(whole) - past - next + both, next - both,
                                past - both, both};
        for (int cell = 0; cell < 4; ++cell) {
            uint16_t& count = table[cell * strip + i];
            count = static_cast<uint16_t>(count + of_cells[cell]);
        }
    }
    count_rest(moves, whole, table);
}

#if defined(__AVX2__)

// table[index] of each byte, 16 entries of which each 16 bytes have their own copy.
inline FewBytes look_up(const FewBytes& entries, const FewBytes& index) {
#if defined(__AVX512BW__)
    return (FewBytes)_mm512_shuffle_epi8((__m512i)entries, (__m512i)index);
#else
    return (FewBytes)_mm256_shuffle_epi8((__m256i)entries, (__m256i)index);
#endif
}

// Cells of moves between three or four symbols.
template <int bins>
inline FewBytes few_cells(const Moves& moves, int64_t k) {
    FewBytes past, next;
    load_few(moves.codes, moves.rows + k, past, next);
    FewBytes cell = past + past + next;
    if constexpr (bins == 3) cell += past;
    if constexpr (bins == 4) cell += past + past;
    return cell;
}

// Of no more than 2 * halves cells: two of them share a byte, until one could pass 15. find(k): the
// cells of rows[k] and of those after it for a vector.
template <int halves, class Find>
void count_few(const Moves& moves, int64_t cells, uint16_t* table, Prefetch codes, Find&& find) {
    constexpr int64_t most_in_half = 15;
    FewBytes ones[halves] = {};
    for (int h = 0; h < halves; ++h) {
        for (int part = 0; part < few_rows; ++part) {
            ones[h][part * 16 + 2 * h] = 1;
            ones[h][part * 16 + 2 * h + 1] = 16;
        }
    }
    const int64_t whole = moves.count / few_rows * few_rows;
    for (int64_t k = 0; k < whole;) {
        FewBytes bytes[2 * halves] = {};
        for (int64_t filled = 0; filled < most_in_byte && k < whole; filled += most_in_half) {
            FewBytes both[halves] = {};
            codes.advance();
            for (int64_t i = 0; i < most_in_half && k < whole; ++i, k += few_rows) {
                const FewBytes cell = find(k);
                for (int h = 0; h < halves; ++h) both[h] += look_up(ones[h], cell);
            }
            for (int h = 0; h < halves; ++h) {
                bytes[2 * h] += both[h] & 15;
                bytes[2 * h + 1] += both[h] >> 4;
            }
        }
        if (whole <= most_in_byte) {
            for (int64_t cell = 0; cell < cells; ++cell) {
                spill_few<true>(bytes[cell], table + cell * strip);
            }
        } else {
            for (int64_t cell = 0; cell < cells; ++cell) {
                spill_few(bytes[cell], table + cell * strip);
            }
        }
    }
    count_rest(moves, whole, table);
}

template <int halves>
void count_values_in(const Moves& moves, uint16_t* table, Prefetch codes) {
    count_few<halves>(moves, moves.bins, table, codes,
                      [&](int64_t k) { return load_values(moves.codes, moves.rows + k); });
}

bool count_values(const Moves& moves, uint16_t* table, Prefetch codes) {
    if (moves.bins <= 4) {
        count_values_in<2>(moves, table, codes);
    } else if (moves.bins <= 8) {
        count_values_in<4>(moves, table, codes);
    } else if (moves.bins <= 16) {
        count_values_in<8>(moves, table, codes);
    } else {
        return false;
    }
    return true;
}

#endif

// Whether there is a way for so few symbols, which then counted the moves of a strip.
bool count_in_registers(const Moves& moves, uint16_t* table, const Ahead& ahead) {
    const Prefetch codes(ahead.codes, ahead.code_bytes, moves.count / (16 * few_rows) + 1);
    if (moves.valid || moves.stride != strip || moves.past.length > 0) return false;
    if (!moves.past.with_next) {
#if defined(__AVX2__)
        return count_values(moves, table, codes);
#else
        return false;
#endif
    }
    if (moves.bins == 2) {
        count_two(moves, table, codes);
        return true;
    }
#if defined(__AVX2__)
    if (moves.bins == 3) {
        count_few<5>(moves, 9, table, codes, [&](int64_t k) { return few_cells<3>(moves, k); });
        return true;
    }
    if (moves.bins == 4) {
        count_few<8>(moves, 16, table, codes, [&](int64_t k) { return few_cells<4>(moves, k); });
        return true;
    }
#endif
    return false;
}
