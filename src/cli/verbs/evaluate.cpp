#include <fmt/format.h>

#include <chrono>

#include "cli/engine.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/progress.h"

namespace nnq::cli {
namespace {

class Evaluate final : public Verb {
 public:
  std::string name() const override { return "evaluate"; }
  std::string summary() const override { return "accuracy of a model (.onnx or .nnq) on a data set"; }
  std::vector<std::string> examples() const override {
    return {"nnq evaluate model.nnq --data fashion_mnist", "nnq evaluate model.onnx --data cifar10 --limit 1000",
            "nnq evaluate other.onnx --data images:photos --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.onnx or .nnq)")->required();
    app.add_option("--data", data_, "data set (nnq data)")->required();
    app.add_option("--split", split_, "train or test")->capture_default_str();
    app.add_option("--limit", limit_, "only the first so many samples (0: all)")->check(CLI::NonNegativeNumber);
    app.add_option("--threads", threads_, "threads (0: all cores); results do not depend on it")
        ->check(CLI::Range(0, 1024));
    app.add_option("--engine", engine_, "auto, torch, program (packed runtime) or interpreter (reference)")
        ->capture_default_str();
    app.add_option("--mean", mean_, "input mean, one value or one a channel (default: the model's own)")
        ->delimiter(',');
    app.add_option("--std", std_, "input standard deviation, likewise")->delimiter(',');
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    const Split split = parse_split(split_);
    const LoadedModel model = load_model(file_);
    const Preprocessing preprocessing = preprocessing_for(model.metadata(), mean_, std_);
    if (mean_.empty() && std_.empty() && !model.metadata().contains("nnq.input.mean"))
      fmt::print(stderr,
                 "nnq evaluate: the model does not say its input normalisation, so pixels go in as 0 .. 1; --mean and "
                 "--std set it\n");
    const Samples samples = load_dataset(data_, split);
    const std::unique_ptr<Engine> engine = make_engine(engine_, model, threads_);
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
  std::string file_, data_, split_ = "test", engine_ = "auto";
  std::int64_t limit_ = 0;
  int threads_ = 0;
  std::vector<float> mean_, std_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(evaluate) { return std::make_unique<nnq::cli::Evaluate>(); }
