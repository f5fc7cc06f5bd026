// The kernels that read codes: to counts and their margins. Included by kernels_body.hpp, inside
// the level's own unnamed namespace.

// Rows whose cells are worked out at a time.
constexpr int batch = 8;

// Prefetches the bytes of `from` line by line, so many with every batch that all are asked for in
// time.
class Prefetch {
  public:
    Prefetch(const char* from, int64_t bytes, int64_t batches)
        : at_(from), end_(from + bytes), step_(bytes / batches + 1) {}

    void advance() {
        const char* until = end_ - at_ > step_ ? at_ + step_ : end_;
        for (; at_ < until; at_ += 64) __builtin_prefetch(at_, 0, 2);
    }

  private:
    const char *at_, *end_;
    int64_t step_;
};

#include "cpu/few_body.hpp"

// cells (group,) = (past * bins + next) * group, or value * group, in the compiler's own vectors:
// every instruction set and architecture has them, and loops over bytes, which may alias anything,
// are not made into vectors by themselves.
template <int group>
void find_row(const uint8_t* past, const uint8_t* next, int bins, uint16_t* cells);
template <int group>
void find_value(const uint8_t* value, uint16_t* cells);

#define TEFAST_FIND_ROW(group)                                                                \
    template <>                                                                               \
    inline void find_row<group>(const uint8_t* past, const uint8_t* next, int bins,           \
                                uint16_t* cells) {                                            \
        typedef uint8_t Bytes __attribute__((vector_size(group)));                            \
        typedef uint16_t Words __attribute__((vector_size(2 * group)));                       \
        Bytes from, to;                                                                       \
        __builtin_memcpy(&from, past, sizeof from);                                           \
        __builtin_memcpy(&to, next, sizeof to);                                               \
        const Words row = __builtin_convertvector(from, Words) * static_cast<uint16_t>(bins); \
        const Words cell = (row + __builtin_convertvector(to, Words)) * uint16_t{group};      \
        __builtin_memcpy(cells, &cell, sizeof cell);                                          \
    }                                                                                         \
    template <>                                                                               \
    inline void find_value<group>(const uint8_t* value, uint16_t* cells) {                    \
        typedef uint8_t Bytes __attribute__((vector_size(group)));                            \
        typedef uint16_t Words __attribute__((vector_size(2 * group)));                       \
        Bytes codes;                                                                          \
        __builtin_memcpy(&codes, value, sizeof codes);                                        \
        const Words cell = __builtin_convertvector(codes, Words) * uint16_t{group};           \
        __builtin_memcpy(cells, &cell, sizeof cell);                                          \
    }
#if !defined(__AVX2__)
TEFAST_FIND_ROW(16)
#endif
TEFAST_FIND_ROW(4)
TEFAST_FIND_ROW(1)
#undef TEFAST_FIND_ROW

#if defined(__AVX2__)
// Compilers widen a strip of bytes in halves and join them, where one instruction does.
inline __m256i widened(const uint8_t* codes) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
}

template <>
inline void find_row<16>(const uint8_t* past, const uint8_t* next, int bins, uint16_t* cells) {
    const __m256i row =
        _mm256_mullo_epi16(widened(past), _mm256_set1_epi16(static_cast<short>(bins)));
    const __m256i cell = _mm256_slli_epi16(_mm256_add_epi16(row, widened(next)), 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(cells), cell);
}

template <>
inline void find_value<16>(const uint8_t* value, uint16_t* cells) {
    const __m256i cell = _mm256_slli_epi16(widened(value), 4);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(cells), cell);
}
#endif

// Codes and cells of a group. A size that depends on a template's argument does not make a vector
// with every compiler.
template <int group>
struct Group;
template <>
struct Group<16> {
    typedef uint8_t Bytes __attribute__((vector_size(16)));
    typedef uint16_t Words __attribute__((vector_size(32)));
};
template <>
struct Group<4> {
    typedef uint8_t Bytes __attribute__((vector_size(4)));
    typedef uint16_t Words __attribute__((vector_size(8)));
};
template <>
struct Group<1> {
    typedef uint8_t Bytes __attribute__((vector_size(1)));
    typedef uint16_t Words __attribute__((vector_size(2)));
};

// The same of pasts of several rows.
template <int group, bool all_valid>
void find_long_cells(const Moves& moves, const uint32_t* rows, int64_t count, int lane,
                     uint16_t* cells, uint16_t* counted) {
    using Words = typename Group<group>::Words;
    for (int64_t k = 0; k < count; ++k) {
        Words cell = {};
        unsigned valid = 0xffff;
        for (int i = 0; i < moves.past.length + (moves.past.with_next ? 1 : 0); ++i) {
            const int64_t forward = i < moves.past.length ? -moves.past.back[i] : 1;
            const int64_t at = static_cast<int64_t>(rows[k]) + forward;
            typename Group<group>::Bytes codes;
            __builtin_memcpy(&codes, moves.codes + at * moves.stride + lane, sizeof codes);
            cell = cell * static_cast<uint16_t>(moves.bins) + __builtin_convertvector(codes, Words);
            if constexpr (!all_valid) valid &= moves.valid[at];
        }
        cell *= uint16_t{group};
        __builtin_memcpy(cells + k * group, &cell, sizeof cell);
        if constexpr (!all_valid) counted[k] = static_cast<uint16_t>(valid >> lane);
    }
}

// Which cell each lane's move falls into, and whether it counts: cells (batch, group).
template <int group, bool all_valid>
inline void find_cells(const Moves& moves, const uint32_t* rows, int64_t count, int lane,
                       uint16_t* cells, uint16_t* counted) {
    if (moves.past.length > 0) {
        return find_long_cells<group, all_valid>(moves, rows, count, lane, cells, counted);
    }
    if (!moves.past.with_next) {
        for (int64_t k = 0; k < count; ++k) {
            const int64_t row = static_cast<int64_t>(rows[k]);
            find_value<group>(moves.codes + row * moves.stride + lane, cells + k * group);
            if constexpr (!all_valid) counted[k] = static_cast<uint16_t>(moves.valid[row] >> lane);
        }
        return;
    }
    for (int64_t k = 0; k < count; ++k) {
        const uint8_t* past = moves.codes + static_cast<int64_t>(rows[k]) * moves.stride + lane;
        find_row<group>(past, past + moves.stride, moves.bins, cells + k * group);
        if constexpr (!all_valid) {
            const unsigned both = moves.valid[rows[k]] & moves.valid[rows[k] + 1];
            counted[k] = static_cast<uint16_t>(both >> lane);
        }
    }
}

// Four increments from one load. Neighbouring lanes have cells of their own, so that they never
// wait for each other's store, however alike the data are.
inline void increment4(const uint16_t* cells, uint16_t* table) {
    uint64_t word;
    __builtin_memcpy(&word, cells, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    ++table[word & 0xffff];
    ++table[((word >> 16) & 0xffff) + 1];
    ++table[((word >> 32) & 0xffff) + 2];
    ++table[(word >> 48) + 3];
#else
    for (int i = 0; i < 4; ++i) ++table[cells[i] + i];
#endif
}

template <int group, bool all_valid>
inline void increment(const uint16_t* cells, unsigned counted, uint16_t* table) {
    if constexpr (!all_valid) {
        for (int i = 0; i < group; ++i) {
            table[cells[i] + i] = static_cast<uint16_t>(table[cells[i] + i] + ((counted >> i) & 1));
        }
    } else if constexpr (group % 4 == 0) {
        for (int i = 0; i < group; i += 4) increment4(cells + i, table + i);
    } else {
        for (int i = 0; i < group; ++i) ++table[cells[i] + i];
    }
}

// A few rows ahead of the increments their cells are found, so that waiting for codes and for
// counters goes on side by side.
template <int group, bool all_valid>
void count_group(const Moves& moves, int lane, uint16_t* table, const Ahead& ahead) {
    constexpr int64_t lead = 16, ring = 2 * lead;
    alignas(64) uint16_t cells[ring * group];
    uint16_t counted[ring];
    const int64_t count = moves.count;
    if (count == 0) return;
    const int64_t batches = (count + lead - 1) / lead;
    Prefetch codes(ahead.codes, ahead.code_bytes, batches);
    Prefetch next(ahead.table, ahead.table_bytes, batches);
    const auto find = [&](int64_t from) {
        if (from >= count) return;
        const int64_t left = count - from, slot = from % ring;
        // The rows of one state lie strides apart that no processor foresees.
        for (int64_t k = from + ring, end = k + lead; k < end && k < count; ++k) {
            __builtin_prefetch(moves.codes + moves.rows[k] * moves.stride, 0, 3);
        }
        find_cells<group, all_valid>(moves, moves.rows + from, left < lead ? left : lead, lane,
                                     cells + slot * group, counted + slot);
    };
    find(0);
    for (int64_t from = 0; from < count; from += lead) {
        codes.advance();
        next.advance();
        find(from + lead);
        const int64_t left = count - from, rows = left < lead ? left : lead;
        for (int64_t k = from % ring, end = k + rows; k < end; ++k) {
            increment<group, all_valid>(cells + k * group, all_valid ? 0U : counted[k], table);
        }
    }
}

template <int group>
void count_in(const Moves& moves, int lane, uint16_t* table, const Ahead& ahead) {
    if (moves.valid) {
        count_group<group, false>(moves, lane, table, ahead);
    } else {
        count_group<group, true>(moves, lane, table, ahead);
    }
}

void count(const Moves& moves, int lane, int group, uint16_t* table, const Ahead& ahead) {
    if (group == strip) {
        if (!count_in_registers(moves, table, ahead)) count_in<strip>(moves, lane, table, ahead);
    } else if (group == 4) {
        count_in<4>(moves, lane, table, ahead);
    } else {
        count_in<1>(moves, lane, table, ahead);
    }
}

void list_cells(const Moves& moves, int lane, int group, uint16_t* cells) {
    uint16_t counted[batch];
    for (int64_t from = 0; from < moves.count; from += batch) {
        const int64_t left = moves.count - from, count = left < batch ? left : batch;
        uint16_t* out = cells + from * group;
        if (group == strip) {
            find_cells<strip, true>(moves, moves.rows + from, count, lane, out, counted);
        } else if (group == 4) {
            find_cells<4, true>(moves, moves.rows + from, count, lane, out, counted);
        } else {
            find_cells<1, true>(moves, moves.rows + from, count, lane, out, counted);
        }
    }
}

void tally(const uint8_t* codes, const uint16_t* valid, int64_t rows, uint32_t* table) {
    for (int64_t r = 0; r < rows; ++r, codes += strip) {
        if (!valid || valid[r] == 0xffff) {
            for (int i = 0; i < strip; ++i) ++table[codes[i] * strip + i];
        } else {
            for (int i = 0; i < strip; ++i) table[codes[i] * strip + i] += (valid[r] >> i) & 1U;
        }
    }
}

// ---- counts to their margins ----

template <int group, bool with_moves>
void add_margins_of(const uint16_t* table, int64_t pasts, int bins, uint64_t* moves,
                    uint64_t* past_counts) {
    for (int64_t past = 0; past < pasts; ++past) {
        uint32_t sum[group] = {};
        for (int64_t cell = 0; cell < bins; ++cell, table += group) {
            for (int i = 0; i < group; ++i) sum[i] += table[i];
            if constexpr (with_moves) {
                for (int i = 0; i < group; ++i) moves[i] += table[i];
                moves += group;
            }
        }
        for (int i = 0; i < group; ++i) past_counts[past * group + i] += sum[i];
    }
}

template <int group>
void add_margins_in(const uint16_t* table, int64_t pasts, int bins, uint64_t* moves,
                    uint64_t* past_counts) {
    if (moves) {
        add_margins_of<group, true>(table, pasts, bins, moves, past_counts);
    } else {
        add_margins_of<group, false>(table, pasts, bins, moves, past_counts);
    }
}

void add_margins(const uint16_t* table, int64_t pasts, int bins, int group, uint64_t* moves,
                 uint64_t* past_counts) {
    if (group == strip) {
        add_margins_in<strip>(table, pasts, bins, moves, past_counts);
    } else if (group == 4) {
        add_margins_in<4>(table, pasts, bins, moves, past_counts);
    } else {
        add_margins_in<1>(table, pasts, bins, moves, past_counts);
    }
}
