// A measure for each thread, and room for the results of a group of units until they are copied
// out.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/block.hpp"
#include "cpu/measure.hpp"
#include "cpu/transitions.hpp"

namespace tefast {

class ThreadMeasures {
  public:
    ThreadMeasures(const Transitions& work, int width, int threads)
        : measures_(static_cast<std::size_t>(threads),
                    Measure(pasts_of(work), nexts_of(work), width, work.told)),
          found_(static_cast<std::size_t>(threads * lanes)) {}

    Measure& mine() { return measures_[static_cast<std::size_t>(omp_get_thread_num())]; }

    // nats (U,)
    void finish(const Group& group, double* nats) {
        double* found = found_.data() + omp_get_thread_num() * lanes;
        mine().finish(found);
        std::copy(found, found + group.units, nats + group.unit);
    }

  private:
    std::vector<Measure> measures_;
    std::vector<double> found_;
};

}  // namespace tefast
