#include <fmt/format.h>

#include "cli/kernel_benchmark.h"
#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

constexpr auto right = Table::Align::right;

double gops(const StepInfo& step) {
  return step.median_microseconds > 0 ? static_cast<double>(step.operations) / step.median_microseconds / 1e3 : 0;
}

class Benchmark final : public Verb {
 public:
  std::string name() const override { return "benchmark"; }
  std::string summary() const override { return "time a model step by step, or the kernels of this machine"; }
  std::vector<std::string> examples() const override {
    return {"nnq benchmark model.nnq", "nnq benchmark model.onnx --batch 8 --threads 2 --verbose",
            "NNQ_ISA=portable nnq benchmark model.nnq", "nnq benchmark kernels"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", file_, "model (.nnq; an .onnx is lowered on the fly), or the word kernels")->required();
    app.add_option("--batch", batch_, "samples a run")->capture_default_str()->check(CLI::Range(1, 1 << 20));
    app.add_option("--threads", threads_, "threads")->capture_default_str()->check(CLI::Range(1, 1024));
    app.add_option("--repeat", repeat_, "runs; medians are shown")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--shape", shapes_, "shape of an input with free dimensions: NAME=1,3,32,32 (repeatable)");
    app.add_flag("--verbose", verbose_, "also say which faster kernels declined, and why");
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (file_ == "kernels") return benchmark_kernels(json, document);
    const LoadedModel model = load_model(file_);
    const std::shared_ptr<const Model> deployed = model.deployed();
    const std::unique_ptr<Session> session = make_session(deployed, threads_, file_);
    const auto shapes = input_shapes(deployed->inputs(), parse_shapes(shapes_, deployed->inputs()), batch_);
    const std::vector<Tensor> inputs = random_inputs(deployed->inputs(), shapes, 1);
    std::vector<StepInfo> steps;
    double milliseconds = 0;
    throw_if_error(session->profile(inputs, repeat_, steps, milliseconds), file_);
    document["model"] = file_;
    document["threads"] = threads_;
    document["isa"] = session->isa();
    document["batch"] = shapes.empty() || shapes[0].empty() ? batch_ : shapes[0][0];
    document["median_ms"] = milliseconds;
    document["peak_bytes"] = session->peak_bytes();
    document["steps"] = nlohmann::ordered_json::array();
    for (const StepInfo& step : steps) {
      document["steps"].push_back({{"name", step.name},
                                   {"kind", step.kind},
                                   {"kernel", step.kernel},
                                   {"median_us", step.median_microseconds},
                                   {"gops", gops(step)},
                                   {"weight_bytes", step.weight_bytes},
                                   {"refused", step.refused}});
    }
    if (!json) print(*session, steps, milliseconds, document["batch"].get<std::int64_t>());
    return done;
  }

 private:
  void print(const Session& session, const std::vector<StepInfo>& steps, double milliseconds,
             std::int64_t batch) const {
    double sum = 0;
    std::int64_t operations = 0, weight_bytes = 0;
    for (const StepInfo& step : steps) {
      sum += step.median_microseconds;
      operations += step.operations;
      weight_bytes += step.weight_bytes;
    }
    Table table({{"step"},
                 {"kind"},
                 {"kernel"},
                 {"median µs", right},
                 {"GOPS", right},
                 {"weights", right},
                 {"share %", right}});
    for (const StepInfo& step : steps) {
      table.row({step.name, step.kind, step.kernel, fixed(step.median_microseconds, 1),
                 step.operations > 0 ? fixed(gops(step), 1) : "",
                 step.weight_bytes > 0 ? bytes_text(static_cast<double>(step.weight_bytes)) : "",
                 fixed(sum > 0 ? 100 * step.median_microseconds / sum : 0, 1)});
    }
    table.rule();
    const double total = milliseconds > 0 ? static_cast<double>(operations) / milliseconds / 1e6 : 0;
    table.row({"whole run", fmt::format("{} steps", steps.size()), session.isa(), fixed(1000 * milliseconds, 1),
               fixed(total, 1), bytes_text(static_cast<double>(weight_bytes)), ""});
    fmt::print("{}\n{:.3f} ms a run of batch {}, {} thread{}, median of {}; planned memory {}\n", table.text(),
               milliseconds, batch, threads_, threads_ == 1 ? "" : "s", repeat_,
               bytes_text(static_cast<double>(session.peak_bytes())));
    if (!verbose_) return;
    std::string declined;
    for (const StepInfo& step : steps) {
      for (const std::string& reason : step.refused) declined += fmt::format("  {}: {}\n", step.name, reason);
    }
    fmt::print("\nfaster kernels that declined:{}\n{}", declined.empty() ? " none" : "", declined);
  }

  std::string file_;
  std::int64_t batch_ = 1;
  int threads_ = 1, repeat_ = 50;
  std::vector<std::string> shapes_;
  bool verbose_ = false;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(benchmark) { return std::make_unique<nnq::cli::Benchmark>(); }
