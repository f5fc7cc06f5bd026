// Vectors of an instruction set, under names that the kernels share. Included by
// kernels_body.hpp, inside the level's own unnamed namespace.
//
// V holds `width` values of F, I as many 32-bit integers. Table is a row of up to `table` values
// in registers; where `table` is 0 there is none.

#if defined(__AVX512F__)

struct SingleVector {
    using F = float;
    using V = __m512;
    using I = __m512i;
    static constexpr int width = 16, table = 16;
    using Table = __m512;

    static V load(const char* at, float) { return _mm512_loadu_ps(at); }
    static V load(const char* at, Half) { return _mm512_cvtph_ps(bits16(at)); }
    static V load(const char* at, BFloat16) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits16(at)), 16));
    }
    static V load(const float* at) { return _mm512_loadu_ps(at); }
    static void store(float* at, V v) { _mm512_storeu_ps(at, v); }
    static V all(float value) { return _mm512_set1_ps(value); }
    static V add(V a, V b) { return _mm512_add_ps(a, b); }
    static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
    static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
    static V min(V a, V b) { return _mm512_min_ps(a, b); }  // b where a is NaN
    static V max(V a, V b) { return _mm512_max_ps(a, b); }
    static I none() { return _mm512_setzero_si512(); }
    static I whole(V v) { return _mm512_cvttps_epi32(v); }
    static bool differ(I a, I b) { return _mm512_cmpneq_epi32_mask(a, b) != 0; }
    static I step(I code, V v, V threshold) {  // one more where v reaches it
        const __mmask16 reached = _mm512_cmp_ps_mask(v, threshold, _CMP_GE_OQ);
        return _mm512_mask_add_epi32(code, reached, code, _mm512_set1_epi32(1));
    }
    static Table fill(const float* row) { return _mm512_loadu_ps(row); }
    static V look_up(Table row, I code) { return _mm512_permutexvar_ps(code, row); }
    static V gather(const float* row, int stride, I code) {
        const I lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const I at = _mm512_add_epi32(code, _mm512_mullo_epi32(lane, _mm512_set1_epi32(stride)));
        return _mm512_i32gather_ps(at, row, 4);
    }
    static void put(I code, std::uint8_t* out) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(code));
    }
    static unsigned numbers(V v) { return _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q); }
    static V taint(V so_far, V v) { return _mm512_fmadd_ps(v, _mm512_setzero_ps(), so_far); }

  private:
    static __m256i bits16(const char* at) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    }
};

struct DoubleVector {
    using F = double;
    using V = __m512d;
    using I = __m256i;
    static constexpr int width = 8, table = 16;
    struct Table {
        V low, high;
    };

    static V load(const char* at, double) { return _mm512_loadu_pd(at); }
    static V load(const double* at) { return _mm512_loadu_pd(at); }
    static void store(double* at, V v) { _mm512_storeu_pd(at, v); }
    static V all(double value) { return _mm512_set1_pd(value); }
    static V add(V a, V b) { return _mm512_add_pd(a, b); }
    static V sub(V a, V b) { return _mm512_sub_pd(a, b); }
    static V mul(V a, V b) { return _mm512_mul_pd(a, b); }
    static V min(V a, V b) { return _mm512_min_pd(a, b); }
    static V max(V a, V b) { return _mm512_max_pd(a, b); }
    static I none() { return _mm256_setzero_si256(); }
    static I whole(V v) { return _mm512_cvttpd_epi32(v); }
    static bool differ(I a, I b) { return _mm256_cmpneq_epi32_mask(a, b) != 0; }
    static I step(I code, V v, V threshold) {
        const __mmask8 reached = _mm512_cmp_pd_mask(v, threshold, _CMP_GE_OQ);
        return _mm256_mask_add_epi32(code, reached, code, _mm256_set1_epi32(1));
    }
    static Table fill(const double* row) {
        return {_mm512_loadu_pd(row), _mm512_loadu_pd(row + 8)};
    }
    static V look_up(const Table& row, I code) {
        return _mm512_permutex2var_pd(row.low, _mm512_cvtepi32_epi64(code), row.high);
    }
    static V gather(const double* row, int stride, I code) {
        const I lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const I at = _mm256_add_epi32(code, _mm256_mullo_epi32(lane, _mm256_set1_epi32(stride)));
        return _mm512_i32gather_pd(at, row, 8);
    }
    static void put(I code, std::uint8_t* out) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm256_cvtepi32_epi8(code));
    }
    static unsigned numbers(V v) { return _mm512_cmp_pd_mask(v, v, _CMP_ORD_Q); }
    static V taint(V so_far, V v) { return _mm512_fmadd_pd(v, _mm512_setzero_pd(), so_far); }
};

#elif defined(__AVX2__)

struct SingleVector {
    using F = float;
    using V = __m256;
    using I = __m256i;
    static constexpr int width = 8, table = 16;
    struct Table {
        V low, high;
    };

    static V load(const char* at, float) {
        return _mm256_loadu_ps(reinterpret_cast<const float*>(at));
    }
    static V load(const char* at, Half) { return _mm256_cvtph_ps(bits16(at)); }
    static V load(const char* at, BFloat16) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits16(at)), 16));
    }
    static V load(const float* at) { return _mm256_loadu_ps(at); }
    static void store(float* at, V v) { _mm256_storeu_ps(at, v); }
    static V all(float value) { return _mm256_set1_ps(value); }
    static V add(V a, V b) { return _mm256_add_ps(a, b); }
    static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
    static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
    static V min(V a, V b) { return _mm256_min_ps(a, b); }  // b where a is NaN
    static V max(V a, V b) { return _mm256_max_ps(a, b); }
    static I none() { return _mm256_setzero_si256(); }
    static I whole(V v) { return _mm256_cvttps_epi32(v); }
    static bool differ(I a, I b) { return _mm256_movemask_epi8(_mm256_cmpeq_epi32(a, b)) != -1; }
    static I step(I code, V v, V threshold) {  // one more where v reaches it
        const V reached = _mm256_cmp_ps(v, threshold, _CMP_GE_OQ);
        return _mm256_sub_epi32(code, _mm256_castps_si256(reached));
    }
    static Table fill(const float* row) { return {load(row), load(row + 8)}; }
    static V look_up(const Table& row, I code) {
        const I upper = _mm256_cmpgt_epi32(code, _mm256_set1_epi32(7));
        return _mm256_blendv_ps(_mm256_permutevar8x32_ps(row.low, code),
                                _mm256_permutevar8x32_ps(row.high, code),
                                _mm256_castsi256_ps(upper));
    }
    static V gather(const float* row, int stride, I code) {
        const I lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const I at = _mm256_add_epi32(code, _mm256_mullo_epi32(lane, _mm256_set1_epi32(stride)));
        return _mm256_i32gather_ps(row, at, 4);
    }
    static void put(I code, std::uint8_t* out) {
        const __m128i low = _mm256_castsi256_si128(code), high = _mm256_extracti128_si256(code, 1);
        const __m128i words = _mm_packus_epi32(low, high);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(words, words));
    }
    static unsigned numbers(V v) {
        return static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_ORD_Q)));
    }
    static V taint(V so_far, V v) { return _mm256_fmadd_ps(v, _mm256_setzero_ps(), so_far); }

  private:
    static __m128i bits16(const char* at) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    }
};

struct DoubleVector {
    using F = double;
    using V = __m256d;
    using I = __m128i;
    static constexpr int width = 4, table = 0;
    struct Table {};

    static V load(const char* at, double) {
        return _mm256_loadu_pd(reinterpret_cast<const double*>(at));
    }
    static V load(const double* at) { return _mm256_loadu_pd(at); }
    static void store(double* at, V v) { _mm256_storeu_pd(at, v); }
    static V all(double value) { return _mm256_set1_pd(value); }
    static V add(V a, V b) { return _mm256_add_pd(a, b); }
    static V sub(V a, V b) { return _mm256_sub_pd(a, b); }
    static V mul(V a, V b) { return _mm256_mul_pd(a, b); }
    static V min(V a, V b) { return _mm256_min_pd(a, b); }
    static V max(V a, V b) { return _mm256_max_pd(a, b); }
    static I none() { return _mm_setzero_si128(); }
    static I whole(V v) { return _mm256_cvttpd_epi32(v); }
    static bool differ(I a, I b) { return _mm_movemask_epi8(_mm_cmpeq_epi32(a, b)) != 0xffff; }
    static I step(I code, V v, V threshold) {
        const __m256i reached = _mm256_castpd_si256(_mm256_cmp_pd(v, threshold, _CMP_GE_OQ));
        const __m256i halves = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
        const __m256i packed = _mm256_permutevar8x32_epi32(reached, halves);
        return _mm_sub_epi32(code, _mm256_castsi256_si128(packed));
    }
    static Table fill(const double*) { return {}; }
    static V look_up(const Table&, I) { return _mm256_setzero_pd(); }
    static V gather(const double* row, int stride, I code) {
        const I lane = _mm_setr_epi32(0, 1, 2, 3);
        const I at = _mm_add_epi32(code, _mm_mullo_epi32(lane, _mm_set1_epi32(stride)));
        return _mm256_i32gather_pd(row, at, 8);
    }
    static void put(I code, std::uint8_t* out) {
        const __m128i words = _mm_packus_epi32(code, code);
        const int bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
        __builtin_memcpy(out, &bytes, sizeof bytes);
    }
    static unsigned numbers(V v) {
        return static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(v, v, _CMP_ORD_Q)));
    }
    static V taint(V so_far, V v) { return _mm256_fmadd_pd(v, _mm256_setzero_pd(), so_far); }
};

#elif defined(TEFAST_NEON)
#include "cpu/neon_vectors.hpp"
#else

// One value at a time; the compiler makes of it what it can.
template <class Float>
struct ScalarVector {
    using F = Float;
    using V = Float;
    using I = int;
    static constexpr int width = 1, table = 0;
    struct Table {};

    template <class T>
    static V load(const char* at, T) {
        return static_cast<F>(to_double(tefast::load<T>(at)));
    }
    static V load(const char* at, F) { return tefast::load<F>(at); }
    static V load(const F* at) { return *at; }
    static void store(F* at, V v) { *at = v; }
    static V all(F value) { return value; }
    static V add(V a, V b) { return a + b; }
    static V sub(V a, V b) { return a - b; }
    static V mul(V a, V b) { return a * b; }
    static V min(V a, V b) { return a < b ? a : b; }
    static V max(V a, V b) { return a > b ? a : b; }
    static I none() { return 0; }
    static I whole(V v) { return static_cast<int>(v); }
    static bool differ(I, I) { return true; }  // looking at the threshold is as fast as asking
    static I step(I code, V v, V threshold) { return code + (v >= threshold); }
    static Table fill(const F*) { return {}; }
    static V look_up(const Table&, I) { return 0; }
    static V gather(const F* row, int, I code) { return row[code]; }
    static void put(I code, std::uint8_t* out) { *out = static_cast<std::uint8_t>(code); }
    static unsigned numbers(V v) { return v == v; }
    static V taint(V so_far, V v) { return so_far + v * F(0); }
};

using SingleVector = ScalarVector<float>;
using DoubleVector = ScalarVector<double>;

#endif
