// The library's face to the command line (include/nnq/train_api.h).
#include <fmt/core.h>

#include "core/atomic_file.h"
#include "methods/robustness.h"
#include "methods/transfer.h"
#include "nnq/error.h"
#include "nnq/robustness.h"
#include "recipe/check_request.h"
#include "recipe/compress.h"
#include "recipe/float_model.h"
#include "recipe/runner.h"
#include "train/attack.h"
#include "train/quantizer.h"
#include "train/run_graph.h"
#include "train/threads.h"

namespace nnq::recipe {
namespace {

void copy_whole(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(from, std::size_t{1} << 40, bytes));
  write_file_atomically(to, std::span<const std::byte>(bytes));
}

class Api final : public TrainApi, public RobustnessApi, public TransferApi {
 public:
  std::vector<MethodInfo> methods() const override {
    std::vector<MethodInfo> list;
    for (const train::Method& method : train::all_methods()) list.push_back(method.info);
    for (const train::AttackMethod& attack : train::all_attacks()) list.push_back(attack.info);
    return list;
  }

  RunResult train(const TrainRequest& request) const override {
    const std::filesystem::path folder = run_folder(request.run_directory);
    const Recipe recipe = load_recipe(request.recipe, request.overrides);
    return run_recipe(recipe, folder, request.resume, request.threads,
                      fmt::format("nnq train {}", request.recipe.string()));
  }

  std::string recipe_text(const TrainRequest& request) const override {
    return to_toml(load_recipe(request.recipe, request.overrides));
  }

  RunResult compress(const CompressRequest& request) const override {
    check_options(request);
    NNQ_CHECK(std::filesystem::exists(request.model), "there is no such file", request.model.string());
    const Graph graph = import_float_model(request.model);
    check_normalisation(request, graph);
    const std::string file = "model.file=" + request.model.string();
    Recipe recipe;
    if (request.recipe.empty()) {
      recipe = recipe_of(request, graph);
      // Overrides speak of the recipe's text, so they are applied to it.
      recipe = parse_recipe(to_toml(recipe), "compress", request.overrides);
      recipe.file = request.model.string();
    } else {
      std::vector<std::string> overrides = {file};
      overrides.insert(overrides.end(), request.overrides.begin(), request.overrides.end());
      if (!request.data.empty()) overrides.push_back("data=" + request.data);
      recipe = load_recipe(request.recipe, overrides);
    }
    if (!request.mean.empty()) recipe.preprocessing.mean = request.mean;
    if (!request.std.empty()) recipe.preprocessing.std = request.std;
    RunResult result = run_recipe(recipe, run_folder(request.run_directory), request.resume, request.threads,
                                  fmt::format("nnq compress {}", request.model.string()));
    if (request.output && !result.interrupted) {
      copy_whole(result.packed, *request.output);
      result.packed = *request.output;
    }
    return result;
  }

  std::vector<Tensor> evaluate(const Graph& graph, const Tensor& input, int threads,
                               const std::function<void(const std::string&, const Tensor&)>& observe) const override {
    train::set_threads(threads);
    return train::run_graph(graph, input, observe);
  }

  AttackReport attack(const AttackRequest& request) const override {
    train::set_threads(request.threads);
    return methods::measure_robustness(request);
  }

  TransferCurve transfer(const TransferRequest& request) const override { return methods::transfer_curve(request); }
};

}  // namespace
}  // namespace nnq::recipe

extern "C" const nnq::TrainApi* nnq_train_api() {
  static const nnq::recipe::Api api;
  return &api;
}
