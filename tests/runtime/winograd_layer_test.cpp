// Layers of 3 x 3 windows: odd and even images, borders of any width and value, channels that fill no vector, every
// epilogue's way out, one thread and three; the runtime's sums are the interpreter's, and Winograd's filtering made
// them.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kernels/winograd/winograd.h"
#include "runtime/interpreters_bits.h"
#include "runtime/layer_program.h"
#include "runtime/precision.h"
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
    {"W3SignedA8", 3, -4, {1, 2, 4}, signed_eight}};

class WinogradLayer : public ::testing::TestWithParam<Precision> {};

TEST_P(WinogradLayer, SumsAreTheInterpreters) {
  const Precision& p = GetParam();
  Random random(5, p.name);
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random.below(n)); };
  std::set<std::string> kernels;
  for (int round = 0; round < 40; ++round) {
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
  const bool taken = kernels.lower_bound("conv_int8_winograd_avx2") != kernels.lower_bound("conv_int8_winograd_avx3");
  EXPECT_TRUE(taken || hardware_isa() != Isa::avx2);
}

INSTANTIATE_TEST_SUITE_P(Runtime, WinogradLayer, ::testing::ValuesIn(precisions),
                         [](const auto& param) { return std::string(param.param.name); });

/// Fewer panels of outputs than threads, and more than one block of tiles, each too small to be a thread's.
TEST(WinogradLayer, OnePanelOfOutputsOnSeveralThreads) {
  Random random(7);
  const Shape shape{1, 1024, 14, 14};
  const Program program = filtered(precisions[0], shape, 16, {.kernel_h = 3, .kernel_w = 3}, 0, -1, random);
  for (int round = 0; round < 10; ++round) {
    expect_interpreters_bits(program, {random_codes(precisions[0], shape, random)}, "one panel");
    if (HasFatalFailure()) return;
  }
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
  const std::string kernel = winograd_kernels(hardware_isa()).name;
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
