#include "cpu/codes.hpp"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/region.hpp"
#include "cpu/rows.hpp"

namespace tefast {
namespace {

// The values of one unit follow each other in time: taking time for units lets the kernels work on
// many at once.
constexpr std::int64_t piece = 4096;

bool is_series(const Array3& values) {
    return values.shape[2] == 1 && values.stride[1] == size_of(values.dtype);
}

// Writes a row's codes as 16-bit numbers, with what is missing.
class RowEncoder {
  public:
    RowEncoder(const Array3& values, const AnyCuts& cuts, std::int64_t width)
        : kernels_(kernels()),
          dtype_(values.dtype),
          cuts_(cuts),
          codes_(static_cast<std::size_t>(strips_of(width) * lanes)),
          valid_(static_cast<std::size_t>(strips_of(width))) {}

    void encode(const Rows& row, std::int16_t* out) {
        kernels_.quantise(dtype_, row, cuts_, {codes_.data(), lanes, valid_.data(), 1});
        for (std::int64_t u = 0; u < row.units; u += lanes) {
            const unsigned valid = valid_[static_cast<std::size_t>(u / lanes)];
            const std::uint8_t* codes = codes_.data() + u;
            const std::int64_t used = std::min(lanes, row.units - u);
            for (std::int64_t i = 0; i < used; ++i) {
                out[u + i] = (valid >> i) & 1U ? std::int16_t{codes[i]} : missing;
            }
        }
    }

  private:
    const Kernels& kernels_;
    DType dtype_;
    AnyCuts cuts_;
    std::vector<std::uint8_t> codes_;
    std::vector<std::uint16_t> valid_;
};

}  // namespace

void encode(const Array3& values, const Edges& edges, const std::int64_t* lengths,
            std::int16_t* codes, int threads) {
    const std::int64_t sequences = values.shape[0], steps = values.shape[1];
    const std::int64_t units = values.shape[2];
    const bool series = is_series(values);
    const CutsFor cuts(edges, values.dtype, units);
    const RowEncoder encoder(values, cuts.view(), series ? std::min(piece, steps) : units);
    std::vector<RowEncoder> encoders(static_cast<std::size_t>(threads), encoder);
    std::vector<RowScratch> scratch(encoders.size(), RowScratch(values));
    const std::int64_t pieces = (steps + piece - 1) / piece;
    std::fill(codes, codes + sequences * steps * units, missing);
    const auto encode_piece = [&](std::int64_t n, std::int64_t from, std::int64_t to) {
        const auto thread = static_cast<std::size_t>(omp_get_thread_num());
        if (series) {
            const Rows row{values.row(n, from, 0), 1, 0, to - from};
            return encoders[thread].encode(row, codes + n * steps + from);
        }
        for_each_run(values, nullptr, n * steps + from, n * steps + to, scratch[thread].data(),
                     [&](const Rows& run, std::int64_t first) {
                         for (std::int64_t r = 0; r < run.count; ++r) {
                             const Rows row{run.data + r * run.stride, 1, 0, units};
                             encoders[thread].encode(row, codes + (first + r) * units);
                         }
                     });
    };
    Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < sequences * pieces; ++i) {
        const std::int64_t n = i / pieces, from = i % pieces * piece;
        const std::int64_t to = std::min(from + piece, lengths ? lengths[n] : steps);
        if (from < to) region([&] { encode_piece(n, from, to); });
    }
    region.end();
}

namespace {

void count_block(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                 std::int64_t* counts, int threads) {
    const std::int64_t rows = values.shape[0] * values.shape[1], units = values.shape[2];
    const std::int64_t strips = strips_of(units), bins = edges.bins, cells = bins * lanes;
    // Rows whose codes stay in the cache.
    const std::int64_t chunk = std::clamp<std::int64_t>((1 << 18) / (strips * lanes), 1, 128);
    const CutsFor all_cuts(edges, values.dtype, units);
    const AnyCuts cuts = all_cuts.view();
    const Kernels& fast = kernels();
    // Threads have rows of their own, so each needs counts of its own: too few rows for a counter
    // of 32 bits to overflow are counted at a time.
    struct Room {
        RowScratch row;
        std::vector<std::uint8_t> codes;
        std::vector<std::uint16_t> valid;
        std::vector<std::uint32_t> tables;
    };
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    const Room empty{RowScratch(values), std::vector<std::uint8_t>(size(strips * lanes * chunk)),
                     std::vector<std::uint16_t>(size(strips * chunk)),
                     std::vector<std::uint32_t>(size(strips * cells))};
    std::vector<Room> rooms(size(threads), empty);
    constexpr std::int64_t most = std::int64_t{1} << 31;
    for (std::int64_t from = 0; from < rows; from += most) {
        const std::int64_t until = std::min(from + most, rows);
        const std::int64_t chunks = (until - from + chunk - 1) / chunk;
        const auto tally = [&](std::int64_t c) {
            Room& room = rooms[size(omp_get_thread_num())];
            const std::int64_t begin = from + c * chunk, end = std::min(begin + chunk, until);
            for_each_run_once(
                values, lengths, begin, end, room.row.data(), [&](const Rows& run, std::int64_t) {
                    fast.quantise(values.dtype, run, cuts,
                                  {room.codes.data(), lanes * chunk, room.valid.data(), chunk});
                    for (std::int64_t s = 0; s < strips; ++s) {
                        fast.tally(room.codes.data() + s * lanes * chunk,
                                   room.valid.data() + s * chunk, run.count,
                                   room.tables.data() + s * cells);
                    }
                });
        };
        Region region;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (std::int64_t c = 0; c < chunks; ++c) region([&] { tally(c); });
        region.end();
        for (Room& room : rooms) {
            for (std::int64_t u = 0; u < units; ++u) {
                const std::uint32_t* table = room.tables.data() + u / lanes * cells + u % lanes;
                for (std::int64_t b = 0; b < bins; ++b)
                    add_to(counts[u * bins + b], table[b * lanes]);
            }
            std::fill(room.tables.begin(), room.tables.end(), 0U);
        }
    }
}

}  // namespace

void count_values(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t* counts, int threads) {
    // As many units at a time as the threads' tables and codes have room for.
    constexpr std::int64_t room = std::int64_t{32} << 20;
    const std::int64_t units = values.shape[2], each = threads * (4 * edges.bins + 3);
    const std::int64_t most = std::max(room / each / lanes, std::int64_t{1}) * lanes;
    for (std::int64_t u = 0; u < units; u += most) {
        Array3 part = values;
        part.data += u * values.stride[2];
        part.shape[2] = std::min(most, units - u);
        Edges own = edges;
        if (own.inner) own.inner += u * own.unit_stride;
        count_block(part, own, lengths, counts + u * edges.bins, threads);
    }
}

}  // namespace tefast
