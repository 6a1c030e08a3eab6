// Files for the verbs: a small float network, what freezing makes of it at 4 bits, and images to run them on.
#pragma once

#include <fstream>
#include <string>

#include "cli/command.h"
#include "nnq/dataset.h"
#include "nnq/onnx.h"
#include "quantize/support.h"

namespace nnq::test {

constexpr std::int64_t image_count = 24, class_count = 5;

/// float.onnx, frozen.onnx (W4A4), frozen.nnq, images.npy and labels.npy in a folder of their own.
class ModelFiles {
 public:
  ModelFiles() {
    Builder b;
    const std::string x = b.input("image", {1, 1, 8, 8});
    b.graph.inputs[0].type.shape[0] = Dim("N");
    const std::string one = b.relu(b.norm("norm1", b.conv("conv1", x, 1, 8), 8));
    const std::string two = b.relu(b.norm("norm2", b.conv("conv2", one, 8, 16), 16));
    const std::string flat = b.graph.add("Flatten", {b.max_pool(two)}, {{"axis", std::int64_t{1}}}, "flat");
    b.graph.outputs = {b.gemm("scores", flat, 16 * 4 * 4, class_count, true)};
    // Weights of up to +-1.5 use all 4 bits of a step of 1/4.
    for (auto& [name, value] : b.graph.initializers) {
      if (!name.ends_with(".weight")) continue;
      for (float& v : value.mutable_values<float>()) v *= 2;
    }
    b.graph.metadata = Preprocessing{.mean = {0.5F}, .std = {0.25F}, .size = {1, 8, 8}}.to_metadata();
    export_onnx(b.graph, folder / "float.onnx");
    PlacementOptions options;
    QuantizerSpec four;
    four.method = "uniform";
    four.bits = 4;
    options.rules = {{.glob = "*", .weights = four, .activations = four, .gradients = {}}};
    export_onnx(freeze(place_quantizers(b.graph, options), callbacks()), folder / "frozen.onnx");
    write_images();
    packed = nnq("export " + frozen() + " --to nnq -o " + nnq_file());
  }
  std::string real() const { return folder / "float.onnx"; }
  std::string frozen() const { return folder / "frozen.onnx"; }
  std::string nnq_file() const { return folder / "frozen.nnq"; }
  std::string data() const { return "npy:" + (folder / "images.npy") + "," + (folder / "labels.npy"); }

  Folder folder;
  Ran packed;  // what `nnq export` said

 private:
  void write_images() const {
    Random random(3);
    Tensor images(DType::u8, {image_count, 1, 8, 8}), labels(DType::i64, {image_count});
    for (std::uint8_t& v : images.mutable_values<std::uint8_t>()) v = static_cast<std::uint8_t>(random.below(256));
    for (std::int64_t i = 0; i < image_count; ++i) labels.mutable_as<std::int64_t>()[i] = i % class_count;
    save_npy(images, folder / "images.npy");
    save_npy(labels, folder / "labels.npy");
  }
};

/// Lines of a table as printed: every line, without the newline.
inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// Columns that a line takes on a terminal.
inline std::size_t columns_of(const std::string& line) {
  std::size_t width = 0;
  for (const char c : line) width += (static_cast<unsigned char>(c) & 0xc0U) != 0x80U ? 1 : 0;
  return width;
}

/// Whether `text` holds a table: a title line, a rule, and so many rows no wider than the rule.
inline bool has_table(const std::string& text, std::size_t at_least_rows) {
  const std::vector<std::string> lines = lines_of(text);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].rfind("─", 0) != 0) continue;
    const std::size_t width = columns_of(lines[i]);
    std::size_t rows = 0;
    if (columns_of(lines[i - 1]) > width) return false;
    for (std::size_t r = i + 1; r < lines.size() && !lines[r].empty(); ++r, ++rows) {
      if (columns_of(lines[r]) > width) return rows >= at_least_rows;
    }
    return rows >= at_least_rows;
  }
  return false;
}

}  // namespace nnq::test
