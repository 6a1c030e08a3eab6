// The seeds of fuzz/nnq_fuzz.cpp must be valid files, or the fuzzer starts from rubbish. With NNQ_WRITE_SEEDS set they
// are written anew: after a change of the format run `NNQ_WRITE_SEEDS=1 build/release/bin/test_runtime
// --gtest_filter='FuzzSeeds.*'`.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "core/atomic_file.h"
#include "lower/language_model.h"
#include "nnq/runtime.h"
#include "quantize/support.h"
#include "runtime/tiny_programs.h"

namespace nnq {
namespace {

const std::filesystem::path folder = std::filesystem::path(NNQ_SOURCE_DIR) / "fuzz/seeds/nnq";

/// A few channels of everything: borders, a pool, a residual, groups, a mean over the plane, a float Softmax.
Program seed_network(int weights, int activations, bool adds) {
  test::Builder b(static_cast<std::uint64_t>(weights));
  std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {1, 1, 5, 4}), 1, 2), 2));
  std::string y = b.norm("bn1", b.conv("conv1", x, 2, 2, 3, true, 2), 2);
  x = b.max_pool(b.relu(b.graph.add("Add", {y, x}, {}, "add")));
  x = b.relu(b.norm("bn2", b.conv("conv2", x, 2, 3, 1), 3));
  x = b.graph.add("GlobalAveragePool", {x}, {}, "mean");
  x = b.graph.add("Flatten", {x}, {}, "flat");
  b.graph.outputs = {b.graph.add("Softmax", {b.gemm("fc", x, 3, 2, true)}, {}, "softmax")};
  const QuantizerSpec w{"uniform", weights, {}}, a{activations == 1 ? "bnn" : "uniform", activations, {}};
  return lower(freeze(place_quantizers(b.graph, {{{"*", w, a, {}}}, adds}), test::callbacks()));
}

/// Two branches side by side, their codes joined.
Program joined() {
  test::Builder b(3);
  const std::string x = b.relu(b.norm("bn0", b.conv("conv0", b.input("image", {1, 1, 3, 3}), 1, 2), 2));
  const std::string y = b.norm("bn1", b.conv("conv1", x, 2, 2), 2), z = b.norm("bn2", b.conv("conv2", x, 2, 3, 1), 3);
  b.graph.outputs = {b.conv("conv3", b.graph.add("Concat", {y, z}, {{"axis", std::int64_t{1}}}, "concat"), 5, 2, 1)};
  const QuantizerSpec one{"bnn", 1, {}};
  return lower(freeze(place_quantizers(b.graph, {{{"*", one, one, {}}}, false}), test::callbacks()));
}

/// An embedding, two layers with a quantized state, a softmax's product.
Program recurrent(bool gru) {
  test::LanguageModel model(gru);
  const std::string x = model.recurrent(model.recurrent(model.embedding(), "first"), "second");
  return lower(model.finish(x));
}

TEST(FuzzSeeds, AreValidFiles) {
  if (std::getenv("NNQ_WRITE_SEEDS") != nullptr) {
    const auto write = [](const char* name, const Program& p) {
      write_file_atomically(folder / name, serialize_program(p));
    };
    write("worked_example.nnq", testing::worked_example());
    write("sign.nnq", seed_network(1, 1, false));
    write("residual.nnq", seed_network(4, 4, true));
    write("bytes.nnq", seed_network(8, 8, true));
    write("joined.nnq", joined());
    write("lstm.nnq", recurrent(false));
    write("gru.nnq", recurrent(true));
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::shared_ptr<const Model> model;
    const Status status = Model::load(entry.path().string(), {}, model);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_LE(entry.file_size(), 16384u) << entry.path() << ": a fuzzer wants small files";
    ++files;
  }
  EXPECT_GE(files, 7);
}

}  // namespace
}  // namespace nnq
