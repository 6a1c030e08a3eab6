#include "cli/run_result.h"
#include "cli/training.h"
#include "cli/verb.h"

namespace nnq::cli {
namespace {

class Compress final : public Verb {
 public:
  std::string name() const override { return "compress"; }
  std::string summary() const override {
    return "compress an ONNX model: post-training first, fine-tuning if the drop demands it";
  }
  std::vector<std::string> examples() const override {
    return {"nnq compress models/fashion_mnist_float.onnx --weights 8 --activations 8 --data fashion_mnist",
            "nnq compress model.onnx --weights 4 --activations 4 --data cifar10 --max-drop 0.5",
            "nnq compress model.onnx --recipe recipes/quickstart/w2a2.toml"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", request_.model, "float model (.onnx)")->required();
    app.add_option("--weights", request_.weights, "bits of the weights, 1 to 8")->check(CLI::Range(1, 8));
    app.add_option("--activations", request_.activations, "bits of the activations, 1 to 8")->check(CLI::Range(1, 8));
    app.add_option("--data", request_.data, "data set for calibration, fine-tuning and the final test (nnq data)");
    app.add_option("--max-drop", request_.max_drop, "points of accuracy that may be lost; missed: exit code 1")
        ->capture_default_str();
    app.add_option("--mean", request_.mean, "input mean, one value or one a channel (default: the model's own)")
        ->delimiter(',');
    app.add_option("--std", request_.std, "input standard deviation, likewise")->delimiter(',');
    app.add_option("--method", request_.method, "method (nnq methods)")->capture_default_str();
    app.add_option("--epochs", request_.epochs,
                   "fine-tuning epochs at most; 0 = post-training only (default: by the bits)");
    app.add_option("--recipe", request_.recipe, "recipe instead of the options above");
    app.add_option("-o,--output", request_.output, "also write the packed model here (.nnq)");
    app.add_option("--set", request_.overrides, "override one value of the recipe: KEY=VALUE (repeatable)");
    app.add_option("--run", request_.run_directory, "run directory (default runs/<name>-<n>)");
    app.add_flag("--resume", request_.resume, "go on from the last checkpoint of the run directory");
    app.add_option("--threads", request_.threads, "threads (default: all cores)")->check(CLI::Range(0, 1024));
  }
  int run(bool json, nlohmann::ordered_json& document) override {
    return show_result(training().compress(request_), json, document);
  }

 private:
  CompressRequest request_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(compress) { return std::make_unique<nnq::cli::Compress>(); }
