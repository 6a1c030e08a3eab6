#include <fmt/format.h>

#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "core/text.h"
#include "nnq/error.h"
#include "nnq/lower.h"
#include "nnq/onnx.h"
#include "nnq/program.h"

namespace nnq::cli {
namespace {

class ExportModel final : public Verb {
 public:
  std::string name() const override { return "export"; }
  std::string summary() const override { return "write a model for a target: nnq (packed) or onnx (simplified)"; }
  std::vector<std::string> examples() const override {
    return {"nnq export model.onnx --to nnq -o model.nnq", "nnq export model.onnx --to onnx -o simplified.onnx",
            "nnq export other.onnx --to nnq -o other.nnq --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.onnx)")->required();
    app.add_option("--to", target_, "nnq or onnx")->required();
    app.add_option("-o,--output", output_, "file to write")->required();
    app.add_option("--mean", mean_, "write this input mean into the model's metadata")->delimiter(',');
    app.add_option("--std", std_, "write this input standard deviation likewise")->delimiter(',');
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (target_ != "nnq" && target_ != "onnx")
      throw Error("there is no target '" + target_ + "'", "--to", "known: nnq, onnx");
    throw_if_error(check_output(output_, {file_}, "." + target_));
    LoadedModel model = load_model(file_);
    if (model.packed)
      throw Error("is packed already; a .nnq holds the program, not the graph", file_,
                  "export from the .onnx it was made of");
    if (!mean_.empty() || !std_.empty()) {
      const Preprocessing preprocessing = preprocessing_for(model.graph.metadata, mean_, std_);
      check_channels(preprocessing, model.inputs());
      for (const auto& [key, value] : preprocessing.to_metadata()) model.graph.metadata[key] = value;
    }
    std::size_t bytes = 0;
    try {
      bytes = target_ == "nnq" ? write_program(lower(model.graph), output_) : export_onnx(model.graph, output_);
    } catch (const Error& error) {
      throw error.inside(file_);
    }
    document["model"] = output_;
    document["to"] = target_;
    document["bytes"] = bytes;
    document["source_bytes"] = model.bytes;
    if (json) return done;
    fmt::print("{}: {} bytes; {} has {}\nnext: nnq inspect {}\n", output_, grouped(static_cast<std::int64_t>(bytes)),
               file_, grouped(static_cast<std::int64_t>(model.bytes)), shell_word(output_));
    return done;
  }

 private:
  std::string file_, target_, output_;
  std::vector<float> mean_, std_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(export_model) { return std::make_unique<nnq::cli::ExportModel>(); }
