// The kernels, compiled once per instruction set by the files in levels/.
//
// Everything here has internal linkage, and nothing of the standard library that is a template is
// used: a copy of an inline function compiled for AVX-512 must never be the one that the linker
// picks for everybody.

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "cpu/kernels.hpp"

#define TEFAST_NAME_OF(level) #level
#define TEFAST_NAME(level) TEFAST_NAME_OF(level)
#define TEFAST_JOIN_(a, b) a##b
#define TEFAST_JOIN(a, b) TEFAST_JOIN_(a, b)

namespace tefast {
namespace {

using std::int64_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;

#include "cpu/vectors.hpp"

constexpr int strip = static_cast<int>(lanes);

template <class T>
struct VectorOf {
    using type = SingleVector;
};
template <>
struct VectorOf<double> {
    using type = DoubleVector;
};

// ---- values to codes ----

// What a guess needs, in registers as far as they go. `shared`: one row of edges for all units;
// `in_registers`: which fits into a table.
template <class X, bool shared, bool in_registers>
struct Guess {
    using F = typename X::F;
    typename X::V zero, top, near, low, scale;
    typename X::Table table;
    const F *lows, *scales, *rows;
    int bins;

    explicit Guess(const CutsView<F>& cuts)
        : zero(X::all(0)),
          top(X::all(static_cast<F>(cuts.bins - 1))),
          near(X::all(cuts.near)),
          low(X::all(*cuts.low)),
          scale(X::all(*cuts.scale)),
          lows(cuts.low),
          scales(cuts.scale),
          rows(cuts.rows),
          bins(cuts.bins) {
        F row[strip];
        for (int i = 0; i < strip; ++i) row[i] = in_registers && i < bins ? rows[i] : F(0);
        table = X::fill(row);
    }

    // Codes of the values of units u, u + 1, ...
    typename X::I operator()(typename X::V v, int64_t u) const {
        const auto from = shared ? low : X::load(lows + u);
        const auto slope = shared ? scale : X::load(scales + u);
        const auto t = X::min(X::max(X::mul(X::sub(v, from), slope), zero), top);
        const auto code = X::whole(t);
        if constexpr (in_registers) return X::step(code, v, X::look_up(table, code));
        const auto lifted = X::whole(X::min(X::add(t, near), top));
        if (!X::differ(code, lifted)) return code;
        const F* row = rows + (shared ? 0 : u * bins);
        return X::step(code, v, X::gather(row, shared ? 0 : bins, code));
    }
};

template <class T, class G, class X = typename VectorOf<T>::type>
inline void guess_strip(const char* at, const G& guess, int64_t u, uint8_t* out,
                        typename X::V& tainted) {
    for (int i = 0; i < strip; i += X::width) {
        const auto v = X::load(at + static_cast<int64_t>(i) * static_cast<int>(sizeof(T)), T{});
        tainted = X::taint(tainted, v);
        X::put(guess(v, u + i), out + i);
    }
}

template <class T, class F>
inline void values_of(const char* at, F* values) {
    using X = typename VectorOf<T>::type;
    for (int i = 0; i < strip; i += X::width) {
        const int64_t offset = static_cast<int64_t>(i) * static_cast<int>(sizeof(T));
        X::store(values + i, X::load(at + offset, T{}));
    }
}

template <class T, class X = typename VectorOf<T>::type>
inline void compare_strip(const char* at, const CutsView<typename X::F>& cuts, int64_t u,
                          int64_t padded, uint8_t* out) {
    for (int i = 0; i < strip; i += X::width) {
        const auto v = X::load(at + static_cast<int64_t>(i) * static_cast<int>(sizeof(T)), T{});
        auto code = X::none();
        for (int e = 0; e + 1 < cuts.bins; ++e) {
            const auto threshold =
                cuts.shared ? X::all(cuts.columns[e]) : X::load(cuts.columns + e * padded + u + i);
            code = X::step(code, v, threshold);
        }
        X::put(code, out + i);
    }
}

template <class T, class F>
inline void search_strip(const char* at, const CutsView<F>& cuts, int64_t u, uint8_t* out) {
    F values[strip];
    values_of<T>(at, values);
    for (int i = 0; i < strip; ++i) {
        // Its only branch is its loop, as a guess on data would be wrong half of the time.
        const F* row = cuts.rows + (cuts.shared ? 0 : (u + i) * cuts.bins);
        const F* from = row;
        int count = cuts.bins - 1;
        while (count > 1) {
            const int half = count / 2;
            from += half * (from[half - 1] <= values[i]);
            count -= half;
        }
        out[i] = static_cast<uint8_t>((from - row) + (*from <= values[i]));
    }
}

template <class T, class X = typename VectorOf<T>::type>
inline uint16_t numbers_in(const char* at) {
    unsigned valid = 0;
    for (int i = 0; i < strip; i += X::width) {
        const auto v = X::load(at + static_cast<int64_t>(i) * static_cast<int>(sizeof(T)), T{});
        valid |= X::numbers(v) << i;
    }
    return static_cast<uint16_t>(valid);
}

template <class T, class X = typename VectorOf<T>::type>
inline void taint_by(const char* at, typename X::V& tainted) {
    for (int i = 0; i < strip; i += X::width) {
        const int64_t offset = static_cast<int64_t>(i) * static_cast<int>(sizeof(T));
        tainted = X::taint(tainted, X::load(at + offset, T{}));
    }
}

// Symbols up to `limit` to codes, others to 0; false if there are such. In the compiler's own
// vectors, since it does not make them of a loop over a strip by itself.
template <class Unsigned>
bool narrow_symbols(const char* at, Unsigned limit, uint8_t* out);

#define TEFAST_NARROW_SYMBOLS(Unsigned)                                                  \
    template <>                                                                          \
    inline bool narrow_symbols<Unsigned>(const char* at, Unsigned limit, uint8_t* out) { \
        typedef Unsigned Values __attribute__((vector_size(16 * sizeof(Unsigned))));     \
        typedef uint8_t Bytes __attribute__((vector_size(16)));                          \
        Values values;                                                                   \
        __builtin_memcpy(&values, at, sizeof values);                                    \
        const Values outside = reinterpret_cast<Values>(values > (Values{} + limit));    \
        const Bytes codes = __builtin_convertvector(values & ~outside, Bytes);           \
        const Bytes found = __builtin_convertvector(outside, Bytes);                     \
        uint64_t any[2];                                                                 \
        __builtin_memcpy(any, &found, sizeof any);                                       \
        __builtin_memcpy(out, &codes, sizeof codes);                                     \
        return (any[0] | any[1]) == 0;                                                   \
    }
TEFAST_NARROW_SYMBOLS(uint8_t)
TEFAST_NARROW_SYMBOLS(uint16_t)
TEFAST_NARROW_SYMBOLS(uint32_t)
TEFAST_NARROW_SYMBOLS(uint64_t)
#undef TEFAST_NARROW_SYMBOLS

// The largest symbol of type T, as a number without sign: below 0 comes after it.
template <class T>
std::make_unsigned_t<T> last_symbol(int bins) {
    using Unsigned = std::make_unsigned_t<T>;
    constexpr auto most =
        static_cast<uint64_t>(static_cast<Unsigned>(~Unsigned(0)) >> std::is_signed_v<T>);
    const auto last = static_cast<uint64_t>(bins - 1);
    return static_cast<Unsigned>(last < most ? last : most);
}

// The whole strips of each row, then what is left, from a copy that fills a strip with zeros.
template <class T, class Each>
inline void for_each_strip(const Rows rows, Each&& each) {
    constexpr int64_t size = sizeof(T);
    const int64_t whole = rows.units / strip * strip, rest = rows.units - whole;
    for (int64_t r = 0; r < rows.count; ++r) {
        const char* row = rows.data + r * rows.stride;
        for (int64_t u = 0; u < whole; u += strip) each(row + u * size, r, u);
        if (rest) {
            T filled[strip] = {};
            __builtin_memcpy(filled, row + whole * size, static_cast<std::size_t>(rest * size));
            each(reinterpret_cast<const char*>(filled), r, whole);
        }
    }
}

template <class T>
bool quantise_symbols(const Rows rows, int bins, const Codes codes) {
    bool clean = true;
    const auto last = last_symbol<T>(bins);
    for_each_strip<T>(rows, [&](const char* at, int64_t r, int64_t u) {
        const int64_t s = u / strip;
        clean &= narrow_symbols(at, last, codes.data + s * codes.strip_stride + r * strip);
        if (codes.valid) codes.valid[s * codes.valid_stride + r] = 0xffff;
    });
    return clean;
}

template <class X>
inline bool is_clean(const typename X::V& tainted) {
    return X::numbers(tainted) == (1U << X::width) - 1;
}

template <class T, bool shared, bool in_registers, class X = typename VectorOf<T>::type>
bool quantise_floats(const Rows& rows, const CutsView<typename X::F> cuts, const Codes codes) {
    const Guess<X, shared, in_registers> guess(cuts);
    auto tainted = X::all(0);
    const int64_t padded = strips_of(rows.units) * strip;
    for_each_strip<T>(rows, [&](const char* at, int64_t r, int64_t u) {
        const int64_t s = u / strip;
        uint8_t* out = codes.data + s * codes.strip_stride + r * strip;
        __builtin_prefetch(out + 64, 1, 3);  // the line after: strips are far apart
        const Method method = cuts.method[shared ? 0 : s];
        if (method == Method::guess) {
            guess_strip<T>(at, guess, u, out, tainted);
        } else {
            if (method == Method::compare) {
                compare_strip<T>(at, cuts, u, padded, out);
            } else {
                search_strip<T>(at, cuts, u, out);
            }
            taint_by<T>(at, tainted);
        }
        if (codes.valid) codes.valid[s * codes.valid_stride + r] = numbers_in<T>(at);
    });
    return is_clean<X>(tainted);
}

template <class T, class F>
bool quantise_any(const Rows& rows, const CutsView<F>& cuts, const Codes& codes) {
    constexpr int most = VectorOf<T>::type::table;
    if (!cuts.shared) return quantise_floats<T, false, false>(rows, cuts, codes);
    if constexpr (most > 0) {
        if (cuts.bins <= most) return quantise_floats<T, true, true>(rows, cuts, codes);
    }
    return quantise_floats<T, true, false>(rows, cuts, codes);
}

bool quantise(DType dtype, const Rows& rows, const AnyCuts& cuts, const Codes& codes) {
    bool clean = false;
    visit(dtype, [&](auto kind) {
        using T = decltype(kind);
        if constexpr (is_symbol<T>) {
            clean = quantise_symbols<T>(rows, cuts.bins, codes);
        } else if constexpr (std::is_same_v<T, double>) {
            clean = quantise_any<T>(rows, cuts.twice, codes);
        } else {
            clean = quantise_any<T>(rows, cuts.single, codes);
        }
    });
    return clean;
}

// ---- values to ranges ----

template <class T, int height, class X = typename VectorOf<T>::type>
inline void extend_strip(const char* at, int64_t stride, typename X::F* low, typename X::F* high,
                         typename X::V& tainted) {
    for (int i = 0; i < strip; i += X::width) {
        auto least = X::load(low + i), most = X::load(high + i);
        for (int r = 0; r < height; ++r) {
            const int64_t offset =
                r * stride + static_cast<int64_t>(i) * static_cast<int>(sizeof(T));
            const auto v = X::load(at + offset, T{});
            least = X::min(v, least);
            most = X::max(v, most);
            tainted = X::taint(tainted, v);
        }
        X::store(low + i, least);
        X::store(high + i, most);
    }
}

// Four rows at a time, so that a unit's range is not read and written for every value.
template <class T, class X = typename VectorOf<T>::type>
bool extend_floats(const Rows& rows, typename X::F* low, typename X::F* high) {
    constexpr int64_t size = sizeof(T);
    const int64_t whole = rows.units / strip * strip, rest = rows.units - whole;
    auto tainted = X::all(0);
    int64_t r = 0;
    for (; r + 4 <= rows.count; r += 4) {
        const char* row = rows.data + r * rows.stride;
        for (int64_t u = 0; u < whole; u += strip) {
            extend_strip<T, 4>(row + u * size, rows.stride, low + u, high + u, tainted);
        }
    }
    for (; r < rows.count; ++r) {
        const char* row = rows.data + r * rows.stride;
        for (int64_t u = 0; u < whole; u += strip) {
            extend_strip<T, 1>(row + u * size, 0, low + u, high + u, tainted);
        }
    }
    if (rest) {
        const Rows last{rows.data + whole * size, rows.count, rows.stride, rest};
        for_each_strip<T>(last, [&](const char* at, int64_t, int64_t) {
            extend_strip<T, 1>(at, 0, low + whole, high + whole, tainted);
        });
    }
    return is_clean<X>(tainted);
}

bool extend_range(DType dtype, const Rows& rows, void* low, void* high) {
    bool clean = false;
    visit(dtype, [&](auto kind) {
        using T = decltype(kind);
        using F = typename VectorOf<T>::type::F;
        if constexpr (!is_symbol<T>) {
            clean = extend_floats<T>(rows, static_cast<F*>(low), static_cast<F*>(high));
        }
    });
    return clean;
}

// ---- codes to counts ----

// Rows whose cells are worked out at a time.
constexpr int batch = 8;

// Asks for the bytes of `from` line by line, so many with every batch that it is done in time.
class Asking {
  public:
    Asking(const char* from, int64_t bytes, int64_t batches)
        : at_(from), end_(from + bytes), step_(bytes / batches + 1) {}

    void go_on() {
        const char* until = end_ - at_ > step_ ? at_ + step_ : end_;
        for (; at_ < until; at_ += 64) __builtin_prefetch(at_, 0, 2);
    }

  private:
    const char *at_, *end_;
    int64_t step_;
};

// cells (group,) = (past * bins + next) * group, in the compiler's own vectors: every instruction
// set and architecture has them, and loops over bytes, which may alias anything, are not made
// into vectors by themselves.
template <int group>
void find_row(const uint8_t* past, const uint8_t* next, int bins, uint16_t* cells);

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
    }
TEFAST_FIND_ROW(16)
TEFAST_FIND_ROW(4)
TEFAST_FIND_ROW(1)
#undef TEFAST_FIND_ROW

// Which cell each lane's move falls into, and whether it counts: cells (batch, group).
template <int group, bool all_valid>
inline void find_cells(const Moves& moves, const uint32_t* rows, int64_t count, int lane,
                       uint16_t* cells, uint16_t* counted) {
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
    Asking codes(ahead.codes, ahead.code_bytes, batches);
    Asking next(ahead.table, ahead.table_bytes, batches);
    const auto find = [&](int64_t from) {
        if (from >= count) return;
        const int64_t left = count - from, slot = from % ring;
        find_cells<group, all_valid>(moves, moves.rows + from, left < lead ? left : lead, lane,
                                     cells + slot * group, counted + slot);
    };
    find(0);
    for (int64_t from = 0; from < count; from += lead) {
        codes.go_on();
        next.go_on();
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
        count_in<strip>(moves, lane, table, ahead);
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

template <int group>
void add_margins_of(const uint16_t* table, int bins, uint64_t* moves, uint64_t* pasts) {
    for (int x = 0; x < bins; ++x) {
        uint32_t sum[group] = {};
        for (int64_t cell = 0; cell < bins; ++cell, table += group, moves += group) {
            for (int i = 0; i < group; ++i) {
                moves[i] += table[i];
                sum[i] += table[i];
            }
        }
        for (int i = 0; i < group; ++i) pasts[x * group + i] += sum[i];
    }
}

void add_margins(const uint16_t* table, int bins, int group, uint64_t* moves, uint64_t* pasts) {
    if (group == strip) {
        add_margins_of<strip>(table, bins, moves, pasts);
    } else if (group == 4) {
        add_margins_of<4>(table, bins, moves, pasts);
    } else {
        add_margins_of<1>(table, bins, moves, pasts);
    }
}

}  // namespace

extern const Kernels TEFAST_JOIN(TEFAST_LEVEL, _kernels);
const Kernels TEFAST_JOIN(TEFAST_LEVEL, _kernels) = {
    TEFAST_NAME(TEFAST_LEVEL), quantise, extend_range, count, list_cells, tally, add_margins,
};

}  // namespace tefast
