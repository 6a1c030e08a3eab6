// Layers of 3 x 3 windows: odd and even images, borders of any width and value, channels that fill no vector, every
// epilogue's way out, one thread and three; the runtime's sums are the interpreter's, and Winograd's filtering made
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "kernels/winograd/winograd.h"
#include "runtime/interpreters_bits.h"
#include "runtime/layer_program.h"
#include "runtime/precision.h"
#include "runtime/steps/layer.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

/// quantize -> 3 x 3 convolution -> dequantize. fill: of the weights' planes; negative: random.
Program filtered(const Precision& p, const Shape& input, std::int64_t out, const Window& w, std::int32_t pad_value,
                 int fill, Random& random) {
  const Shape output{input[0], out, input[2] + w.pad_top + w.pad_bottom - 2, input[3] + w.pad_left + w.pad_right - 2};
  Step conv;
  conv.kind = StepKind::convolution;
  conv.out_channels = out, conv.in_channels = input[1];
  conv.window = w;
  conv.pad_value = pad_value;
  const std::int64_t count = out * input[1] * 9;
  std::vector<std::uint8_t> planes(static_cast<std::size_t>((count + 7) / 8 * p.weight_bits));
  for (std::uint8_t& byte : planes)
    byte = static_cast<std::uint8_t>(fill < 0 ? random.next() : static_cast<std::uint64_t>(fill));
  return layer_program(p, input, output, std::move(conv), planes, count);
}

const CodeType eight{.min = 0, .max = 255, .bits = 8}, signed_eight{.min = -128, .max = 127, .bits = 8};
const std::vector<Precision> precisions = {
    {"W8A8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, eight},
    {"W8SignedA8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, signed_eight},
    {"W8CodesFarFromZero", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, {.min = 10, .max = 255, .bits = 8}},
    {"W7A8", 7, -64, {1, 2, 4, 8, 16, 32, 64}, eight},
    {"W4A8", 4, -8, {1, 2, 4, 8}, eight},
    {"W3SignedA8", 3, -4, {1, 2, 4}, signed_eight},
    {"W4A4", 4, -8, {1, 2, 4, 8}, {.min = 0, .max = 15, .bits = 4}},
    {"W4SignedA4", 4, -8, {1, 2, 4, 8}, {.min = -8, .max = 7, .bits = 4}},
    {"W3A5", 3, -4, {1, 2, 4}, {.min = 0, .max = 31, .bits = 5}},
    {"W2A6", 2, -2, {1, 2}, {.min = 0, .max = 63, .bits = 6}},
    {"W2A2", 2, -2, {1, 2}, {.min = 0, .max = 3, .bits = 2}}};

/// Sanitizers take ten times as long: fewer layers.
constexpr int few(int rounds) { return NNQ_SANITIZED ? (rounds * 2 + 4) / 5 : rounds; }

class WinogradLayer : public ::testing::TestWithParam<Precision> {};

TEST_P(WinogradLayer, SumsAreTheInterpreters) {
  const Precision& p = GetParam();
  Random random(5, p.name);
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  std::set<std::string> kernels;
  for (int round = 0; round < few(40); ++round) {
    Window w{.kernel_h = 3, .kernel_w = 3};
    if (round % 4 != 0) w.pad_top = below(3), w.pad_left = below(3), w.pad_bottom = below(3), w.pad_right = below(3);
    // Some of more than one block, and of more pairs of channels than are transformed at a time.
    const bool large = round % 8 == 7;
    const std::int64_t in = round % 8 == 6 ? 120 + below(40) : large ? 64 : 16 + below(35);
    const Shape shape{1 + below(2), in, (large ? 20 : 3) + below(10), (large ? 20 : 3) + below(10)};
    const std::int32_t pads[] = {0, p.code.min, p.code.max, -7, 255};
    const std::int32_t pad = pads[below(5)];
    // One layer in five has the same extreme weight everywhere.
    const Program program = filtered(p, shape, (large ? 64 : 16) + below(40), w, pad,
                                     round % 5 == 0 ? static_cast<int>(below(2)) * 255 : -1, random);
    const Status checked = check_program(program);
    ASSERT_TRUE(checked.ok()) << checked.message();
    Tensor x = random_codes(p, shape, random);
    if (round % 3 == 0) {  // every code the largest
      for (float& v : x.mutable_values<float>()) v = static_cast<float>(p.code.max);
    }
    expect_interpreters_bits(program, {x}, "input " + to_string(shape) + " pad value " + std::to_string(pad), &kernels);
    if (HasFatalFailure()) return;
  }
  for (const std::string& kernel : kernels) std::cout << p.name << " ran " << kernel << "\n";
  const auto took = [&](const std::string& name) {
    return std::any_of(kernels.begin(), kernels.end(), [&](const std::string& k) { return k.starts_with(name); });
  };
  const bool taken = took("conv_int8_winograd_avx2") || took("conv_int8_winograd_narrow_avx2");
  EXPECT_TRUE(taken || hardware_isa() != Isa::avx2);
}

INSTANTIATE_TEST_SUITE_P(Runtime, WinogradLayer, ::testing::ValuesIn(precisions),
                         [](const auto& param) { return std::string(param.param.name); });

/// Fewer panels of outputs than threads, and more than one block of tiles, each too small to be a thread's.
TEST(WinogradLayer, OnePanelOfOutputsOnSeveralThreads) {
  Random random(7);
  const Shape shape{1, 1024, 14, 14};
  const Program program = filtered(precisions[0], shape, 16, {.kernel_h = 3, .kernel_w = 3}, 0, -1, random);
  for (int round = 0; round < few(10); ++round) {
    expect_interpreters_bits(program, {random_codes(precisions[0], shape, random)}, "one panel");
    if (HasFatalFailure()) return;
  }
}

/// More channels than a call's, weights at their width in memory.
TEST(WinogradLayer, PackedWeightsOfManyChannels) {
  Random random(8);
  for (const Precision& p : precisions) {
    if (p.weight_bits != 4) continue;
    const Shape shape{1, 300, 12, 12};
    std::set<std::string> kernels;
    const Program program = filtered(p, shape, 32, {.kernel_h = 3, .kernel_w = 3}, 0, -1, random);
    expect_interpreters_bits(program, {random_codes(p, shape, random)}, p.name, &kernels);
    if (HasFatalFailure()) return;
    const auto packed = [&](const std::string& k) {
      return k.starts_with("conv_int8_winograd") && k.ends_with("_w" + std::to_string(p.weight_bits));
    };
    EXPECT_TRUE(std::any_of(kernels.begin(), kernels.end(), packed) || hardware_isa() != Isa::avx2) << p.name;
  }
}

/// The longest run of 1, 2, 4, ... steps whose products surely fit 16 bits, from the definition, where runs begin anew
/// with every call; all steps at the most.
std::int64_t certain_run(const std::vector<std::int8_t>& panel, std::int64_t steps, std::int32_t largest) {
  constexpr int g[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
  const auto u = [&](std::int64_t step, int e, std::int64_t lane) {
    int sum = 0;
    for (int tap = 0; tap < 9; ++tap)
      sum += g[e / 4][tap / 3] * g[e % 4][tap % 3] * panel[static_cast<std::size_t>((step * 9 + tap) * 64 + lane)];
    return sum;
  };
  const auto fits = [&](std::int64_t run) {
    for (std::int64_t from = 0, to = 0; from < steps; from = to) {
      to = std::min({steps, from + run, (from / winograd_steps + 1) * winograd_steps});
      for (int e = 0; e < 16; ++e) {
        for (std::int64_t lane = 0; lane < 64; lane += 2) {
          std::int64_t low = 0, high = 0;
          for (std::int64_t k = from; k < to; ++k) {
            for (const std::int64_t at : {lane, lane + 1})
              low += std::min(u(k, e, at), 0), high += std::max(u(k, e, at), 0);
          }
          if (high * 4 * largest > 32767 || low * 4 * largest < -32768) return false;
        }
      }
    }
    return true;
  };
  std::int64_t run = 0;
  for (std::int64_t next = 1; fits(next); next *= 2) {
    run = std::min(next, steps);
    if (next >= steps) break;
  }
  return run;
}

TEST(WinogradLayer, RunsOfNarrowProductsAreProvenFromTheWeights) {
  constexpr int g[4][3] = {{2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
  Random random(9);
  constexpr std::int64_t steps = 21;
  std::set<std::int64_t> runs;
  for (int round = 0; round < 64; ++round) {
    std::vector<std::int8_t> panel(steps * 9 * 64);
    for (std::int8_t& w : panel) w = static_cast<std::int8_t>(static_cast<int>(random.below(16)) - 8);
    // Half of them have one element of the transform that is as large as it can be, for one output, in one sign.
    const std::int64_t output = static_cast<std::int64_t>(random.below(16));
    for (std::size_t i = 0; round % 2 == 0 && i < panel.size(); ++i) {
      const int e = round / 2 % 16, tap = static_cast<int>(i / 64 % 9), sign = g[e / 4][tap / 3] * g[e % 4][tap % 3];
      if (static_cast<std::int64_t>(i) % 64 / 4 == output)
        panel[i] = static_cast<std::int8_t>(sign == 0 ? 0 : (sign > 0) == (round < 32) ? 7 : -8);
    }
    for (const std::int32_t largest : {1, 3, 15, 31}) {
      const std::int64_t run = winograd_narrow_steps(panel.data(), steps, largest);
      ASSERT_EQ(run, certain_run(panel, steps, largest)) << "round " << round << ", codes to " << largest;
      runs.insert(run);
    }
  }
  EXPECT_GE(runs.size(), 5U);
}

/// A layer of 4-bit weights on codes to 63, all the largest, whose weights are 7 in the middle tap of the outputs and
/// channels for which seven() holds, and 0 otherwise, gives the interpreter's sums by the narrow kernel.
template <class Seven>
void expect_bits_of_middle_taps(std::int64_t in, std::int64_t out, Seven&& seven) {
  Random random(8);
  const Precision p{"W4A6", 4, -8, {1, 2, 4, 8}, {.min = 0, .max = 63, .bits = 6}};
  const Shape shape{1, in, 12, 12};
  Program program = filtered(p, shape, out, {.kernel_h = 3, .kernel_w = 3}, 0, 0, random);
  Step& conv = program.steps[1];
  ASSERT_EQ(conv.kind, StepKind::convolution);
  std::vector<std::uint8_t> planes(conv.weights.plane_bytes() * 4);
  for (std::int64_t e = 0; e < conv.weights.count; ++e) {  // [out][tap][in]
    const int code = e / in % 9 == 4 && seven(e / in / 9, e % in) ? 15 : 8;
    for (std::size_t plane = 0; plane < 4; ++plane)
      planes[plane * conv.weights.plane_bytes() + static_cast<std::size_t>(e / 8)] |=
          static_cast<std::uint8_t>((code >> plane & 1) << (e % 8));
  }
  conv.weights.owned = std::make_shared<const std::vector<std::uint8_t>>(std::move(planes));
  conv.weights.data = conv.weights.owned->data();
  Tensor x = random_codes(p, shape, random);
  for (float& v : x.mutable_values<float>()) v = 63;
  std::set<std::string> kernels;
  expect_interpreters_bits(program, {x}, "weights of 7 in middle taps", &kernels);
  EXPECT_TRUE(hardware_isa() != Isa::avx2 || std::any_of(kernels.begin(), kernels.end(), [](const std::string& k) {
                return k.starts_with("conv_int8_winograd_narrow_avx2");
              }));
}

/// 12 steps that fit together from 0 on, in any run of 12, do not where the kernel begins anew at step 64.
TEST(WinogradLayer, RunsFitFromEveryCallsFirstStepOn) {
  constexpr std::int64_t steps = 88;
  std::vector<std::int8_t> panel(steps * 9 * 64, 0);
  for (std::int64_t k = 66; k < 78; ++k) std::fill_n(panel.begin() + (k * 9 + 4) * 64, 64, std::int8_t{7});
  EXPECT_EQ(winograd_narrow_steps(panel.data(), steps, 63), certain_run(panel, steps, 63));
  expect_bits_of_middle_taps(4 * steps, 16, [](std::int64_t, std::int64_t c) { return c >= 66 * 4 && c < 78 * 4; });
}

TEST(WinogradLayer, PanelsHaveRunsOfTheirOwn) {
  expect_bits_of_middle_taps(64, 32, [](std::int64_t output, std::int64_t) { return output >= 16; });
}

/// Why the second step does not take Winograd's filtering.
std::string declined(const Program& program, const Shape& shape) {
  std::shared_ptr<const Model> model;
  EXPECT_TRUE(Model::from_bytes(serialize_program(program), model).ok());
  std::unique_ptr<Session> session;
  EXPECT_TRUE(Session::create(model, {.threads = 1}, session).ok());
  std::vector<Tensor> outputs;
  EXPECT_TRUE(session->run(std::vector<Tensor>{Tensor(DType::f32, shape)}, outputs).ok());
  const StepInfo layer = session->steps()[1];
  for (const std::string& why : layer.refused) {
    if (why.starts_with("int8_winograd")) return why;
  }
  return "it does not decline: " + layer.kernel;
}

TEST(WinogradLayer, DeclinesWhatItCannotDoAndSaysWhy) {
  Random random(6);
  const std::string kernel = winograd_kernels(hardware_isa(), false).name;
  const Precision& p = precisions[0];
  const Shape shape{1, 32, 12, 12};
  const auto of = [&](auto&& change) {
    Program program = filtered(p, shape, 32, {.kernel_h = 3, .kernel_w = 3}, 0, -1, random);
    change(program);
    return declined(program, shape);
  };
  const auto sizes = [](Program& program, std::int64_t out) {
    for (const std::size_t v : {std::size_t{2}, std::size_t{3}})
      program.values[v].type = ValueType::of(program.values[v].type.dtype, {1, 32, out, out});
  };
  EXPECT_EQ(of([&](Program& q) {
              q.steps[1].window.stride_h = q.steps[1].window.stride_w = 2;
              sizes(q, 5);
            }),
            kernel + ": strided or dilated window");
  EXPECT_EQ(of([&](Program& q) {
              q.steps[1].window.dilation_w = q.steps[1].window.dilation_h = 2;
              sizes(q, 8);
            }),
            kernel + ": strided or dilated window");
  const Program wide = filtered(p, {1, 2000, 3, 3}, 16, {.kernel_h = 3, .kernel_w = 3}, 0, 0, random);
  const Program narrow = filtered(p, {1, 15, 3, 3}, 16, {.kernel_h = 3, .kernel_w = 3}, 0, 0, random);
  EXPECT_EQ(declined(narrow, {1, 15, 3, 3}), kernel + ": fewer than 16 channels");
  EXPECT_EQ(declined(wide, {1, 2000, 3, 3}), kernel + ": four times a sum could leave 32 bits");
}

}  // namespace
}  // namespace nnq::test
