// The kernels that read values: to codes and to ranges. Included by kernels_body.hpp, inside
// the level's own unnamed namespace.

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
            clean = quantise_any<T>(rows, cuts.doubles, codes);
        } else {
            clean = quantise_any<T>(rows, cuts.floats, codes);
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
