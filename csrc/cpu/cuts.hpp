// Cuts: how values become codes, laid out for the kernels.
//
// A code is the number of inner edges at or below the value. For a value of type float that is the
// number of thresholds at or below it, a threshold being the smallest float that is not below its
// edge: so nothing is lost by comparing in the value's own precision.
#pragma once

#include <cstdint>
#include <vector>

#include "edges.hpp"
#include "element.hpp"

namespace tefast {

// Units that a kernel works on side by side: one cache line of float32.
constexpr std::int64_t lanes = 16;

constexpr std::int64_t strips_of(std::int64_t units) { return (units + lanes - 1) / lanes; }

enum class Method : std::uint8_t {
    guess,    // code or code - 1 from (value - low) * scale, then one threshold decides
    compare,  // with every threshold: for edges that are not evenly spaced
    search,   // for so many of them that a binary search is faster
};

// Equal-width bins are guessed. That a guess is never off by more than what the threshold mends is
// not argued but checked when the cuts are made, at the thresholds themselves: the guess rises
// with the value, so it holds in between. Where it does not hold, the edges are compared.
template <class F>
struct CutsView {
    int bins;
    bool shared;           // one row of edges for all units: arrays below have one row
    F near;                // a guess this close below a whole number is looked at again
    const Method* method;  // (strips,) or (1,)
    const F* low;          // (U16,) or (1,); U16 is U rounded up to whole strips
    const F* scale;        // (U16,) or (1,)
    const F* rows;         // (U16, bins) or (1, bins): thresholds, the last of each row NaN
    const F* columns;      // (bins - 1, U16) or (bins - 1, 1): the same by edge, for `compare`
};

template <class F>
class Cuts {
  public:
    Cuts(const Edges& edges, std::int64_t units);

    CutsView<F> view() const;
    bool all_guessed() const;

  private:
    int bins_;
    bool shared_;
    std::vector<Method> method_;
    std::vector<F> low_, scale_, rows_, columns_;
};

extern template class Cuts<float>;
extern template class Cuts<double>;

// The cuts of any dtype: halves are cut as float, symbols not at all.
struct AnyCuts {
    int bins;
    CutsView<float> floats;
    CutsView<double> doubles;
};

// Only those that values of `dtype` are cut by. A unit that is alone shares its edges with nobody.
class CutsFor {
  public:
    CutsFor(const Edges& edges, DType dtype, std::int64_t units);

    AnyCuts view() const { return {bins_, single_.view(), twice_.view()}; }

    // Whether all codes are guessed.
    bool all_guessed() const;

  private:
    int bins_;
    Cuts<float> single_;
    Cuts<double> twice_;
};

}  // namespace tefast
