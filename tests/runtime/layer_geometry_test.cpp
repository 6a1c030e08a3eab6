// Convolutions and fully connected layers of every precision over random geometry: strides, dilation, borders of any
// value, groups, depthwise, odd channels; the runtime's sums are the interpreter's on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "runtime/interpreters_bits.h"
#include "runtime/layer_program.h"
#include "runtime/precision.h"
#include "runtime/tiny_programs.h"

namespace nnq::test {
namespace {

std::vector<Precision> precisions() {
  const CodeType sign{.sign = true, .min = -1, .max = 1, .bits = 1}, two{.min = 0, .max = 3, .bits = 2},
      signed_two{.min = -2, .max = 1, .bits = 2}, four{.min = 0, .max = 15, .bits = 4},
      far{.min = 10, .max = 13, .bits = 2}, eight{.min = 0, .max = 255, .bits = 8},
      signed_eight{.min = -128, .max = 127, .bits = 8};
  return {{"W1A1", 1, -1, {2}, sign},
          {"W1A2", 1, -1, {2}, two},
          {"W1A3", 1, -1, {2}, {.min = 0, .max = 7, .bits = 3}},
          {"W1A4", 1, -1, {2}, four},
          {"W1SignedA4", 1, -1, {2}, {.min = -8, .max = 7, .bits = 4}},
          {"W2A2", 2, -2, {1, 2}, two},
          {"TernaryA2", 2, -1, {1, 1}, signed_two},
          {"TernaryA1", 2, -1, {1, 1}, sign},
          {"W2CodesFarFromZero", 2, -2, {1, 2}, far},
          {"W2A4", 2, -2, {1, 2}, four},
          {"W4A4", 4, -8, {1, 2, 4, 8}, four},
          {"W4A8", 4, -8, {1, 2, 4, 8}, eight},
          {"W6A8", 6, -32, {1, 2, 4, 8, 16, 32}, eight},
          {"W7A8", 7, -64, {1, 2, 4, 8, 16, 32, 64}, eight},
          {"W8A8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, eight},
          {"W8SignedA8", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, signed_eight},
          {"W8A1", 8, -128, {1, 2, 4, 8, 16, 32, 64, 128}, sign}};
}

/// quantize -> convolution -> dequantize: the output is the sums. largest: nearly all weights are.
Program convolution(const Precision& p, Random& random, Shape& input, bool& largest) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  const std::int64_t form = below(6);
  std::int64_t in = 1 + below(40), out = 1 + below(70), groups = 1;
  if (form == 0) groups = 2 + below(2), in = groups * (1 + below(9)), out = groups * (1 + below(20));
  if (form == 1) groups = in = out = 1 + below(50);
  if (form == 2) in = 1 + below(3);
  if (form == 3) in = 8 * (1 + below(8));
  Window w{.kernel_h = 1 + below(4), .kernel_w = 1 + below(4), .stride_h = 1 + below(3), .stride_w = 1 + below(3)};
  if (below(3) == 0) w.dilation_h = 1 + below(2), w.dilation_w = 1 + below(2);
  const auto reach = [](std::int64_t kernel, std::int64_t dilation) { return (kernel - 1) * dilation + 1; };
  if (below(3) != 0) {
    w.pad_top = below(3), w.pad_left = below(3), w.pad_bottom = below(3), w.pad_right = below(3);
  }
  const std::int64_t h = reach(w.kernel_h, w.dilation_h) + below(8), width = reach(w.kernel_w, w.dilation_w) + below(8);
  input = {1 + below(2), in, h, width};
  const auto positions = [](std::int64_t size, std::int64_t before, std::int64_t after, std::int64_t extent,
                            std::int64_t stride) { return (size + before + after - extent) / stride + 1; };
  const Shape output{input[0], out, positions(h, w.pad_top, w.pad_bottom, reach(w.kernel_h, w.dilation_h), w.stride_h),
                     positions(width, w.pad_left, w.pad_right, reach(w.kernel_w, w.dilation_w), w.stride_w)};

  Step conv;
  conv.kind = StepKind::convolution;
  conv.out_channels = out, conv.in_channels = in, conv.groups = groups;
  conv.window = w;
  const std::int32_t pads[] = {0, p.code.min, p.code.max, -7, 1};
  conv.pad_value = pads[random.below(5)];
  const std::int64_t count = out * (in / groups) * w.kernel_h * w.kernel_w;
  std::vector<std::uint8_t> planes(static_cast<std::size_t>((count + 7) / 8 * p.weight_bits));
  // One layer in sixteen has one weight everywhere: tables of levels then have a single row. Three nearly so:
  // with the largest codes, the sums of the largest weight are as far out as sums can be.
  const std::int64_t constant = below(4) == 0 ? below(2) : -1;
  const bool others = constant < 0 || below(4) != 0;
  for (std::uint8_t& byte : planes)
    byte = constant < 0 || (others && below(16) == 0) ? static_cast<std::uint8_t>(random.next())
                                                      : static_cast<std::uint8_t>(constant * 255);
  largest = constant == 1 && others;
  return layer_program(p, input, output, std::move(conv), planes, count);
}

std::string geometry(const Step& s, const Shape& in) {
  const Window& w = s.window;
  std::string text = "input " + to_string(in) + " out " + std::to_string(s.out_channels) + " groups " +
                     std::to_string(s.groups) + " pad value " + std::to_string(s.pad_value) + " window";
  for (const std::int64_t v : {w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w, w.pad_top,
                               w.pad_left, w.pad_bottom, w.pad_right})
    text += " " + std::to_string(v);
  return text;
}

class LayerGeometry : public ::testing::TestWithParam<Precision> {};

TEST_P(LayerGeometry, SumsAreTheInterpreters) {
  const Precision& p = GetParam();
  Random random(11, p.name);
  std::set<std::string> kernels;
  for (int round = 0; round < 60; ++round) {
    Shape shape;
    bool largest = false;
    const Program program = convolution(p, random, shape, largest);
    const Status checked = check_program(program);
    ASSERT_TRUE(checked.ok()) << checked.message();
    Tensor codes = random_codes(p, shape, random);
    if (largest) std::ranges::fill(codes.mutable_values<float>(), static_cast<float>(p.code.max));
    expect_interpreters_bits(program, {codes}, geometry(program.steps[1], shape), &kernels);
    if (HasFatalFailure()) return;
  }
  for (const std::string& kernel : kernels) std::cout << p.name << " ran " << kernel << "\n";
  EXPECT_GE(kernels.size(), 2u) << "depthwise and another";
  if (hardware_isa() != Isa::avx512) return;
  const std::map<std::string, std::string> looked_up{
      {"W1A2", "conv_w1a2_lookup_avx512"}, {"W1A4", "conv_w1a4_lookup_avx512"}, {"W2A2", "conv_w2a2_triples_avx512"}};
  const auto kernel = looked_up.find(p.name);
  EXPECT_TRUE(kernel == looked_up.end() || kernels.contains(kernel->second)) << p.name;
}

/// Sums of 16 outputs whose weights are 0 stay in 16 bits for good; those of the next outputs, with the largest and
/// lowest weights and the largest codes, do not. Packed at their width (4 bits) and as bytes (5).
TEST(NarrowPanels, HaveRunsOfTheirOwn) {
  const CodeType eight{.min = 0, .max = 255, .bits = 8};
  for (const Precision& p :
       {Precision{"W4A8", 4, -8, {1, 2, 4, 8}, eight}, Precision{"W5A8", 5, -16, {1, 2, 4, 8, 16}, eight}}) {
    constexpr std::int64_t in = 256, out = 40, each = in * out / 8;
    Step conv;
    conv.kind = StepKind::convolution;
    conv.out_channels = out, conv.in_channels = in;
    conv.window = {.kernel_h = 1, .kernel_w = 1};
    std::vector<std::uint8_t> planes(static_cast<std::size_t>(each * p.weight_bits), 0xff);
    for (int plane = 0; plane < p.weight_bits; ++plane) {
      const auto first = planes.begin() + plane * each;
      std::fill_n(first, 16 * in / 8, plane == p.weight_bits - 1 ? 0xff : 0);
      std::fill_n(first + (out - 1) * in / 8, in / 8, 0);  // the lowest: of 5 bits both ends are there
    }
    const Shape shape{1, in, 6, 6};
    Tensor codes(DType::f32, shape);
    std::ranges::fill(codes.mutable_values<float>(), 255.0F);
    std::set<std::string> kernels;
    expect_interpreters_bits(layer_program(p, shape, {1, out, 6, 6}, std::move(conv), planes, in * out), {codes},
                             p.name, &kernels);
    if (HasFatalFailure()) return;
    EXPECT_TRUE(
        hardware_isa() != Isa::avx2 ||
        std::ranges::any_of(kernels, [](const std::string& k) { return k.starts_with("conv_int8_maddubs_avx2"); }))
        << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Runtime, LayerGeometry, ::testing::ValuesIn(precisions()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace nnq::test
