#include "cpu/order.hpp"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/region.hpp"

namespace tefast {
namespace {

constexpr std::size_t most_buckets = 2048;  // their counters fit into half of a near cache
constexpr std::size_t few = 24;             // so many values are sorted soonest by insertion
constexpr std::size_t chunk = 2048;         // values whose buckets are found at a time

template <class T>
using Key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// An integer that rises with the value.
template <class T>
Key<T> key_of(T value) {
    Key<T> bits;
    std::memcpy(&bits, &value, sizeof bits);
    constexpr Key<T> sign = Key<T>{1} << (8 * sizeof(T) - 1);
    return bits & sign ? static_cast<Key<T>>(~bits) : bits | sign;
}

// Buckets of equal width: equally full where values lie densely, which most do.
template <class T>
struct EqualWidths {
    T low, scale;

    EqualWidths(T lowest, T highest, std::size_t buckets)
        : low(lowest), scale(static_cast<T>(buckets - 1) / (highest - lowest)) {}
    // Not where a range is so wide, or so narrow, that its width or the scale is beyond a float.
    bool usable() const { return std::isfinite(scale) && scale > 0; }
    std::uint16_t operator()(T value) const {
        return static_cast<std::uint16_t>(static_cast<std::int32_t>((value - low) * scale));
    }
};

// Buckets of equally many floats: each split makes the range smaller, whatever the values are.
template <class T>
struct EqualKeys {
    Key<T> low;
    int shift = 0;

    EqualKeys(T lowest, T highest, std::size_t buckets) : low(key_of(lowest)) {
        while ((key_of(highest) - low) >> shift >= buckets) ++shift;
    }
    std::uint16_t operator()(T value) const {
        return static_cast<std::uint16_t>((key_of(value) - low) >> shift);
    }
};

template <class T>
void sort_few(T* values, std::size_t size) {
    for (std::size_t i = 1; i < size; ++i) {
        const T value = values[i];
        std::size_t at = i;
        for (; at > 0 && value < values[at - 1]; --at) values[at] = values[at - 1];
        values[at] = value;
    }
}

using Ranks = std::vector<std::size_t>;

template <class T>
std::pair<T, T> range_of(const T* values, std::size_t size) {
    constexpr std::size_t width = 16;  // for vectors
    std::array<T, width> low, high;
    low.fill(values[0]);
    high.fill(values[0]);
    std::size_t i = 0;
    for (; i + width <= size; i += width) {
        for (std::size_t j = 0; j < width; ++j) {
            low[j] = values[i + j] < low[j] ? values[i + j] : low[j];
            high[j] = values[i + j] > high[j] ? values[i + j] : high[j];
        }
    }
    for (; i < size; ++i) {
        low[0] = std::min(low[0], values[i]);
        high[0] = std::max(high[0], values[i]);
    }
    return {*std::min_element(low.begin(), low.end()), *std::max_element(high.begin(), high.end())};
}

// Finds values by rank. They are put into buckets in rising order, of which only those that hold a
// wanted rank are looked at further.
template <class T>
class Selector {
  public:
    // out[i]: the value of rank ranks[i], which rise, among values[0 .. size). spare: as large.
    // Both are written over. No value is NaN.
    void operator()(T* values, T* spare, std::size_t size, const Ranks& ranks, double* out) {
        pieces_.assign(1, {values, spare, size, 0, 0, ranks.size(), true});
        while (!pieces_.empty()) {
            const Piece piece = pieces_.back();
            pieces_.pop_back();
            look_at(piece, ranks, out);
        }
    }

  private:
    // Values beside each other in rank, the first of which has the rank `rank`, with the wanted
    // ranks [from, to) of the list among them.
    struct Piece {
        T *values, *spare;
        std::size_t size, rank, from, to;
        bool whole;
    };

    void look_at(const Piece& piece, const Ranks& ranks, double* out) {
        if (piece.size <= few) {
            sort_few(piece.values, piece.size);
            for (std::size_t i = piece.from; i < piece.to; ++i)
                out[i] = static_cast<double>(piece.values[ranks[i] - piece.rank]);
            return;
        }
        const auto [low, high] = range_of(piece.values, piece.size);
        if (low == high) return std::fill(out + piece.from, out + piece.to, double{low});
        std::size_t buckets = 64;
        while (buckets < most_buckets && buckets * 4 < piece.size) buckets *= 2;
        const EqualWidths<T> widths(low, high, buckets);
        if (piece.whole && widths.usable() && parts(widths, piece))
            return split(piece, widths, buckets, ranks);
        split(piece, EqualKeys<T>(low, high, buckets), buckets, ranks);
    }

    // Whether these buckets part most of a few values. Outliers can leave one bucket for all
    // others.
    static bool parts(const EqualWidths<T>& widths, const Piece& piece) {
        constexpr std::size_t tried = 64;
        std::size_t parted = 0;
        for (std::size_t i = 1; i < tried; ++i) {
            const T *one = piece.values + piece.size * (i - 1) / tried,
                    *next = piece.values + piece.size * i / tried;
            parted += widths(*one) != widths(*next);
        }
        return 2 * parted > tried;
    }

    template <class Map>
    void split(const Piece& piece, const Map& map, std::size_t buckets, const Ranks& ranks) {
        std::fill_n(place_.begin(), buckets, 0);
        for_each_chunk(map, piece.values, piece.size, [&](const T*, std::size_t many) {
            for (std::size_t j = 0; j < many; ++j) ++place_[bucket_[j]];
        });
        const std::size_t kept = choose(piece, buckets, ranks);
        if (kept < piece.size) drop_others(piece, map);
        for_each_chunk(map, piece.values, kept, [&](const T* values, std::size_t many) {
            for (std::size_t j = 0; j < many; ++j) piece.spare[place_[bucket_[j]]++] = values[j];
        });
    }

    // Makes a piece of each bucket in which a wanted rank lies, and of its counter the place where
    // its values go. Returns how many values there are in these.
    std::size_t choose(const Piece& piece, std::size_t buckets, const Ranks& ranks) {
        std::size_t kept = 0, rank = piece.rank, next = piece.from;
        for (std::size_t b = 0; b < buckets; ++b) {
            const std::size_t size = place_[b], from = next;
            while (next < piece.to && ranks[next] < rank + size) ++next;
            wanted_[b] = next > from;
            place_[b] = kept;
            if (next > from) {
                pieces_.push_back(
                    {piece.spare + kept, piece.values + kept, size, rank, from, next, false});
                kept += size;
            }
            rank += size;
        }
        return kept;
    }

    // Without a branch, which would often be guessed wrong.
    template <class Map>
    void drop_others(const Piece& piece, const Map& map) {
        T* kept = piece.values;
        for_each_chunk(map, piece.values, piece.size, [&](const T* values, std::size_t many) {
            for (std::size_t j = 0; j < many; ++j) {
                *kept = values[j];
                kept += wanted_[bucket_[j]];
            }
        });
    }

    // Calls each(values, many) with the buckets of these values in bucket_. They are found a second
    // time rather than kept, since a unit may have very many values.
    template <class Map, class Each>
    void for_each_chunk(const Map& map, const T* values, std::size_t size, Each&& each) {
        for (std::size_t i = 0; i < size; i += chunk) {
            const std::size_t many = std::min(chunk, size - i);
            for (std::size_t j = 0; j < many; ++j) bucket_[j] = map(values[i + j]);
            each(values + i, many);
        }
    }

    std::vector<Piece> pieces_;
    std::array<std::size_t, most_buckets> place_;
    std::array<std::uint8_t, most_buckets> wanted_;
    std::array<std::uint16_t, chunk> bucket_;
};

// Sorts all values, by the lowest byte of their keys first.
template <class T>
class Sorter {
  public:
    // spare: as large as values. Both are written over. No value is NaN.
    void operator()(T* values, T* spare, std::size_t size, double* out) {
        for (auto& counts : place_) counts.fill(0);
        for (std::size_t i = 0; i < size; ++i) {
            const Key<T> key = key_of(values[i]);
            for (std::size_t b = 0; b < sizeof(T); ++b) ++place_[b][byte_of(key, b)];
        }
        for (std::size_t b = 0; b < sizeof(T); ++b) {
            auto& place = place_[b];
            if (place[byte_of(key_of(values[0]), b)] == size) continue;  // the same in all
            std::size_t before = 0;
            for (std::size_t& at : place) before += std::exchange(at, before);
            for (std::size_t i = 0; i < size; ++i)
                spare[place[byte_of(key_of(values[i]), b)]++] = values[i];
            std::swap(values, spare);
        }
        for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<double>(values[i]);
    }

  private:
    static std::size_t byte_of(Key<T> key, std::size_t byte) {
        return static_cast<std::size_t>(key >> (8 * byte)) & 0xff;
    }

    std::array<std::array<std::size_t, 256>, sizeof(T)> place_;  // counts, then where the next goes
};

// Some units, by their numbers or, without these, the first ones.
struct Chosen {
    const std::int64_t* numbers;
    std::int64_t many;

    std::int64_t operator[](std::int64_t i) const { return numbers ? numbers[i] : i; }
};

// The valid values of some units, one column each.
template <class T>
class Columns {
  public:
    // Columns that begin at the same place of a page would displace each other in near caches.
    Columns(std::size_t rows, std::size_t width)
        : stride_(rows + (64 + 4096 - rows * sizeof(T) % 4096) / sizeof(T)),
          values_(new T[stride_ * (width + 1)]) {}

    T* column(std::size_t j) { return values_.get() + j * stride_; }
    T* spare() { return values_.get(); }

    // The units chosen[begin .. end), in columns from 1 on. Returns how many rows there are.
    template <class S>
    std::size_t copy(const Array3& from, const std::int64_t* lengths, const Chosen& chosen,
                     std::int64_t begin, std::int64_t end) {
        const auto width = static_cast<std::size_t>(end - begin);
        offsets_.clear();
        for (std::int64_t i = begin; i < end; ++i) offsets_.push_back(chosen[i] * from.stride[2]);
        T* out = column(1);
        for (std::int64_t n = 0; n < from.shape[0]; ++n) {
            const std::int64_t steps = lengths ? lengths[n] : from.shape[1];
            for (std::int64_t t = 0; t < steps; ++t, ++out) {
                const char* at = from.row(n, t, 0);
                // Rows that lie far apart would be waited for.
                if (t + 16 < steps)
                    __builtin_prefetch(at + 16 * from.stride[1] + offsets_[0], 0, 3);
                for (std::size_t j = 0; j < width; ++j) {
                    // Adding 0 makes the zeros of both signs one.
                    out[j * stride_] = static_cast<T>(to_double(load<S>(at + offsets_[j]))) + T{0};
                }
            }
        }
        return static_cast<std::size_t>(out - column(1));
    }

  private:
    std::size_t stride_;
    std::unique_ptr<T[]> values_;
    std::vector<std::int64_t> offsets_;
};

// Moves NaN out of the way, and returns how many values are left.
template <class T>
std::size_t drop_nan(T* values, std::size_t size) {
    unsigned nan = 0;
    for (std::size_t i = 0; i < size; ++i) nan |= values[i] != values[i];
    if (!nan) return size;
    const T* end = std::remove_if(values, values + size, [](T value) { return value != value; });
    return static_cast<std::size_t>(end - values);
}

// Values that all threads copy together at most, unless a unit has more.
constexpr std::int64_t room = std::int64_t{1} << 23;

// So many of the threads that their copies of very long units take no more memory than the array,
// which is there already, unless it is a mapped file.
int with_room(int threads, const Array3& values) {
    const std::int64_t rows = values.shape[0] * values.shape[1];
    const std::int64_t most = values.mapped ? room : std::max(room, rows * values.shape[2]);
    return static_cast<int>(std::clamp<std::int64_t>(most / (2 * rows), 1, threads));
}

// Units in groups that are copied together, since those side by side share cache lines. As many
// groups for every thread, none of which takes too much room.
struct Groups {
    std::int64_t units, count;

    Groups(const Array3& values, std::int64_t chosen, int threads) : units(chosen) {
        const std::int64_t rows = values.shape[0] * values.shape[1];
        const std::int64_t line = 64 / size_of(values.dtype);
        const std::int64_t width = std::clamp<std::int64_t>(room / rows / threads, 1, line);
        const std::int64_t least = (units + width - 1) / width;
        count = std::min((least + threads - 1) / threads * threads, units);
    }
    std::int64_t begin(std::int64_t group) const { return units * group / count; }
    std::size_t width() const { return static_cast<std::size_t>((units + count - 1) / count); }
};

// The same rows as a single sequence, where they lie so: rows of the next one are then prefetched.
Array3 one_sequence(Array3 values) {
    if (values.stride[0] == values.shape[1] * values.stride[1]) {
        values.shape[1] *= values.shape[0];
        values.shape[0] = 1;
    }
    return values;
}

// Calls each(i, work, values, spare, size) with the valid values of unit chosen[i], and with an
// object of this class that the thread has to itself.
template <template <class> class Work, class S, class Each>
void for_each_unit(const Array3& values, const std::int64_t* lengths, const Chosen& chosen,
                   int threads, Each&& each) {
    using T = std::conditional_t<std::is_same_v<S, double>, double, float>;
    const auto rows = static_cast<std::size_t>(values.shape[0] * values.shape[1]);
    threads = with_room(threads, values);
    const Groups groups(values, chosen.many, threads);
    threads = static_cast<int>(std::min<std::int64_t>(threads, groups.count));
    const Array3 from = lengths ? values : one_sequence(values);
    Region region;
#pragma omp parallel num_threads(threads)
    {
        std::unique_ptr<Columns<T>> columns;
        std::unique_ptr<Work<T>> work;
        region([&] {
            columns = std::make_unique<Columns<T>>(rows, groups.width());
            work = std::make_unique<Work<T>>();
        });
#pragma omp for schedule(dynamic)
        for (std::int64_t group = 0; group < groups.count; ++group) {
            const std::int64_t begin = groups.begin(group), end = groups.begin(group + 1);
            std::size_t copied = 0;
            region([&] { copied = columns->template copy<S>(from, lengths, chosen, begin, end); });
            for (std::int64_t i = begin; i < end; ++i) {
                region([&] {
                    T* column = columns->column(static_cast<std::size_t>(i - begin) + 1);
                    each(i, *work, column, columns->spare(), drop_nan(column, copied));
                });
            }
        }
    }
    region.end();
}

// As visit, for floats alone.
template <class F>
void visit_floats(DType dtype, F&& f) {
    visit(dtype, [&](auto kind) {
        if constexpr (!is_symbol<decltype(kind)>) f(kind);
    });
}

// The ranks that are wanted of units of one size.
class Wanted {
  public:
    Wanted(const double* shares, std::size_t many) : shares_(shares), many_(many) {}

    // Rising, each once.
    const Ranks& of(std::size_t size) {
        if (size == size_) return ranks_;
        size_ = size;
        all_.clear();
        const std::size_t last = size - 1;
        for (std::size_t i = 0; i < many_; ++i) {
            const auto place = static_cast<std::size_t>(static_cast<double>(last) * shares_[i]);
            const std::size_t rank = std::min(place, last);
            all_.insert(all_.end(), {rank - (rank > 0), rank, std::min(rank + 1, last)});
        }
        ranks_ = all_;
        std::sort(ranks_.begin(), ranks_.end());
        ranks_.erase(std::unique(ranks_.begin(), ranks_.end()), ranks_.end());
        values_.resize(ranks_.size());
        return ranks_;
    }
    double* values() { return values_.data(); }

    // Once values() holds what has these ranks: (3, K).
    void spread(double* found) const {
        for (std::size_t i = 0; i < all_.size(); ++i) {
            const auto at = std::lower_bound(ranks_.begin(), ranks_.end(), all_[i]);
            found[i % 3 * many_ + i / 3] = values_[static_cast<std::size_t>(at - ranks_.begin())];
        }
    }

  private:
    const double* shares_;
    std::size_t many_, size_ = 0;
    Ranks all_, ranks_;
    std::vector<double> values_;
};

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

}  // namespace

void find_ranks(const Array3& values, const std::int64_t* lengths, const double* shares,
                std::size_t many, double* found, std::int64_t* sizes, int threads) {
    std::vector<Wanted> wanted(static_cast<std::size_t>(threads), Wanted(shares, many));
    const auto find = [&](std::int64_t u, auto& select, auto* column, auto* spare,
                          std::size_t size) {
        double* const out = found + static_cast<std::size_t>(u) * 3 * many;
        sizes[u] = static_cast<std::int64_t>(size);
        if (!size) return std::fill_n(out, 3 * many, missing), void();
        Wanted& own = wanted[static_cast<std::size_t>(omp_get_thread_num())];
        const Ranks& ranks = own.of(size);
        select(column, spare, size, ranks, own.values());
        own.spread(out);
    };
    visit_floats(values.dtype, [&](auto kind) {
        for_each_unit<Selector, decltype(kind)>(values, lengths, {nullptr, values.shape[2]},
                                                threads, find);
    });
}

void sort_units(const Array3& values, const std::int64_t* lengths, const std::int64_t* units,
                std::int64_t many, double* ordered, int threads) {
    const auto rows = static_cast<std::size_t>(values.shape[0] * values.shape[1]);
    const auto sort = [&](std::int64_t i, auto& order, auto* column, auto* spare,
                          std::size_t size) {
        double* const out = ordered + static_cast<std::size_t>(i) * rows;
        if (size) order(column, spare, size, out);
        std::fill(out + size, out + rows, missing);
    };
    visit_floats(values.dtype, [&](auto kind) {
        for_each_unit<Sorter, decltype(kind)>(values, lengths, {units, many}, threads, sort);
    });
}

}  // namespace tefast
