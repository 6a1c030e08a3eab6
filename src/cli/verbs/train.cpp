#include "cli/run_result.h"
#include "cli/training.h"
#include "cli/verb.h"

namespace nnq::cli {
namespace {

class Train final : public Verb {
 public:
  std::string name() const override { return "train"; }
  std::string summary() const override { return "run a recipe: train, quantize, evaluate, export"; }
  std::vector<std::string> examples() const override {
    return {"nnq train recipes/fashion_mnist/float.toml", "nnq train recipe.toml --set train.epochs=3 --set seed=7",
            "nnq train recipe.toml --run runs/mine --resume"};
  }
  void options(CLI::App& app) override {
    app.add_option("RECIPE", request_.recipe, "recipe (TOML, docs/recipes.md)")->required();
    app.add_option("--set", request_.overrides, "override one value: KEY=VALUE, e.g. train.epochs=3 (repeatable)");
    app.add_option("--run", request_.run_directory, "run directory (default runs/<name>-<n>)");
    app.add_flag("--resume", request_.resume, "go on from the last checkpoint of the run directory");
    app.add_option("--threads", request_.threads, "threads (default: all cores)")->check(CLI::Range(0, 1024));
  }
  int run(bool json, nlohmann::ordered_json& document) override {
    return show_result(training().train(request_), json, document);
  }

 private:
  TrainRequest request_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(train) { return std::make_unique<nnq::cli::Train>(); }
