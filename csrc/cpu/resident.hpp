// The codes of all rows of some units, kept while they are counted with one source or many.
//
// What is counted at a time is one table of one group, source and state, which is measured and
// forgotten: nothing but codes and results takes room.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/measure.hpp"
#include "cpu/schedule.hpp"
#include "cpu/transitions.hpp"

namespace tefast {

class OneTable;

class Resident {
  public:
    // Quantises all rows of `work`, which must outlive this, for about so many sources.
    Resident(const Transitions& work, std::int64_t sources, int threads);
    ~Resident();

    bool clean() const { return block_.clean(); }

    // The transfer entropy of each unit by each of the first `count` sources, whose schedules have
    // all rows in one chunk: that of unit u by source i goes to nats[i * stride + u]. alike[i]:
    // whether it has a state at the same transitions as the first source of the first call.
    void score(const std::vector<Schedule>& schedules, const std::vector<char>& alike,
               std::int64_t count, double* nats, std::int64_t stride);

  private:
    // What groups of one number of bins are measured with, by thread.
    struct Tools {
        std::vector<Measure> measures;
        std::vector<std::unique_ptr<OneTable>> tables;
    };

    void prepare(const Transitions& work, std::int64_t sources);
    const Measure& measure_group(std::int64_t g, const Schedule& schedule, const Margins* known,
                                 double* nats);
    Margins* margins(std::int64_t g) { return margins_.data() + g * block_.width(); }

    int threads_;
    std::int64_t inner_;   // states of the source beside each condition's, or 0
    bool shares_margins_;  // sources do, since they have no conditions of their own
    Block block_;
    std::unique_ptr<Chunk> chunk_;
    std::vector<Group> groups_;
    std::vector<std::int64_t> places_;  // of units in the order of groups, in `work`
    std::map<int, Tools> tools_;        // by bins
    std::vector<Margins> margins_;      // (groups, width) of the first source, where there are more
};

}  // namespace tefast
