// The vectors of AArch64, whose baseline has NEON. Included by vectors.hpp.

struct SingleVector {
    using F = float;
    using V = float32x4_t;
    using I = int32x4_t;
    static constexpr int width = 4, table = 16;
    using Table = uint8x16x4_t;

    static V load(const char* at, float) { return vreinterpretq_f32_u8(bytes(at)); }
    static V load(const char* at, Half) {
        return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(at))));
    }
    static V load(const char* at, BFloat16) {
        const uint8x8_t two_each = vld1_u8(reinterpret_cast<const uint8_t*>(at));
        return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(two_each), 16));
    }
    static V load(const float* at) { return vld1q_f32(at); }
    static void store(float* at, V v) { vst1q_f32(at, v); }
    static V all(float value) { return vdupq_n_f32(value); }
    static V add(V a, V b) { return vaddq_f32(a, b); }
    static V sub(V a, V b) { return vsubq_f32(a, b); }
    static V mul(V a, V b) { return vmulq_f32(a, b); }
    static V min(V a, V b) { return vbslq_f32(vcltq_f32(a, b), a, b); }  // b where a is NaN
    static V max(V a, V b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
    static I none() { return vdupq_n_s32(0); }
    static I whole(V v) { return vcvtq_s32_f32(v); }
    static bool differ(I a, I b) { return vmaxvq_u32(vreinterpretq_u32_s32(veorq_s32(a, b))) != 0; }
    static I step(I code, V v, V threshold) {  // one more where v reaches it
        return vsubq_s32(code, vreinterpretq_s32_u32(vcgeq_f32(v, threshold)));
    }
    static Table fill(const float* row) {
        const char* at = reinterpret_cast<const char*>(row);
        return {{bytes(at), bytes(at + 16), bytes(at + 32), bytes(at + 48)}};
    }
    // By the numbers of the four bytes of each value.
    static V look_up(const Table& row, I code) {
        const uint32x4_t at =
            vmlaq_n_u32(vdupq_n_u32(0x03020100U), vreinterpretq_u32_s32(code), 0x04040404U);
        return vreinterpretq_f32_u8(vqtbl4q_u8(row, vreinterpretq_u8_u32(at)));
    }
    static V gather(const float* row, int stride, I code) {
        V found = vdupq_n_f32(row[vgetq_lane_s32(code, 0)]);
        found = vsetq_lane_f32(row[stride + vgetq_lane_s32(code, 1)], found, 1);
        found = vsetq_lane_f32(row[2 * stride + vgetq_lane_s32(code, 2)], found, 2);
        return vsetq_lane_f32(row[3 * stride + vgetq_lane_s32(code, 3)], found, 3);
    }
    static void put(I code, std::uint8_t* out) {
        const uint16x4_t words = vmovn_u32(vreinterpretq_u32_s32(code));
        const uint8x8_t narrow = vmovn_u16(vcombine_u16(words, words));
        const uint32_t four = vget_lane_u32(vreinterpret_u32_u8(narrow), 0);
        __builtin_memcpy(out, &four, sizeof four);
    }
    static unsigned numbers(V v) {
        constexpr uint32_t bits[4] = {1, 2, 4, 8};
        return vaddvq_u32(vandq_u32(vceqq_f32(v, v), vld1q_u32(bits)));
    }
    static V taint(V so_far, V v) { return vfmaq_f32(so_far, v, vdupq_n_f32(0)); }

  private:
    static uint8x16_t bytes(const char* at) {
        return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
    }
};

struct DoubleVector {
    using F = double;
    using V = float64x2_t;
    using I = int32x2_t;
    static constexpr int width = 2, table = 0;
    struct Table {};

    static V load(const char* at, double) {
        return vreinterpretq_f64_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(at)));
    }
    static V load(const double* at) { return vld1q_f64(at); }
    static void store(double* at, V v) { vst1q_f64(at, v); }
    static V all(double value) { return vdupq_n_f64(value); }
    static V add(V a, V b) { return vaddq_f64(a, b); }
    static V sub(V a, V b) { return vsubq_f64(a, b); }
    static V mul(V a, V b) { return vmulq_f64(a, b); }
    static V min(V a, V b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
    static V max(V a, V b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
    static I none() { return vdup_n_s32(0); }
    static I whole(V v) { return vmovn_s64(vcvtq_s64_f64(v)); }
    static bool differ(I a, I b) {
        return vget_lane_u64(vreinterpret_u64_s32(veor_s32(a, b)), 0) != 0;
    }
    static I step(I code, V v, V threshold) {
        return vsub_s32(code, vreinterpret_s32_u32(vmovn_u64(vcgeq_f64(v, threshold))));
    }
    static Table fill(const double*) { return {}; }
    static V look_up(const Table&, I) { return vdupq_n_f64(0); }
    static V gather(const double* row, int stride, I code) {
        const V found = vdupq_n_f64(row[vget_lane_s32(code, 0)]);
        return vsetq_lane_f64(row[stride + vget_lane_s32(code, 1)], found, 1);
    }
    static void put(I code, std::uint8_t* out) {
        out[0] = static_cast<uint8_t>(vget_lane_s32(code, 0));
        out[1] = static_cast<uint8_t>(vget_lane_s32(code, 1));
    }
    static unsigned numbers(V v) {
        const uint64x2_t same = vceqq_f64(v, v);
        return static_cast<unsigned>((vgetq_lane_u64(same, 0) & 1) | (vgetq_lane_u64(same, 1) & 2));
    }
    static V taint(V so_far, V v) { return vfmaq_f64(so_far, v, vdupq_n_f64(0)); }
};
