// Verbs on a model whose levels are real numbers: what inspect says of layers on bit planes, what compare counts.
#include <gtest/gtest.h>

#include <cmath>

#include "cli/model_files.h"

namespace nnq::test {
namespace {

/// +-a +-b, another basis for each channel.
Encoding two_planes(const Node&, const Tensor& w) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 2;
  e.shape = w.shape();
  e.groups = w.shape()[0];
  const std::int64_t size = w.count() / e.groups;
  for (std::int64_t g = 0; g < e.groups; ++g) {
    const float a = 0.11F + 0.01F * static_cast<float>(g), b = 0.37F;
    e.offset.push_back(-(a + b));
    e.plane_scale.insert(e.plane_scale.end(), {2 * a, 2 * b});
    for (std::int64_t i = g * size; i < (g + 1) * size; ++i) {
      const float v = w.as<float>()[i];
      const bool high = v >= 0, low = (high ? v - b : v + b) >= 0;
      e.codes.push_back(static_cast<std::uint8_t>((low ? 1 : 0) | (high ? 2 : 0)));
    }
  }
  return e;
}

ActivationCode four_levels(const Node&) {
  ActivationCode code;
  code.bits = 2;
  code.thresholds = {0.2F, 0.6F, 1.1F};
  code.levels = {0, 0.43F, 0.81F, 1.24F};
  return code;
}

/// levels.onnx and levels.nnq: the first layer computes on 4 levels of the image, the others on those of layers.
class LevelFiles : public ModelFiles {
 public:
  LevelFiles() {
    const Graph network = import_onnx(real());
    const QuantizerSpec two{"uniform", 2, {}};
    Graph placed = place_quantizers(network, {{{"*", two, two, {}}}, false});
    export_onnx(freeze(std::move(placed), {two_planes, four_levels}), graph());
    exported = nnq("export " + graph() + " --to nnq -o " + program());
  }
  std::string graph() const { return folder / "levels.onnx"; }
  std::string program() const { return folder / "levels.nnq"; }
  Ran exported;
};

nlohmann::json layer_named(const nlohmann::json& document, const std::string& op) {
  for (const auto& row : document["layers"]) {
    if (row["op"] == op) return row;
  }
  return {};
}

TEST(CliLevels, InspectShowsBitPlanes) {
  const LevelFiles files;
  ASSERT_EQ(files.exported.code, 0) << files.exported.err;
  const auto graph = nnq("inspect " + files.graph() + " --json").document(),
             program = nnq("inspect " + files.program() + " --json").document();
  EXPECT_EQ(graph["bits"], "W2A2");
  EXPECT_EQ(program["bits"], "W2A2");
  EXPECT_EQ(graph["macs"], program["macs"]);
  const auto conv = layer_named(graph, "Conv"), step = layer_named(program, "plane_convolution"),
             dense = layer_named(program, "plane_dense");
  for (const char* key : {"output_shape", "parameters", "macs", "weight_bits", "activation_bits", "encoding"})
    EXPECT_EQ(conv[key], step[key]) << key;
  EXPECT_EQ(step["encoding"], "bit planes");
  EXPECT_NE(step["note"].get<std::string>().find("2 of weights x 2 of codes"), std::string::npos);
  // 72 weights of 2 bits, 2 scales a channel, a and b, and the tables of the codes.
  EXPECT_GE(step["bytes"].get<std::int64_t>(), 18 + 64 + 64);
  EXPECT_EQ(dense["parameters"], 1280);
}

TEST(CliLevels, CompareCountsTheCodesThatDiffer) {
  const LevelFiles files;
  const std::string same = "compare " + files.graph() + " " + files.program() + " --engine interpreter --data ";
  const auto document = nnq(same + files.data() + " --json").document();
  EXPECT_EQ(document["agreement"], 100.0);
  const auto codes = document["codes"];
  EXPECT_GT(codes["count"].get<std::int64_t>(), 16 * 8 * 8);
  EXPECT_EQ(codes["off_by_more"], 0);
  EXPECT_LE(codes["off_by_one"].get<double>(), 0.0005 * codes["count"].get<double>());
  const Ran table = nnq(same + files.data());
  EXPECT_NE(table.out.find("activation codes that differ: "), std::string::npos) << table.out;

  // Other thresholds: many codes are one level off, and some are more.
  Graph moved = import_onnx(files.graph());
  for (auto& [name, tensor] : moved.initializers) {
    if (!name.ends_with(".thresholds")) continue;
    for (float& t : tensor.mutable_values<float>()) t += 0.1F;
  }
  export_onnx(moved, files.folder / "moved.onnx");
  const auto apart = nnq("compare " + files.graph() + " " + (files.folder / "moved.onnx") +
                         " --engine interpreter --data " + files.data() + " --json")
                         .document()["codes"];
  // The program never makes the flattened codes.
  EXPECT_EQ(apart["count"].get<std::int64_t>(), codes["count"].get<std::int64_t>() + 16 * 16 * 4 * 4);
  EXPECT_GT(apart["off_by_one"].get<std::int64_t>(), codes["count"].get<std::int64_t>() / 100);
}

}  // namespace
}  // namespace nnq::test
