// The kernels, compiled once per instruction set by the files in levels/.
//
// Everything here has internal linkage, and nothing of the standard library that is a template is
// used: a copy of an inline function compiled for AVX-512 must never be the one that the linker
// picks for everybody.

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#define TEFAST_NEON
#endif

#include "cpu/kernels.hpp"

#define TEFAST_NAME_OF(level) #level
#define TEFAST_NAME(level) TEFAST_NAME_OF(level)
#define TEFAST_JOIN_(a, b) a##b
#define TEFAST_JOIN(a, b) TEFAST_JOIN_(a, b)

namespace tefast {
namespace {

using std::int64_t;
using std::size_t;
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;
using std::uintptr_t;

#include "cpu/vectors.hpp"

constexpr int strip = static_cast<int>(lanes);

#include "cpu/bits_body.hpp"
#include "cpu/count_body.hpp"
#include "cpu/local_body.hpp"
#include "cpu/quantise_body.hpp"
#include "cpu/terms_body.hpp"

}  // namespace

extern const Kernels TEFAST_JOIN(TEFAST_LEVEL, _kernels);
const Kernels TEFAST_JOIN(TEFAST_LEVEL, _kernels) = {
    TEFAST_NAME(TEFAST_LEVEL),
    quantise,
    extend_range,
    count,
    list_cells,
    tally,
    add_margins,
    add_terms,
    mark_codes,
    multiply_bits,
    add_counts,
    log_ratios,
    find_values,
    write_cells,
};

}  // namespace tefast
