// The codes of all rows of some units, kept while they are counted with one source or many.
//
// What is counted at a time is one table of one group, source and state, which is measured and
// forgotten: nothing but codes and results takes room.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/meters.hpp"
#include "cpu/schedule.hpp"
#include "cpu/transitions.hpp"

namespace tefast {

class OneTable;

class Resident {
  public:
    // Quantises all rows of `work`, which must outlive this.
    Resident(const Transitions& work, int threads);
    ~Resident();

    bool clean() const { return block_.clean(); }

    // The transfer entropy of each unit by each of the first `count` schedules, which have all
    // rows in one chunk: that of unit u by schedule i goes to nats[i * stride + u].
    void score(const std::vector<Schedule>& schedules, std::int64_t count, double* nats,
               std::int64_t stride);

  private:
    int threads_;
    Block block_;
    Chunk chunk_;
    Meters meters_;
    std::vector<std::unique_ptr<OneTable>> tables_;  // one for each thread
};

}  // namespace tefast
