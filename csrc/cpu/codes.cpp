#include "cpu/codes.hpp"

#include <omp.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/rows.hpp"

namespace tefast {
namespace {

// The values of a single unit lie in a row if time is taken for units that share their edges.
Array3 time_as_units(const Array3& values) {
    Array3 turned = values;
    turned.shape[1] = 1;
    turned.shape[2] = values.shape[1];
    turned.stride[2] = values.stride[1];
    return turned;
}

// Calls each(thread, n, t, codes, width) for every valid row, or, of a single unit, for the valid
// part of every sequence: codes (width,) of int16 with what is missing.
template <class Each>
void for_each_row(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  int threads, Each&& each) {
    const bool turned = values.shape[2] == 1;
    const Array3 rows = turned ? time_as_units(values) : values;
    const Edges shared{edges.inner, turned ? 0 : edges.unit_stride, edges.bins};
    const Cuts<float> single(shared, rows.shape[2]);
    const Cuts<double> twice(shared, rows.shape[2]);
    const AnyCuts cuts{edges.bins, single.view(), twice.view()};
    const std::int64_t width = rows.shape[2];
    const Kernels& fast = kernels();
    const auto strips = static_cast<std::size_t>(strips_of(width));
    struct Room {
        RowScratch row;
        std::vector<std::uint8_t> bytes;
        std::vector<std::uint16_t> valid;
        std::vector<std::int16_t> codes;
    };
    const Room empty{RowScratch(rows), std::vector<std::uint8_t>(strips * lanes),
                     std::vector<std::uint16_t>(strips), std::vector<std::int16_t>(strips * lanes)};
    std::vector<Room> rooms(static_cast<std::size_t>(threads), empty);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t n = 0; n < rows.shape[0]; ++n) {
        const int thread = omp_get_thread_num();
        Room& room = rooms[static_cast<std::size_t>(thread)];
        const std::int64_t length = lengths ? lengths[n] : values.shape[1];
        const std::int64_t from = n * rows.shape[1], to = from + (turned ? 1 : length);
        const std::int64_t used = turned ? length : width;
        for_each_run(rows, nullptr, from, to, room.row.data(), [&](Rows run, std::int64_t first) {
            for (std::int64_t r = 0; r < run.count; ++r) {
                const Rows row{run.data + r * run.stride, 1, 0, width};
                fast.quantise(rows.dtype, row, cuts,
                              {room.bytes.data(), lanes, room.valid.data(), 1});
                for (std::int64_t u = 0; u < used; ++u) {
                    const auto at = static_cast<std::size_t>(u);
                    const bool known = (room.valid[at / lanes] >> (at % lanes)) & 1;
                    room.codes[at] = known ? room.bytes[at] : missing;
                }
                each(thread, n, first + r - from, room.codes.data(), used);
            }
        });
    }
}

}  // namespace

void encode(const Array3& values, const Edges& edges, const std::int64_t* lengths,
            std::int16_t* codes, int threads) {
    const std::int64_t steps = values.shape[1], units = values.shape[2];
    std::fill(codes, codes + values.shape[0] * steps * units, missing);
    for_each_row(
        values, edges, lengths, threads,
        [&](int, std::int64_t n, std::int64_t t, const std::int16_t* row, std::int64_t width) {
            std::copy(row, row + width, codes + (n * steps + t) * units);
        });
}

void count_values(const Array3& values, const Edges& edges, const std::int64_t* lengths,
                  std::int64_t* counts, int threads) {
    const std::int64_t units = values.shape[2], cells = units * edges.bins;
    // Threads have rows of their own, so each needs counts of its own.
    std::vector<std::vector<std::int64_t>> partial(
        static_cast<std::size_t>(threads),
        std::vector<std::int64_t>(static_cast<std::size_t>(cells)));
    for_each_row(
        values, edges, lengths, threads,
        [&](int thread, std::int64_t, std::int64_t, const std::int16_t* row, std::int64_t width) {
            std::int64_t* own = partial[static_cast<std::size_t>(thread)].data();
            for (std::int64_t u = 0; u < width; ++u) {
                const std::int64_t unit = units == 1 ? 0 : u;
                if (row[u] != missing) ++own[unit * edges.bins + row[u]];
            }
        });
    for (const std::vector<std::int64_t>& own : partial) {
        std::transform(own.begin(), own.end(), counts, counts, std::plus<>());
    }
}

}  // namespace tefast
