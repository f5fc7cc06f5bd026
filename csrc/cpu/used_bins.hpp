// Units in the order of the bins that they use, and tables no larger than a strip needs.
//
// Symbols of one data set may differ in number from unit to unit, as counts of genes do. A strip's
// table has to have room for the unit of most symbols in it, and is looked through as a whole; so
// units with equally many go together. Bins that nobody uses change no count, and no result.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/block.hpp"

namespace tefast {

// Strips of codes, what each of them needs, and where its units come from.
struct UsedBins {
    std::unique_ptr<Chunk> chunk;      // in the order of `groups`
    std::vector<Group> groups;         // a strip each
    std::vector<std::int64_t> places;  // of all lanes: which unit of `work` it is

    // chunk: the codes of all rows of work, by whole strips.
    UsedBins(const Transitions& work, std::unique_ptr<Chunk> codes, const Block& block,
             int threads);

  private:
    std::vector<std::uint8_t> largest_of(const Transitions& work, int threads) const;
    void reorder(const Transitions& work, const std::vector<std::int64_t>& order, int threads);
    void fit(const Transitions& work, const std::vector<std::uint8_t>& largest);
};

}  // namespace tefast
