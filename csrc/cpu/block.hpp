// Some units that are counted together: their codes, their groups, their tables.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/memory.hpp"
#include "cpu/rows.hpp"
#include "cpu/transitions.hpp"

namespace tefast {

// Units whose counters lie side by side in one table.
struct Group {
    std::int64_t unit, strip;  // the first unit, and the strip it is in
    int lane, units;           // its place there, and how many units there are
    int bins;                  // above all their codes
};

// Units in a group, of so many moves each.
int group_width(std::int64_t moves, std::int64_t units);

std::vector<Group> groups_of(std::int64_t units, int width, int bins);

// The codes of a chunk of rows, by strip.
class Chunk {
  public:
    Chunk(std::int64_t rows, std::int64_t strips, bool with_valid)
        // Strips must not lie a power of two apart, where their lines would contend for the same
        // places in the cache.
        : rows_(rows + 36),
          codes_(static_cast<std::size_t>(rows_ * lanes * strips)),
          valid_(with_valid ? static_cast<std::size_t>(rows_ * strips) : 0) {}

    // Where the codes of a row and those after it go.
    Codes from(std::int64_t row) {
        return {codes_.data() + row * lanes, rows_ * lanes,
                valid_.size() ? valid_.data() + row : nullptr, rows_};
    }

    // The same where codes of one unit lie side by side.
    std::uint8_t* alone(std::int64_t row) { return codes_.data() + row; }

    const std::uint8_t* codes(std::int64_t strip) const {
        return codes_.data() + strip * rows_ * lanes;
    }
    // Null if no value is missing, however many may be.
    const std::uint16_t* valid(std::int64_t strip) const {
        return valid_.size() && gaps_.load() ? valid_.data() + strip * rows_ : nullptr;
    }

    // Other rows will come, or some have come.
    void start() { gaps_.store(false); }
    void add_gaps() { gaps_.store(true); }

  private:
    std::int64_t rows_;
    Buffer<std::uint8_t> codes_;
    Buffer<std::uint16_t> valid_;
    std::atomic<bool> gaps_{false};  // whether a value of it may be missing
};

class Block {
  public:
    Block(const Transitions& work, int threads);

    const std::vector<Group>& groups() const { return groups_; }
    std::int64_t size() const { return static_cast<std::int64_t>(groups_.size()); }
    std::int64_t strips() const { return strips_of(work_.target.shape[2]); }
    int width() const { return width_; }           // units in a group, those missing included
    std::int64_t cells() const { return cells_; }  // of a table (past, next, width)
    bool clean() const { return clean_.load(); }   // as `Kernels::quantise` says

    // The rows of [from, to), and the row after, into a chunk that begins with row `from`; by
    // thread p.
    void quantise(std::int64_t from, std::int64_t to, std::int64_t p, Chunk& chunk);

    // Thread p's part of the same.
    void quantise_part(std::int64_t from, std::int64_t to, std::int64_t p, std::int64_t parts,
                       Chunk& chunk);

    // A group's transitions from these rows of a chunk.
    Moves moves(const Chunk& chunk, const Group& group, const std::uint32_t* rows,
                std::int64_t count) const;

  private:
    void quantise_rows(std::int64_t from, std::int64_t begin, std::int64_t end, std::int64_t p,
                       Chunk& chunk);
    bool quantise_alone(const Rows& rows, std::uint8_t* codes) const;

    const Transitions& work_;
    // Of a unit that is alone the codes lie side by side, as its values do: the kernel takes time
    // for units.
    bool alone_;
    const Kernels& kernels_;
    CutsFor all_cuts_;
    AnyCuts cuts_;
    int width_;
    std::int64_t cells_;
    std::vector<Group> groups_;
    std::vector<RowScratch> scratch_;  // one for each thread
    std::atomic<bool> clean_{true};
};

// What a 16-bit counter takes before it has to be emptied.
constexpr std::int64_t most_increments = 65535;

// Tables (groups, states, cells) that live through all chunks, cleared by all threads.
class Tables {
  public:
    Tables(const Block& block, std::int64_t states, int threads);

    std::uint16_t* at(std::int64_t g, std::int64_t s) {
        return counts_.data() + (g * states_ + s) * cells_;
    }
    // The bytes of the table that follows this one, as far as there is one.
    std::int64_t bytes_after(std::int64_t g, std::int64_t s) const {
        const bool last = g + 1 == groups_ && s + 1 == states_;
        return last ? 0 : cells_ * std::int64_t{sizeof(std::uint16_t)};
    }

  private:
    std::int64_t groups_, states_, cells_;
    Buffer<std::uint16_t> counts_;
};

}  // namespace tefast
