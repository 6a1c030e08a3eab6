// Every row of the epilogue table against the sentences of docs/program.md.
#include "kernels/epilogue/epilogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/random.h"
#include "kernels/guarded.h"

namespace nnq::test {
namespace {

constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min(),
                       highest = std::numeric_limits<std::int32_t>::max();
const auto sz = [](std::int64_t n) { return static_cast<std::size_t>(n); };

struct Case {
  std::int64_t channels;
  std::int32_t levels;
  std::int32_t range;  // sums and thresholds lie in -range .. range
  bool falls, ends;    // some channels fall; some thresholds are never or always passed
  bool uniform;        // thresholds of a channel lie on a line
};

/// Thresholds in order of passing, and sums that meet them exactly.
struct ThresholdSetup {
  ThresholdSetup(const Case& c, std::int64_t count, Random& random)
      : stride(c.channels + count % 4), sums(sz((count - 1) * stride + c.channels)) {
    const auto any = [&] {
      return static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(2 * c.range + 1))) - c.range;
    };
    for (std::int64_t ch = 0; ch < c.channels; ++ch) {
      const bool falls = c.falls && random.below(2) == 0;
      direction.push_back(falls ? std::int8_t{-1} : std::int8_t{1});
      std::vector<std::int32_t> t;
      const double first = any() / 2,
                   distance = random.uniform(0.9F, 2.0F) * static_cast<float>(c.range / c.levels + 1);
      for (std::int32_t l = 0; l < c.levels; ++l)
        t.push_back(c.uniform ? static_cast<std::int32_t>(std::ceil(first + l * distance)) : any());
      std::sort(t.begin(), t.end());
      if (falls) std::reverse(t.begin(), t.end());
      if (c.ends && ch % 3 == 0) t.back() = falls ? lowest : highest;   // never
      if (c.ends && ch % 3 == 1) t.front() = falls ? highest : lowest;  // always
      if (c.ends && ch % 7 == 5) std::fill(t.begin(), t.end(), falls ? lowest : highest);
      if (c.ends && ch % 7 == 6) std::fill(t.begin(), t.end(), falls ? highest : lowest);
      thresholds.insert(thresholds.end(), t.begin(), t.end());
    }
    for (std::int64_t i = 0; i < sums.size(); ++i) {
      const std::int64_t ch = i % stride;
      const std::int32_t t =
          ch < c.channels ? thresholds[sz(ch * c.levels) + random.below(static_cast<std::uint64_t>(c.levels))] : 0;
      // Half of the sums lie on a threshold or beside it.
      sums[i] = random.below(2) == 0 || t == lowest || t == highest
                    ? any()
                    : t + static_cast<std::int32_t>(random.below(3)) - 1;
      if (random.below(50) == 0) sums[i] = (random.below(2) == 0 ? 1 : -1) * ((1 << 30) - 1);
    }
  }
  std::int32_t passed(std::int64_t position, std::int64_t channel, std::int32_t levels) {
    std::int32_t n = 0;
    const std::int32_t s = sums[position * stride + channel];
    for (std::int32_t l = 0; l < levels; ++l) {
      const std::int32_t t = thresholds[sz(channel * levels + l)];
      if (direction[sz(channel)] > 0)
        n += t != highest && s >= t;
      else
        n += t != lowest && s <= t;
    }
    return n;
  }

  std::int64_t stride;
  Guarded<std::int32_t> sums;
  std::vector<std::int32_t> thresholds;
  std::vector<std::int8_t> direction;
};

std::vector<Case> cases() {
  std::vector<Case> list;
  for (const std::int64_t channels : {1, 7, 15, 16, 17, 31, 32, 33, 48, 64, 100})
    for (const std::int32_t levels : {1, 2, 3, 15, 31, 255})
      for (const std::int32_t range : {40, 32000, 2000000})
        for (const int form : {0, 1, 2, 3, 4, 5, 6, 7})
          list.push_back({channels, levels, range, form % 2 != 0, form / 2 % 2 != 0, form / 4 != 0});
  return list;
}

std::string text(const char* name, const Case& c) {
  return std::string(name) + " channels " + std::to_string(c.channels) + " levels " + std::to_string(c.levels) +
         " range " + std::to_string(c.range) + (c.falls ? " falls" : "") + (c.ends ? " ends" : "") +
         (c.uniform ? " uniform" : "");
}

TEST(Epilogue, ThresholdsToCodes) {
  for (const EpilogueKernels& kernels : rows_of(epilogue_table)) {
    Random random(1);
    std::int64_t blocks = 0, lines = 0;  // of uniform thresholds that a float can tell apart
    for (const Case& c : cases()) {
      const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(5));
      ThresholdSetup s(c, count, random);
      const std::int32_t step = c.levels <= 100 ? 1 + static_cast<std::int32_t>(random.below(2)) : 1;
      Thresholds t;
      t.make(c.channels, c.levels, s.thresholds.data(), s.direction.data(), /*first=*/-1, step, /*base=*/-1);
      for (const std::uint8_t line : t.lines) {
        if (c.uniform && c.levels == 15 && c.range < 100000) ++blocks, lines += line;
      }
      Guarded<std::uint8_t> out(sz(count * c.channels));
      kernels.codes({&t, s.sums.data(), s.stride, count, out.data()});
      for (std::int64_t i = 0; i < out.size(); ++i)
        ASSERT_EQ(out[i], step * s.passed(i / c.channels, i % c.channels, c.levels))
            << text(kernels.name, c) << " at " << i;
    }
    EXPECT_GT(lines, blocks * 9 / 10) << kernels.name;
  }
}

TEST(Epilogue, ALineGivesEverySumItsLevels) {
  Random random(7);
  int found = 0;
  for (int round = 0; round < 300; ++round) {
    const double distance = std::exp(random.uniform(0.0F, 8.0F)), first = random.uniform(-30.0F, 5.0F) * distance;
    std::vector<std::int32_t> limits;
    const auto levels = 1 + random.below(31);
    for (std::uint64_t l = 0; l < levels; ++l)
      limits.push_back(static_cast<std::int32_t>(std::ceil(first + static_cast<double>(l) * distance)));
    ThresholdLine line{};
    if (!threshold_line(limits, line)) continue;
    ++found;
    EXPECT_EQ(line.most, static_cast<float>(levels));
    for (std::int32_t sum = limits.front() - 3; sum <= limits.back() + 3; ++sum) {
      volatile float v = static_cast<float>(sum) * line.a;
      v = v + line.b;
      const auto passed = std::upper_bound(limits.begin(), limits.end(), sum - 1) - limits.begin();
      ASSERT_EQ(static_cast<std::int64_t>(std::min(std::max(static_cast<float>(v), 0.0F), line.most)), passed)
          << sum << " of round " << round;
    }
  }
  EXPECT_GT(found, 290) << "a uniform quantizer has a line";
}

TEST(Epilogue, NoLineIsClaimedWhereThereIsNone) {
  ThresholdLine line{};
  const auto has_line = [&](std::vector<std::int32_t> limits) { return threshold_line(limits, line); };
  EXPECT_TRUE(has_line({}));
  EXPECT_EQ(line.most, 0);
  EXPECT_TRUE(has_line({-7}));
  EXPECT_TRUE(has_line({0, 10, 20, 30}));
  EXPECT_TRUE(has_line({0, 10, 21, 31})) << "whole numbers";
  EXPECT_FALSE(has_line({0, 10, 21, 30}));
  EXPECT_FALSE(has_line({0, 10, 10, 20})) << "one sum passes two levels";
  EXPECT_FALSE(has_line({0, 20, 10, 30}));
  EXPECT_FALSE(has_line({1 << 26, (1 << 26) + 1, (1 << 26) + 2})) << "a float has 24 bits";
  std::vector<std::int32_t> many;
  for (std::int32_t l = 0; l < 31; ++l) many.push_back(10 * l);
  EXPECT_TRUE(has_line(many));
  many.push_back(310);
  EXPECT_FALSE(has_line(many)) << "more than 31 are not sought";
  EXPECT_FALSE(has_line({-1, 0, 1, 8})) << "levels of a logarithm";
}

TEST(Epilogue, ThresholdsToBits) {
  for (const EpilogueKernels& kernels : rows_of(epilogue_table)) {
    Random random(2);
    for (const Case& c : cases()) {
      if (c.levels != 1) continue;
      const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(5)), words = (c.channels + 31) / 32;
      ThresholdSetup s(c, count, random);
      Thresholds t;
      t.make(c.channels, 1, s.thresholds.data(), s.direction.data(), 0, 1, 0);
      Guarded<std::uint32_t> out(sz(count * words));
      for (std::int64_t i = 0; i < out.size(); ++i) out[i] = ~0u;
      kernels.bits({&t, s.sums.data(), s.stride, count, out.data()});
      for (std::int64_t i = 0; i < count * words * 32; ++i) {
        const std::int64_t p = i / (words * 32), ch = i % (words * 32);
        const std::uint32_t expected = ch < c.channels && s.passed(p, ch, 1) != 0 ? 1 : 0;
        ASSERT_EQ(out[i / 32] >> (i % 32) & 1u, expected) << text(kernels.name, c) << " at " << i;
      }
    }
  }
}

struct RealSetup {
  explicit RealSetup(std::int64_t channels, std::int64_t count, Random& random)
      : sums(sz(count * channels)), a(sz(channels)), b(sz(channels)), ra(sz(channels)), rb(sz(channels)) {
    for (std::int64_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<std::int32_t>(random.below(4001)) - 2000;
    for (Guarded<float>* v : {&a, &b, &ra, &rb}) {
      for (std::int64_t i = 0; i < v->size(); ++i) {
        (*v)[i] = random.uniform(-1.0f, 1.0f);
        if (random.below(4) == 0) (*v)[i] = static_cast<float>(random.below(5)) * 0.25f - 0.5f;  // ties
        if (random.below(40) == 0) (*v)[i] = random.below(2) == 0 ? NAN : INFINITY;
        if (random.below(40) == 0) (*v)[i] = -0.0f;
      }
    }
  }
  Guarded<std::int32_t> sums;
  Guarded<float> a, b, ra, rb;
};

/// y as docs/program.md says, one rounding an operation.
float real_value(const RealCall& call, std::int64_t position, std::int64_t c, std::int32_t residual, float added) {
  volatile float y = static_cast<float>(call.sums[position * call.stride + c]) * call.a[c];
  y = y + call.b[c];
  if (call.residual == RealCall::Residual::floats) {
    y = y + added;
  } else if (call.residual != RealCall::Residual::none) {
    volatile float r = static_cast<float>(residual) * call.residual_a[c];
    r = r + call.residual_b[c];
    y = y + r;
  }
  if (call.relu && call.float_relu)
    y = y < 0 ? 0.0f : y;
  else if (call.relu)
    y = y > 0 ? y : 0.0f;
  return y;
}

std::int32_t rounded(float y, float scale, std::int32_t min, std::int32_t max) {
  volatile float q = y / scale;
  if (std::isnan(q)) return min;
  const float r = std::nearbyint(q);
  return r <= static_cast<float>(min) ? min : r >= static_cast<float>(max) ? max : static_cast<std::int32_t>(r);
}

void check_real(const EpilogueKernels& kernels, std::int64_t channels, RealCall::Residual residual,
                RealCall::Output output, bool relu, bool planes, Random& random) {
  const std::int64_t count = 1 + static_cast<std::int64_t>(random.below(5)), words = (channels + 31) / 32;
  RealSetup s(channels, count, random);
  Guarded<std::uint32_t> bits(sz(count * words));
  Guarded<std::uint8_t> bytes(sz(count * channels));
  Guarded<std::int32_t> values(sz(count * channels));
  for (std::int64_t i = 0; i < values.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(random.next());
    values[i] = static_cast<std::int32_t>(random.below(200001)) - 100000;
  }
  for (std::int64_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint32_t>(random.next());
  RealCall call;
  call.sums = s.sums.data(), call.stride = channels, call.count = count, call.channels = channels;
  call.a = s.a.data(), call.b = s.b.data(), call.residual_a = s.ra.data(), call.residual_b = s.rb.data();
  call.residual = residual, call.residual_min = -3;
  Guarded<float> added(sz(count * channels));
  for (std::int64_t i = 0; i < added.size(); ++i)
    added[i] = random.below(20) == 0 ? NAN : random.below(4) == 0 ? -0.0F : random.uniform(-500.0F, 500.0F);
  call.residual_data = residual == RealCall::Residual::sums     ? static_cast<const void*>(values.data())
                       : residual == RealCall::Residual::floats ? static_cast<const void*>(added.data())
                       : residual == RealCall::Residual::bytes  ? static_cast<const void*>(bytes.data())
                                                                : static_cast<const void*>(bits.data());
  call.relu = relu, call.float_relu = output == RealCall::Output::floats && random.below(2) == 0, call.output = output,
  call.scale = random.below(2) == 0 ? 0.25f : 0.3f, call.min = -7, call.max = 200, call.base = -7;
  Guarded<float> floats(sz(count * channels));
  Guarded<std::uint8_t> codes(sz(count * channels));
  Guarded<std::uint32_t> signs(sz(count * words));
  call.out = output == RealCall::Output::floats ? static_cast<void*>(floats.data())
             : output == RealCall::Output::bits ? static_cast<void*>(signs.data())
                                                : static_cast<void*>(codes.data());
  call.channel_stride = planes ? count : 1, call.position_stride = planes ? 1 : channels;
  kernels.real(call);
  for (std::int64_t p = 0; p < count; ++p) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t at = p * channels + c;
      const std::int32_t r = residual == RealCall::Residual::sums               ? values[at]
                             : residual == RealCall::Residual::bytes            ? bytes[at] - 3
                             : (bits[p * words + c / 32] >> (c % 32) & 1u) != 0 ? 1
                                                                                : -1;
      const float y = real_value(call, p, c, r, added[at]);
      const std::string what = std::string(kernels.name) + " channels " + std::to_string(channels);
      if (output == RealCall::Output::floats) {
        const float got = floats[p * call.position_stride + c * call.channel_stride];
        ASSERT_TRUE(std::memcmp(&got, &y, 4) == 0 || (std::isnan(got) && std::isnan(y)))
            << what << " " << got << " " << y;
      } else if (output == RealCall::Output::codes) {
        ASSERT_EQ(codes[at], rounded(y, call.scale, -7, 200) + 7) << what << " y " << y;
      } else if (output == RealCall::Output::signs) {
        ASSERT_EQ(codes[at], y >= 0 ? 2 : 0) << what << " y " << y;
      } else {
        ASSERT_EQ(signs[p * words + c / 32] >> (c % 32) & 1u, y >= 0 ? 1u : 0u) << what << " y " << y;
      }
    }
  }
}

TEST(Epilogue, FloatChainsToEveryOutput) {
  using R = RealCall::Residual;
  using O = RealCall::Output;
  for (const EpilogueKernels& kernels : rows_of(epilogue_table)) {
    Random random(3);
    for (const std::int64_t channels : {1, 5, 8, 16, 31, 32, 33, 64, 70, 1, 5, 8, 16, 31, 32, 33, 64, 70}) {
      for (const R residual : {R::none, R::bytes, R::sums, R::bits, R::floats}) {
        for (const O output : {O::floats, O::codes, O::signs, O::bits}) {
          for (const bool relu : {false, true}) {
            check_real(kernels, channels, residual, output, relu, random.below(2) == 0, random);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(Epilogue, CodesAsSums) {
  for (const EpilogueKernels& kernels : rows_of(epilogue_table)) {
    Random random(4);
    for (const std::int64_t count : {1, 7, 8, 9, 16, 31, 40, 100}) {
      for (const bool two : {false, true}) {
        Guarded<std::uint8_t> a(sz(count)), b(sz(count));
        Guarded<std::int32_t> sums(sz(count));
        for (std::int64_t i = 0; i < count; ++i)
          a[i] = static_cast<std::uint8_t>(random.next()), b[i] = static_cast<std::uint8_t>(random.next());
        kernels.widen({a.data(), two ? b.data() : nullptr, count, -200, sums.data()});
        for (std::int64_t i = 0; i < count; ++i)
          ASSERT_EQ(sums[i], a[i] + (two ? b[i] : 0) - 200) << kernels.name << " at " << i << " of " << count;
      }
    }
  }
}

}  // namespace
}  // namespace nnq::test
