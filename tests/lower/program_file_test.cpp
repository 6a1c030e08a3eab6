// The .nnq file: its size for one-bit networks, the same bytes each time, atomic writing, clear refusals.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "nnq/error.h"
#include "nnq/onnx.h"
#include "nnq/runtime.h"
#include "nnq/zoo.h"
#include "runtime/image.h"
#include "support.h"

namespace nnq::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// A folder of its own, removed behind the test.
class ProgramFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder = fs::temp_directory_path() / ("nnq_lower_" + std::string(info->name()) + std::to_string(getpid()));
    fs::create_directories(folder);
  }
  void TearDown() override {
    fs::permissions(folder, fs::perms::owner_all);
    fs::remove_all(folder);
  }
  fs::path folder;
};

PlacementOptions binary_network() {
  const QuantizerSpec one{"bnn", 1, {}};
  return {{{"*", one, one, {}}, {"first", one, {"uniform", 8, {}}, {}}}, false};
}

Program small_program() {
  Builder b(51);
  std::string x = b.relu(b.norm("bn", b.conv("conv1", b.input("image", {1, 3, 6, 6}), 3, 4), 4));
  b.graph.outputs = {b.conv("conv2", x, 4, 3)};
  b.graph.metadata["nnq.note"] = "kept";
  return lower(frozen(b, bits(4, 4)));
}

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(ProgramFile, AOneBitVggSmallIsOne28thOfItsFloatFile) {
  const Graph graph = build_zoo("vgg_small");
  const std::int64_t parameters = trainable_parameters(graph);
  const std::size_t float_bytes = export_onnx(graph, folder / "float.onnx");
  const Program program = lower(freeze(place_quantizers(graph, binary_network()), callbacks()));
  const std::size_t bytes = write_program(program, folder / "one_bit.nnq");
  EXPECT_EQ(bytes, fs::file_size(folder / "one_bit.nnq"));
  std::size_t weights = 0;
  for (const Step& step : program.steps) {
    if (step.kind != StepKind::convolution && step.kind != StepKind::dense) continue;
    EXPECT_EQ(step.weights.bits, 1) << step.name;
    EXPECT_TRUE(step.weights.binary()) << step.name;
    weights += step.weights.plane_bytes();
  }
  const double ratio = static_cast<double>(float_bytes) / static_cast<double>(bytes),
               overhead = static_cast<double>(bytes) / (static_cast<double>(parameters) / 8) - 1;
  std::cout << "vgg_small: " << parameters << " parameters, float " << float_bytes << " bytes, one bit " << bytes
            << " bytes (weights " << weights << "): 1/" << ratio << ", parameters/8 + " << 100 * overhead << " %\n";
  EXPECT_GE(ratio, 28);
  EXPECT_LE(overhead, 0.02);
}

/// Bytes a middle layer adds: the file with three layers less the file with two.
TEST_F(ProgramFile, AOneBitLayerCostsAnEighthOfItsParametersAndLittleMore) {
  const auto file_bytes = [](int layers, bool dense) {
    constexpr std::int64_t width = 512;
    Builder b(52);
    std::string x = b.input("image", dense ? Shape{1, width} : Shape{1, width, 4, 4});
    for (int i = 0; i < layers; ++i) {
      const std::string n = std::to_string(i);
      if (dense) {
        const std::string w = b.graph.add_initializer("fc" + n + ".w", dyadic(b.random, {width, width * 4}, 12, 0.5F));
        const std::string v = b.graph.add_initializer("gc" + n + ".w", dyadic(b.random, {width * 4, width}, 12, 0.5F));
        x = b.norm("bn" + n, b.graph.add("Gemm", {x, w}, {}, "fc" + n), width * 4);
        x = b.norm("cn" + n, b.graph.add("Gemm", {x, v}, {}, "gc" + n), width);
      } else {
        x = b.norm("bn" + n, b.conv("conv" + n, x, width, width), width);
      }
    }
    b.graph.outputs = {x};
    const QuantizerSpec one{"bnn", 1, {}};
    return static_cast<double>(serialize_program(lower(frozen(b, {{{"*", one, one, {}}}, false}))).size());
  };
  for (const bool dense : {false, true}) {
    const double parameters = dense ? 2.0 * 512 * 2048 + 2 * (512 + 2048) : 512.0 * 512 * 9 + 2 * 512;
    const double cost = file_bytes(3, dense) - file_bytes(2, dense);
    std::cout << (dense ? "dense" : "conv") << ": parameters/8 + " << 100 * (cost / (parameters / 8) - 1) << " %\n";
    // Beside the bits: a packed threshold a channel and some hundred bytes of table.
    EXPECT_LE(cost, parameters / 8 * 1.02 + 800);
  }
}

/// 512 - 2048 - 512 - 10 with batch norms, everything but the input one bit: the whole file.
TEST_F(ProgramFile, AOneBitMlpCostsAnEighthOfItsParametersAndTwoPercent) {
  Builder b(53);
  std::string x = b.input("x", {1, 512});
  const std::int64_t widths[] = {512, 2048, 512, 10};
  double parameters = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string n = std::to_string(i);
    const std::string w =
        b.graph.add_initializer("fc" + n + ".w", dyadic(b.random, {widths[i], widths[i + 1]}, 12, 0.5F));
    x = b.norm("bn" + n, b.graph.add("Gemm", {x, w}, {}, "fc" + n), widths[i + 1]);
    parameters += static_cast<double>(widths[i] * widths[i + 1]);
  }
  b.graph.outputs = {x};
  const QuantizerSpec one{"bnn", 1, {}};
  const Program program = lower(frozen(b, {{{"*", one, one, {}}, {"first", one, {"uniform", 8, {}}, {}}}, false}));
  const auto bytes = static_cast<double>(write_program(program, folder / "mlp.nnq"));
  std::cout << "mlp: " << parameters << " parameters, " << bytes << " bytes, parameters/8 + "
            << 100 * (bytes / (parameters / 8) - 1) << " %\n";
  EXPECT_EQ(bytes, static_cast<double>(fs::file_size(folder / "mlp.nnq")));
  EXPECT_LE(bytes, parameters / 8 * 1.02 + 2048);  // two per cent and the headers of three layers
}

TEST_F(ProgramFile, TheSameProgramGivesTheSameBytes) {
  const Program program = small_program();
  const std::vector<std::byte> bytes = serialize_program(program);
  EXPECT_EQ(bytes, serialize_program(small_program()));
  Program again;
  ASSERT_TRUE(parse_program(bytes, nullptr, again).ok());
  EXPECT_EQ(again.metadata.at("nnq.note"), "kept");
  EXPECT_EQ(serialize_program(again), bytes);
  write_program(program, folder / "a.nnq");
  write_program(again, folder / "b.nnq");
  EXPECT_EQ(read(folder / "a.nnq"), read(folder / "b.nnq"));
}

TEST_F(ProgramFile, WritingIsAtomic) {
  const fs::path file = folder / "model.nnq";
  const Program program = small_program();
  write_program(program, file);
  const std::string before = read(file);
  // A reader that has the old file open keeps it whole: the new one is another file under the same name.
  std::ifstream open(file, std::ios::binary);
  Program other = program;
  other.metadata["nnq.note"] = "another";
  write_program(other, file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(open), {}), before);
  EXPECT_NE(read(file), before);
  // Nothing is left beside it, and what cannot be written is an error that leaves no file.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  EXPECT_THROW(write_program(program, file / "model.nnq"), Error);
  fs::create_directory(folder / "taken");
  EXPECT_THROW(write_program(program, folder / "taken"), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
}

TEST_F(ProgramFile, OtherVersionsAreNamed) {
  std::vector<std::byte> bytes = serialize_program(small_program());
  const std::uint32_t version = 99;
  std::memcpy(bytes.data() + offsetof(ImageHeader, version), &version, sizeof(version));
  Program program;
  const Status status = parse_program(bytes, nullptr, program);
  EXPECT_EQ(status.code(), StatusCode::bad_file);
  EXPECT_THAT(status.message(), HasSubstr("version 99"));
  EXPECT_THAT(status.message(), HasSubstr("reads version " + std::to_string(image_version)));
  bytes[0] = std::byte{'X'};
  EXPECT_THAT(parse_program(bytes, nullptr, program).message(), HasSubstr("not a .nnq file"));
}

TEST_F(ProgramFile, EveryTruncationIsRefused) {
  const std::vector<std::byte> bytes = serialize_program(small_program());
  for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 40) {
    // An allocation of exactly this size, so that a read behind it is seen.
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    Program program;
    const Status status = parse_program(cut, nullptr, program);
    ASSERT_EQ(status.code(), StatusCode::bad_file) << size;
    EXPECT_THAT(status.message(), HasSubstr("cut short")) << size;
  }
  const fs::path file = folder / "cut.nnq";
  write_program(small_program(), file);
  fs::resize_file(file, bytes.size() - 1);
  std::shared_ptr<const Model> model;
  const Status status = Model::load(file.string(), {}, model);
  EXPECT_EQ(status.code(), StatusCode::bad_file);
  EXPECT_THAT(status.message(), HasSubstr("cut.nnq"));
  EXPECT_THAT(status.message(), HasSubstr("cut short"));
}

}  // namespace
}  // namespace nnq::test
