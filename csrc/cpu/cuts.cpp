#include "cpu/cuts.hpp"

#include <algorithm>
#include <limits>

namespace tefast {
namespace {

// Up to this many edges a vector of values is compared with all of them faster than searched.
constexpr int most_compared = 32;

}  // namespace

template <class F>
Cuts<F>::Cuts(const Edges& edges, std::int64_t units)
    : bins_(edges.bins), shared_(edges.unit_stride == 0) {
    if (!edges.inner) return;
    const std::int64_t padded = shared_ ? 1 : strips_of(units) * lanes;
    const std::int64_t used = shared_ ? 1 : units;
    const int cuts = bins_ - 1;
    const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    method_.assign(at(shared_ ? 1 : padded / lanes), Method::guess);
    low_.assign(at(padded), F(0));
    scale_.assign(at(padded), F(0));
    rows_.assign(at(padded * bins_), std::numeric_limits<F>::quiet_NaN());
    bool all_guessed = true;
    for (std::int64_t u = 0; u < used; ++u) {
        const double* inner = edges.inner + u * edges.unit_stride;
        F* row = rows_.data() + u * bins_;
        std::transform(inner, inner + cuts, row, threshold_of<F>);
        const auto [low, scale] = line_through(inner, row, bins_);
        low_[at(u)] = low;
        scale_[at(u)] = scale;
        if (!guess_holds(row, low, scale, bins_)) {
            method_[at(u / lanes)] = cuts <= most_compared ? Method::compare : Method::search;
            all_guessed = false;
        }
    }
    if (all_guessed || cuts > most_compared) return;
    columns_.assign(at(padded * cuts), std::numeric_limits<F>::quiet_NaN());
    for (std::int64_t u = 0; u < used; ++u) {
        for (int i = 0; i < cuts; ++i) columns_[at(i * padded + u)] = rows_[at(u * bins_ + i)];
    }
}

template <class F>
CutsView<F> Cuts<F>::view() const {
    return {bins_,       shared_,       2 * margin<F>, method_.data(),
            low_.data(), scale_.data(), rows_.data(),  columns_.data()};
}

template <class F>
bool Cuts<F>::all_guessed() const {
    return std::all_of(method_.begin(), method_.end(),
                       [](Method method) { return method == Method::guess; });
}

namespace {

Edges used_by(Edges edges, std::int64_t units, bool used) {
    if (units == 1) edges.unit_stride = 0;
    if (!used) edges.inner = nullptr;
    return edges;
}

}  // namespace

CutsFor::CutsFor(const Edges& edges, DType dtype, std::int64_t units)
    : bins_(edges.bins),
      single_(used_by(edges, units, dtype != DType::f64), units),
      twice_(used_by(edges, units, dtype == DType::f64), units) {}

bool CutsFor::all_guessed() const { return single_.all_guessed() && twice_.all_guessed(); }

template class Cuts<float>;
template class Cuts<double>;

}  // namespace tefast
