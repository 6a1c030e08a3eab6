// Every row of the quantize table against the sentences of docs/program.md.
#include "kernels/quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

/// A step of a code: clamp(rint(x / scale), min, max), NaN gives min.
std::int32_t code_of(float x, float scale, std::int32_t min, std::int32_t max) {
  volatile float q = x / scale;
  if (std::isnan(q)) return min;
  const float r = std::nearbyint(q);
  return r <= static_cast<float>(min) ? min : r >= static_cast<float>(max) ? max : static_cast<std::int32_t>(r);
}

/// Every kind of float, and those whose quotients lie on the middle of two codes or a bit beside it.
float any_float(Random& random, float scale) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  switch (random.below(8)) {
    case 0:
      return std::ldexp(random.uniform(-1.0F, 1.0F), static_cast<int>(random.below(260)) - 140);
    case 1: {
      const float special[] = {
          0.0F, -0.0F, inf, -inf, NAN, std::numeric_limits<float>::max(), std::numeric_limits<float>::denorm_min()};
      return special[random.below(7)];
    }
    case 2:
      return random.uniform(-300.0F, 300.0F) * scale;
    default: {
      float x = (static_cast<float>(random.below(600)) - 300.0F + 0.5F) * scale;
      for (std::uint64_t bits = random.below(4); bits > 0; --bits)
        x = std::nextafter(x, random.below(2) == 0 ? inf : -inf);
      return x;
    }
  }
}

TEST(Quantize, RoundsAsADivisionDoes) {
  for (const QuantizeKernels& kernels : rows_of(quantize_table)) {
    Random random(1);
    for (int round = 0; round < 4000; ++round) {
      const float tiny[] = {1e-38F, 1e-40F, 1e38F, -0.25F, 0.0F};
      const float scale = round % 40 == 0
                              ? tiny[round / 40 % 5]
                              : std::ldexp(random.uniform(0.5F, 1.0F), static_cast<int>(random.below(20)) - 12);
      const std::int32_t ranges[][2] = {{0, 255}, {-128, 127}, {0, 3}, {-255, 0}, {-8, 7}};
      const auto& [min, max] = ranges[random.below(5)];
      const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(150));
      Guarded<float> x(static_cast<std::size_t>(count));
      Guarded<std::uint8_t> to(static_cast<std::size_t>(count));
      for (std::int64_t i = 0; i < count; ++i) x[i] = any_float(random, scale);
      kernels.round({x.data(), to.data(), count, scale, min, max, min});
      for (std::int64_t i = 0; i < count; ++i)
        ASSERT_EQ(to[i] + min, code_of(x[i], scale, min, max))
            << kernels.name << ": " << x[i] << " / " << scale << " at " << i << " of " << count;
    }
  }
}

TEST(Quantize, WeavesPlanes) {
  for (const QuantizeKernels& kernels : rows_of(quantize_table)) {
    Random random(3);
    for (const std::int64_t planes : {1, 2, 3, 4}) {
      for (const std::int64_t count : {1, 7, 8, 9, 64, 65, 150}) {
        const std::int64_t stride = planes + count % 3, plane = count + 5;
        Guarded<float> x(static_cast<std::size_t>((planes - 1) * plane + count));
        Guarded<std::uint8_t> to(static_cast<std::size_t>((count - 1) * stride + 4));
        for (std::int64_t i = 0; i < x.size(); ++i) x[i] = any_float(random, 0.25F);
        kernels.weave({{x.data(), to.data(), count, 0.25F, -8, 200, -8}, plane, planes, stride});
        for (std::int64_t i = 0; i < count; ++i) {
          for (std::int64_t k = 0; k < planes; ++k)
            ASSERT_EQ(to[i * stride + k] - 8, code_of(x[k * plane + i], 0.25F, -8, 200))
                << kernels.name << " plane " << k << " of " << planes << " at " << i << " of " << count;
        }
      }
    }
  }
}

TEST(Quantize, SignsToBits) {
  for (const QuantizeKernels& kernels : rows_of(quantize_table)) {
    Random random(2);
    for (const std::int64_t channels : {1, 7, 31, 32, 33, 64, 100, 7, 31, 33, 100}) {
      const bool relu = random.below(2) == 0;
      const std::int64_t count = 5, words = (channels + 31) / 32;
      Guarded<float> x(static_cast<std::size_t>(count * channels));
      Guarded<std::uint32_t> to(static_cast<std::size_t>(count * words));
      for (std::int64_t i = 0; i < x.size(); ++i) x[i] = any_float(random, 1);
      for (std::int64_t i = 0; i < to.size(); ++i) to[i] = ~0U;
      std::vector<float> before(x.data(), x.data() + x.size());
      kernels.signs({x.data(), to.data(), count, channels, relu});
      for (std::int64_t i = 0; i < count * words * 32; ++i) {
        const std::int64_t p = i / (words * 32), c = i % (words * 32);
        ASSERT_EQ(to[i / 32] >> (i % 32) & 1U,
                  c < channels && before[static_cast<std::size_t>(p * channels + c)] >= 0 ? 1U : 0U)
            << kernels.name << " channels " << channels << " at " << p << ", " << c;
      }
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const float v = before[static_cast<std::size_t>(i)], expected = relu && v < 0 ? 0.0F : v;
        ASSERT_EQ(std::memcmp(&x[i], &expected, 4), 0) << kernels.name << " " << v << " became " << x[i];
      }
    }
  }
}

}  // namespace
}  // namespace nnq::test
