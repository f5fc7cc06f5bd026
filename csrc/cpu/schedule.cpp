#include "cpu/schedule.hpp"

namespace tefast {

template <class Each>
void Schedule::for_each_transition(const std::int16_t* source, std::int64_t c, Each&& each) const {
    for (std::int64_t n = begin(c) / steps_; n * steps_ < end(c); ++n) {
        const std::int64_t length = lengths_ ? lengths_[n] : steps_;
        const std::int64_t from = std::max(begin(c), n * steps_);
        const std::int64_t to = std::min(end(c), n * steps_ + length - ahead_);
        for (std::int64_t row = from; row < to; ++row) {
            if (source[row] >= 0) each(row - begin(c), source[row]);
        }
    }
}

Schedule::Schedule(const std::int64_t* lengths, std::int64_t sequences, std::int64_t steps,
                   std::int64_t ahead, std::int64_t states, std::int64_t first, std::int64_t most,
                   std::int64_t chunk)
    : lengths_(lengths),
      steps_(steps),
      ahead_(ahead),
      states_(states),
      first_(first),
      last_(std::min(first + most, sequences * steps)),
      chunk_(chunk),
      chunks_((last_ - first + chunk - 1) / chunk),
      rows_(static_cast<std::size_t>(last_ - first)),
      starts_(static_cast<std::size_t>(chunks_ * (states + 1))),
      filled_(static_cast<std::size_t>(chunks_ * states)) {}

void Schedule::order(const std::int16_t* source, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t c = 0; c < chunks_; ++c) {
        std::int64_t* start = starts_.data() + c * (states_ + 1);
        std::int64_t* next = filled_.data() + c * states_;
        std::fill(start, start + states_ + 1, std::int64_t{0});
        for_each_transition(source, c,
                            [&](std::int64_t, std::int16_t state) { ++start[state + 1]; });
        for (std::int64_t s = 0; s < states_; ++s) {
            start[s + 1] += start[s];
            next[s] = start[s];
        }
        std::uint32_t* rows = rows_.data() + c * chunk_;
        for_each_transition(source, c, [&](std::int64_t row, std::int16_t state) {
            rows[next[state]++] = static_cast<std::uint32_t>(row);
        });
    }
}

}  // namespace tefast
