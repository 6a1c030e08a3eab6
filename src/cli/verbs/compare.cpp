#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/engine.h"
#include "cli/fidelity.h"
#include "cli/numbers.h"
#include "cli/table.h"
#include "cli/text_comparison.h"
#include "cli/text_engine.h"
#include "cli/verb.h"
#include "core/progress.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

double largest_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size())
    throw Error("the models have " + std::to_string(a.size()) + " and " + std::to_string(b.size()) + " outputs");
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].shape() != b[i].shape())
      throw Error("output " + std::to_string(i) + " is " + to_string(a[i].shape()) + " and " + to_string(b[i].shape()));
    const std::vector<float> x = a[i].to_float(), y = b[i].to_float();
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double difference = std::abs(static_cast<double>(x[k]) - static_cast<double>(y[k]));
      if (difference > largest) largest = difference;
    }
  }
  return largest;
}

class Compare final : public Verb {
 public:
  std::string name() const override { return "compare"; }
  std::string summary() const override { return "two models on the same data: agreement, and noise layer by layer"; }
  std::vector<std::string> examples() const override {
    return {"nnq compare float.onnx model.nnq --data fashion_mnist",
            "nnq compare model.onnx model.nnq --data cifar10 --limit 0", "nnq compare lstm.onnx lstm.nnq --data ptb"};
  }
  void options(CLI::App& app) override {
    app.add_option("A", files_[0], "reference model (.onnx or .nnq)")->required();
    app.add_option("B", files_[1], "model compared with it")->required();
    app.add_option("--data", data_, "data set (nnq data)")->required();
    app.add_option("--split", split_, "train or test; text: also validation")->capture_default_str();
    app.add_option("--limit", limit_, "samples or tokens whose predictions are compared (0: all)")
        ->capture_default_str()
        ->check(whole_number());
    app.add_option("--layer-samples", layer_samples_, "samples on which layers are compared; 0: none")
        ->capture_default_str()
        ->check(CLI::Range(0, 10000));
    app.add_option(
           "--engine", engine_,
           "of an .onnx: graph (as training computes it), torch, program (packed runtime) or interpreter; text: "
           "all but torch")
        ->capture_default_str();
    app.add_option("--threads", threads_, "threads (0: all cores)")->check(CLI::Range(0, 1024));
    app.add_option("--min-agreement", least_, "percent of equal predictions required; missed: exit code 1")
        ->check(CLI::Range(0.0, 100.0));
    app.add_option("--mean", mean_, "input mean (default: each model's own, or the other's)")->delimiter(',');
    app.add_option("--std", std_, "input standard deviation, likewise")->delimiter(',');
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (is_text(data_)) return run_text(json, document);
    const Split split = parse_split(split_);
    const LoadedModel models[2] = {load_model(files_[0]), load_model(files_[1])};
    const Samples samples = load_dataset(data_, split);
    const int silent = without_input(models);
    Preprocessing preparing[2];
    for (int i = 0; i < 2; ++i) preparing[i] = preprocessing_for(input_metadata(models, i, silent), mean_, std_);
    std::unique_ptr<Engine> engines[2];
    for (int i = 0; i < 2; ++i)
      engines[i] = make_engine(models[i].packed ? packed_engine() : engine_, models[i], threads_);
    const std::int64_t count = sample_count(samples, limit_);
    std::vector<std::int64_t> predictions[2];
    for (int i = 0; i < 2; ++i) predictions[i] = predict(*engines[i], models[i], samples, preparing[i], count);
    FidelityMeter meter;
    const double largest = compare_layers(models, engines, preparing, samples, meter);

    document["a"] = files_[0];
    document["b"] = files_[1];
    document["count"] = count;
    document["agreement"] = agreement(predictions[0], predictions[1]);
    document["value_a"] = accuracy(predictions[0], samples);
    document["value_b"] = accuracy(predictions[1], samples);
    document["max_abs_difference"] = layer_samples_ == 0 ? nlohmann::ordered_json() : number(largest);
    document["input_from"] = silent < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(files_[1 - silent]);
    document["layer_samples"] = std::min(layer_samples_, sample_count(samples, 0));
    document["layers"] = nlohmann::ordered_json::array();
    for (const ValueFidelity& layer : meter.result())
      document["layers"].push_back(
          {{"name", layer.name}, {"sqnr_db", number(layer.sqnr_db)}, {"equal", layer.equal}, {"fitted", layer.fitted}});
    const CodeAgreement& codes = meter.codes();
    document["codes"] = {{"count", codes.count}, {"off_by_one", codes.by_one}, {"off_by_more", codes.by_more}};
    const std::string first = meter.first_difference();
    document["first_difference"] = first.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(first);
    if (!json && silent >= 0)
      fmt::print("{} does not say how its input is made: mean and std are those of {}\n", files_[silent],
                 files_[1 - silent]);
    if (!json) print(document, meter);
    return document["agreement"].get<double>() >= least_ ? done : not_met;
  }

 private:
  int run_text(bool json, nlohmann::ordered_json& document) {
    const LoadedModel a = load_model(files_[0]), b = load_model(files_[1]);
    const Text text = text_for(a, data_, split_ == "validation" ? Split::validation : parse_split(split_));
    const TextComparison compared =
        compare_text(text, limit_, text_runner(engine_, a, threads_), text_runner(engine_, b, threads_));
    document["a"] = files_[0];
    document["b"] = files_[1];
    document["count"] = compared.a.count;
    document["metric"] = "perplexity";
    document["agreement"] = compared.free_agreement;
    document["step_agreement"] =
        compared.step_agreement ? nlohmann::ordered_json(*compared.step_agreement) : nlohmann::ordered_json();
    document["value_a"] = compared.a.value;
    document["value_b"] = compared.b.value;
    document["max_abs_difference"] = number(compared.largest);
    if (!json) print(compared);
    return compared.free_agreement >= least_ ? done : not_met;
  }

  void print(const TextComparison& compared) const {
    fmt::print("A {}: perplexity {:.3f}\nB {}: perplexity {:.3f}\n\n", files_[0], compared.a.value, files_[1],
               compared.b.value);
    Table table({{"B's state"}, {"equal predictions %", Table::Align::right}});
    table.row({"its own, carried along the text", fixed(compared.free_agreement, 2)});
    table.row({"A's, at every token", compared.step_agreement ? fixed(*compared.step_agreement, 2) : "other states"});
    fmt::print("{}\n{} tokens; largest difference of a logit{}: {:.6g}\n", table.text(), grouped(compared.a.count),
               compared.step_agreement ? " from the same state" : "", compared.largest);
  }

  std::string packed_engine() const { return engine_ == "torch" ? "program" : engine_; }

  static bool says_input(const LoadedModel& model) {
    return model.metadata().contains("nnq.input.mean") || model.metadata().contains("nnq.input.std");
  }

  /// The model (0 or 1) that says nothing of its input while the other does and --mean, --std do not; else -1. It would
  /// be fed raw pixels beside a model that is not.
  int without_input(const LoadedModel (&models)[2]) const {
    if (!mean_.empty() && !std_.empty()) return -1;
    if (says_input(models[0]) == says_input(models[1])) return -1;
    return says_input(models[0]) ? 1 : 0;
  }

  static std::map<std::string, std::string> input_metadata(const LoadedModel (&models)[2], int i, int silent) {
    std::map<std::string, std::string> metadata = models[i].metadata();
    if (i != silent) return metadata;
    for (const char* key : {"nnq.input.mean", "nnq.input.std"})
      if (const auto it = models[1 - i].metadata().find(key); it != models[1 - i].metadata().end())
        metadata[key] = it->second;
    return metadata;
  }

  /// JSON has no infinities: null stands for "no noise at all".
  static nlohmann::ordered_json number(double value) {
    return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
  }

  /// Largest difference of the outputs over the samples of the layers.
  double compare_layers(const LoadedModel (&models)[2], const std::unique_ptr<Engine> (&engines)[2],
                        const Preprocessing (&preparing)[2], const Samples& samples, FidelityMeter& meter) const {
    std::int64_t batch = 8;
    for (const LoadedModel& model : models) {
      const ModelPort port = model.inputs().at(0);
      if (port.type.ranked && !port.type.shape.empty() && port.type.shape[0].known()) batch = port.type.shape[0].value;
    }
    const std::int64_t count = std::min(layer_samples_, sample_count(samples, 0));
    Progress progress("layers", count);
    double largest = 0;
    for (std::int64_t first = 0; first < count; first += batch) {
      std::vector<std::int64_t> indices(static_cast<std::size_t>(batch));
      std::iota(indices.begin(), indices.end(), first);
      for (std::int64_t& index : indices) index = std::min(index, sample_count(samples, 0) - 1);
      const auto run = [&](int i) {
        return engines[i]->run(make_batch(models[i], samples, preparing[i], indices),
                               [&](const std::string& name, const Tensor& value, Holds holds) {
                                 i == 0 ? meter.see_a(name, value, holds) : meter.see_b(name, value, holds);
                               });
      };
      const std::vector<Tensor> a = run(0), b = run(1);
      largest = std::max(largest, largest_difference(a, b));
      meter.end_batch();
      progress.advance(batch);
    }
    return largest;
  }

  void print(const nlohmann::ordered_json& document, const FidelityMeter& meter) const {
    fmt::print("A {}: {:.2f} %\nB {}: {:.2f} %\n\n", files_[0], document["value_a"].get<double>(), files_[1],
               document["value_b"].get<double>());
    if (layer_samples_ == 0) {
      fmt::print("predictions of {} samples agree: {:.2f} %\nlayers were not compared (--layer-samples 0)\n",
                 grouped(document["count"].get<std::int64_t>()), document["agreement"].get<double>());
      return;
    }
    bool any_fitted = false;
    Table table({{"value, worst first"}, {"SQNR dB", Table::Align::right}, {"equal"}});
    for (const ValueFidelity& layer : meter.result()) {
      any_fitted = any_fitted || layer.fitted;
      const std::string db = std::isfinite(layer.sqnr_db) ? fixed(layer.sqnr_db, 1) + (layer.fitted ? "*" : " ") : "- ";
      table.row({layer.name, db, layer.equal ? "yes" : "no"});
    }
    fmt::print("{}", table.text());
    if (any_fitted) fmt::print("* codes against real values, after the one scale that fits best\n");
    fmt::print("\npredictions of {} samples agree: {:.2f} %\nlargest difference of an output: {:.6g} ({} samples)\n",
               grouped(document["count"].get<std::int64_t>()), document["agreement"].get<double>(),
               document["max_abs_difference"].is_null() ? NAN : document["max_abs_difference"].get<double>(),
               document["layer_samples"].get<std::int64_t>());
    if (const CodeAgreement& codes = meter.codes(); codes.count > 0) {
      const auto share = [&](std::int64_t n) {
        return 100 * static_cast<double>(n) / static_cast<double>(codes.count);
      };
      fmt::print("activation codes that differ: {:.4f} % by one level, {:.4f} % by more (of {})\n", share(codes.by_one),
                 share(codes.by_more), grouped(codes.count));
    }
    const std::string first = meter.first_difference();
    fmt::print("first difference: {}\n", first.empty() ? "none" : first);
  }

  std::string files_[2], data_, split_ = "test", engine_ = "graph";
  std::int64_t limit_ = 1000, layer_samples_ = 16;
  int threads_ = 0;
  double least_ = 0;
  std::vector<float> mean_, std_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(compare) { return std::make_unique<nnq::cli::Compare>(); }
