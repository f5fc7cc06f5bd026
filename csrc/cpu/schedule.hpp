// In which order transitions are counted.
//
// The source is the same for every unit. Transitions of a chunk of rows are grouped by its state,
// so that what is counted at a time is a small table of (past, next) that stays in the cache, and
// the source costs nothing in the hot loop.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tefast {

class Schedule {
  public:
    // lengths: (N,) or null. ahead: 1 for transitions, 0 for values, which do not need a next row.
    // Chunks of `chunk` rows, of which no more than `most` rows from `first` on. Room for it alone;
    // no transition is there before `order`.
    Schedule(const std::int64_t* lengths, std::int64_t sequences, std::int64_t steps,
             std::int64_t ahead, std::int64_t states, std::int64_t first, std::int64_t most,
             std::int64_t chunk);

    // source: (N, T) states, below 0 where missing. In place of the source before, if there was
    // one.
    void order(const std::int16_t* source, int threads);

    std::int64_t chunks() const { return chunks_; }
    std::int64_t states() const { return states_; }
    std::int64_t begin(std::int64_t c) const { return first_ + c * chunk_; }
    std::int64_t end(std::int64_t c) const { return std::min(begin(c) + chunk_, last_); }

    // Rows r, counted from begin(c), with a transition from r to r + 1 while the source was in s.
    const std::uint32_t* rows(std::int64_t c, std::int64_t s) const {
        return rows_.data() + c * chunk_ + starts_[at(c, s)];
    }
    std::int64_t count(std::int64_t c, std::int64_t s) const {
        return starts_[at(c, s + 1)] - starts_[at(c, s)];
    }
    // Of states 0 .. s - 1 in chunk c.
    std::int64_t count_before(std::int64_t c, std::int64_t s) const { return starts_[at(c, s)]; }

  private:
    std::size_t at(std::int64_t c, std::int64_t s) const {
        return static_cast<std::size_t>(c * (states_ + 1) + s);
    }
    template <class Each>
    void for_each_transition(const std::int16_t* source, std::int64_t c, Each&& each) const;

    const std::int64_t* lengths_;
    std::int64_t steps_, ahead_, states_, first_, last_, chunk_, chunks_;
    std::vector<std::uint32_t> rows_;
    std::vector<std::int64_t> starts_;  // (chunks, states + 1)
    std::vector<std::int64_t> filled_;  // (chunks, states)
};

}  // namespace tefast
