#include <fmt/format.h>

#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
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
    return {"nnq export model.onnx --to nnq -o model.nnq", "nnq export model.onnx --to onnx -o simplified.onnx"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.onnx)")->required();
    app.add_option("--to", target_, "nnq or onnx")->required();
    app.add_option("-o,--output", output_, "file to write")->required();
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (target_ != "nnq" && target_ != "onnx")
      throw Error("there is no target '" + target_ + "'", "--to", "known: nnq, onnx");
    const LoadedModel model = load_model(file_);
    if (model.packed)
      throw Error("is packed already; a .nnq holds the program, not the graph", file_,
                  "export from the .onnx it was made of");
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
               file_, grouped(static_cast<std::int64_t>(model.bytes)), output_);
    return done;
  }

 private:
  std::string file_, target_, output_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(export_model) { return std::make_unique<nnq::cli::ExportModel>(); }
