#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "cli/engine.h"
#include "cli/numbers.h"
#include "cli/table.h"
#include "cli/text_engine.h"
#include "cli/verb.h"
#include "core/progress.h"
#include "data/normalisation.h"

namespace nnq::cli {
namespace {

class Evaluate final : public Verb {
 public:
  std::string name() const override { return "evaluate"; }
  std::string summary() const override {
    return "accuracy of a model (.onnx or .nnq) on images, or its perplexity on text";
  }
  std::vector<std::string> examples() const override {
    return {"nnq evaluate model.nnq --data fashion_mnist", "nnq evaluate model.onnx --data cifar10 --limit 1000",
            "nnq evaluate lstm.nnq --data ptb",
            "nnq evaluate other.onnx --data images:photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.onnx or .nnq)")->required();
    app.add_option("--data", data_, "data set (nnq data)")->required();
    app.add_option("--split", split_, "train or test; text: also validation")->capture_default_str();
    app.add_option("--limit", limit_, "only the first so many samples or tokens (0: all)")->check(whole_number());
    app.add_option("--threads", threads_, "threads (0: all cores); results do not depend on it")
        ->check(CLI::Range(0, 1024));
    app.add_option("--engine", engine_,
                   "auto, graph (as training computes it), torch, program (packed runtime) or interpreter (reference)")
        ->capture_default_str();
    app.add_option("--mean", mean_, "input mean, one value or one a channel (default: the model's own)")
        ->delimiter(',');
    app.add_option("--std", std_, "input standard deviation, likewise")->delimiter(',');
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (is_text(data_)) return run_text(json, document);
    const Split split = parse_split(split_);
    const LoadedModel model = load_model(file_);
    Preprocessing preprocessing = preprocessing_for(model.metadata(), mean_, std_);
    const Samples samples = load_dataset(data_, split);
    const std::unique_ptr<Engine> engine = make_engine(engine_, model, threads_);
    if (mean_.empty() && std_.empty() && !model.metadata().contains("nnq.input.mean"))
      preprocessing = find_normalisation(samples, [&](const Tensor& input) { return logits(*engine, model, input); });
    const std::int64_t count = sample_count(samples, limit_);
    const auto begin = std::chrono::steady_clock::now();
    const std::vector<std::int64_t> predictions = predict(*engine, model, samples, preprocessing, count);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double value = accuracy(predictions, samples);
    document["model"] = file_;
    document["data"] = data_;
    document["split"] = split_;
    document["count"] = count;
    document["metric"] = "accuracy";
    document["value"] = value;
    document["engine"] = engine->name();
    document["seconds"] = seconds;
    if (json) return done;
    Table table({{"model"},
                 {"data"},
                 {"images", Table::Align::right},
                 {"accuracy %", Table::Align::right},
                 {"engine"},
                 {"time", Table::Align::right}});
    table.row({file_, data_ + " " + split_, grouped(count), fixed(value, 2), engine->name(), duration_text(seconds)});
    fmt::print("{}", table.text());
    return done;
  }

 private:
  int run_text(bool json, nlohmann::ordered_json& document) {
    const LoadedModel model = load_model(file_);
    const Text text = text_for(model, data_, split_ == "validation" ? Split::validation : parse_split(split_));
    const auto begin = std::chrono::steady_clock::now();
    const Perplexity measured = perplexity(engine_, model, text, limit_, threads_);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const std::string engine = text_engine(engine_, model);
    document["model"] = file_;
    document["data"] = data_;
    document["split"] = split_;
    document["count"] = measured.count;
    document["metric"] = "perplexity";
    document["value"] = measured.value;
    document["engine"] = engine;
    document["seconds"] = seconds;
    if (json) return done;
    Table table({{"model"},
                 {"data"},
                 {"tokens", Table::Align::right},
                 {"perplexity", Table::Align::right},
                 {"engine"},
                 {"time", Table::Align::right}});
    table.row({file_, data_ + " " + split_, grouped(measured.count), fixed(measured.value, 3), engine,
               duration_text(seconds)});
    fmt::print("{}", table.text());
    return done;
  }

  /// First output over a whole batch, in pieces where the model's batch is fixed.
  static Tensor logits(Engine& engine, const LoadedModel& model, const Tensor& input) {
    const ValueType type = model.inputs()[0].type;
    if (!type.ranked || type.shape.empty() || !type.shape[0].known()) return engine.run(input)[0];
    const std::int64_t batch = type.shape[0].value, count = input.shape()[0] / batch;
    const std::size_t bytes =
        input.bytes() / static_cast<std::size_t>(input.shape()[0]) * static_cast<std::size_t>(batch);
    std::vector<float> all;
    for (std::int64_t i = 0; i < count; ++i) {
      Shape shape = input.shape();
      shape[0] = batch;
      Tensor piece(input.dtype(), shape);
      std::memcpy(piece.mutable_data(), input.data() + static_cast<std::size_t>(i) * bytes, bytes);
      const std::vector<float> values = engine.run(piece)[0].to_float();
      all.insert(all.end(), values.begin(), values.end());
    }
    all.resize(all.size() / static_cast<std::size_t>(std::max<std::int64_t>(count * batch, 1)) *
               static_cast<std::size_t>(input.shape()[0]));  // samples of an incomplete batch count as class 0
    const auto n = input.shape()[0];
    return Tensor::of<float>({n, static_cast<std::int64_t>(all.size()) / n}, all);
  }

  std::string file_, data_, split_ = "test", engine_ = "auto";
  std::int64_t limit_ = 0;
  int threads_ = 0;
  std::vector<float> mean_, std_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(evaluate) { return std::make_unique<nnq::cli::Evaluate>(); }
