#include <fmt/format.h>

#include "cli/inspection.h"
#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "nnq/error.h"
#include "nnq/program.h"

namespace nnq::cli {
namespace {

class Inspect final : public Verb {
 public:
  std::string name() const override { return "inspect"; }
  std::string summary() const override { return "per layer: operator, shape, parameters, MACs, bits, bytes"; }
  std::vector<std::string> examples() const override {
    return {"nnq inspect model.onnx", "nnq inspect model.nnq --json", "nnq inspect m.onnx --shape input=1,3,64,64"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.onnx or .nnq)")->required();
    app.add_option("--shape", shapes_, "shape of an input with free dimensions: NAME=1,3,32,32 (repeatable)");
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    const LoadedModel model = load_model(file_);
    const auto shapes = parse_shapes(shapes_, model.inputs());
    const Inspection found = inspect(model, shapes);
    if (!json) {
      print(model, found);
      return done;
    }
    document["model"] = file_;
    document["parameters"] = found.parameters;
    document["macs"] = found.macs;
    document["macs_complete"] = found.macs_complete;
    document["bytes"] = model.bytes;
    const bool coded = found.entropy_bytes > 0;
    document["entropy_bytes"] = coded ? nlohmann::ordered_json(found.entropy_bytes) : nlohmann::ordered_json();
    document["code_bits"] = coded ? nlohmann::ordered_json(found.code_bits) : nlohmann::ordered_json();
    document["bits"] = found.bits_label();
    document["metadata"] = model.metadata();
    document["layers"] = nlohmann::ordered_json::array();
    for (const LayerRow& row : found.layers) document["layers"].push_back(to_json(row));
    return done;
  }

 private:
  static Inspection inspect(const LoadedModel& model, const std::map<std::string, Shape>& shapes) {
    try {
      return model.packed ? inspect_program(model.packed->program(), shapes) : inspect_graph(model.graph, shapes);
    } catch (const Error& error) {
      throw error.inside(model.file);
    }
  }

  static nlohmann::ordered_json to_json(const LayerRow& row) {
    nlohmann::ordered_json shape;  // null: even the rank is unknown
    if (row.ranked) shape = nlohmann::ordered_json::array();
    for (const Dim& dim : row.output_shape)
      shape.push_back(dim.known() ? nlohmann::ordered_json(dim.value) : nlohmann::ordered_json());
    return {{"name", row.name},
            {"op", row.op},
            {"output_shape", shape},
            {"parameters", row.parameters},
            {"macs", row.macs < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(row.macs)},
            {"weight_bits", row.weight_bits},
            {"planes", row.planes},
            {"activation_bits", row.activation_bits},
            {"bytes", row.bytes},
            {"entropy_bytes",
             row.code_counts.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.entropy_bytes)},
            {"encoding", row.encoding},
            {"note", row.note}};
  }

  static std::string bits_text(int bits) { return bits == 0 ? "" : bits == 32 ? "float" : std::to_string(bits); }

  /// "4 (3)": placed with 4 bits, of which 3 planes are enough for the weights there are.
  static std::string weight_text(const LayerRow& row) {
    const bool fewer = row.planes > 0 && row.planes != row.weight_bits && row.weight_bits != 32;
    return bits_text(row.weight_bits) + (fewer ? " (" + std::to_string(row.planes) + ")" : "");
  }

  static void print(const LoadedModel& model, const Inspection& found) {
    constexpr auto right = Table::Align::right;
    const bool coded = found.entropy_bytes > 0;
    bool notes = false;
    for (const LayerRow& row : found.layers) notes = notes || !row.note.empty();
    std::vector<Table::Column> columns = {{"layer"},       {"operator"},      {"output"},        {"params", right},
                                          {"MACs", right}, {"W bits", right}, {"A bits", right}, {"bytes", right}};
    if (coded) columns.push_back({"entropy-coded", right});
    columns.push_back({"encoding"});
    if (notes) columns.push_back({"how it was lowered"});
    Table table(columns);
    for (const LayerRow& row : found.layers) {
      const std::string macs = row.macs < 0 ? "?" : row.macs == 0 ? "" : grouped(row.macs);
      std::vector<std::string> cells = {row.name,
                                        row.op,
                                        shape_text(row),
                                        row.parameters == 0 ? "" : grouped(row.parameters),
                                        macs,
                                        weight_text(row),
                                        bits_text(row.activation_bits),
                                        row.bytes == 0 ? "" : grouped(row.bytes)};
      if (coded) cells.push_back(row.code_counts.empty() ? "" : grouped(row.entropy_bytes));
      cells.push_back(row.encoding);
      cells.push_back(row.note);
      table.row(cells);
    }
    table.rule();
    table.row({"total", fmt::format("{} layers", found.layers.size()), found.bits_label(), grouped(found.parameters),
               (found.macs_complete ? "" : "> ") + grouped(found.macs), "", "", grouped(found.bytes),
               coded ? grouped(found.entropy_bytes) : ""});
    fmt::print("{}\n{}: {} bytes on disk\n", table.text(), model.file, grouped(static_cast<std::int64_t>(model.bytes)));
    if (coded)
      fmt::print("  entropy-coded: one Huffman code for all weights, {:.2f} bits a weight, its table included\n",
                 found.code_bits);
    for (const ModelPort& port : model.inputs()) fmt::print("  input  {} {}\n", port.name, port.type.to_string());
    for (const auto& [key, text] : model.metadata()) {
      std::string value = text;
      for (std::size_t at; (at = value.find('\n')) != std::string::npos;) value.replace(at, 1, ", ");
      fmt::print("  {} = {}\n", key, value.size() > 100 ? value.substr(0, 97) + "..." : value);
    }
    if (!found.macs_complete) fmt::print("\nsome dimensions are free: --shape {}=... sets them\n", first_input(model));
  }

  static std::string first_input(const LoadedModel& model) {
    const auto inputs = model.inputs();
    return inputs.empty() ? "input" : inputs[0].name;
  }

  std::string file_;
  std::vector<std::string> shapes_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(inspect) { return std::make_unique<nnq::cli::Inspect>(); }
