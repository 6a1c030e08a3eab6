#include <fmt/format.h>

#include <algorithm>

#include "cli/float_twin.h"
#include "cli/kernel_benchmark.h"
#include "cli/models.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "cli/weights_cache_option.h"
#include "nnq/error.h"
#include "nnq/program.h"
#include "runtime/roofline.h"

namespace nnq::cli {
namespace {

constexpr auto right = Table::Align::right;

/// A step as it is shown: what the runtime says, its share of the roofline, and the same layer in float.
struct Row {
  StepInfo step;
  Roofline::Bound roof;
  double float_microseconds = 0;  // 0: not a layer

  double gops() const {
    return step.median_microseconds > 0 ? static_cast<double>(step.operations) / step.median_microseconds / 1e3 : 0;
  }
  double roof_percent() const { return roof.percent(step.best_microseconds); }
  bool slower_than_float() const { return float_microseconds > 0 && float_microseconds < step.best_microseconds; }
};

/// Long names lose their middle.
std::string shortened(const std::string& name) {
  constexpr std::size_t most = 30, part = 14;
  return name.size() <= most ? name : name.substr(0, part) + "\u2026" + name.substr(name.size() - part);
}

/// The first few of many names.
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < 3; ++i) text += (i > 0 ? ", " : "") + shortened(names[i]);
  return names.size() > 3 ? fmt::format("{} and {} more", text, names.size() - 3) : text;
}

class Benchmark final : public Verb {
 public:
  std::string name() const override { return "benchmark"; }
  std::string summary() const override { return "time a model step by step, or the kernels of this machine"; }
  std::vector<std::string> examples() const override {
    return {"nnq benchmark model.nnq", "nnq benchmark model.onnx --batch 8 --threads 2 --verbose",
            "nnq benchmark model.nnq --autotune", "NNQ_ISA=portable nnq benchmark model.nnq", "nnq benchmark kernels"};
  }
  void options(CLI::App& app) override {
    app_ = &app;
    app.add_option("MODEL", file_, "model (.nnq; an .onnx is lowered on the fly), or the word kernels")->required();
    app.add_option("--batch", batch_, "samples a run")->capture_default_str()->check(CLI::Range(1, 1 << 20));
    app.add_option("--threads", threads_, "threads")->capture_default_str()->check(CLI::Range(1, 1024));
    app.add_option("--repeat", repeat_, "runs; medians are shown")
        ->capture_default_str()
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--shape", shapes_, "shape of an input with free dimensions: NAME=1,3,32,32 (repeatable)");
    app.add_flag("--autotune", autotune_, "time the kernels that could run a layer and take the fastest (remembered)");
    add_weights_cache(app, weights_cache_);
    app.add_flag("--verbose", verbose_, "say for every step which faster kernels declined, and why");
  }

  int run(bool json, nlohmann::ordered_json& document) override {
    if (file_ == "kernels") {
      for (const char* option : {"--batch", "--threads", "--repeat", "--shape", "--autotune", "--weights-cache"}) {
        if (app_->count(option) > 0) throw Error(std::string(option) + " is for models, not for kernels");
      }
      return benchmark_kernels(json, document);
    }
    if (app_->count("--batch") > 0 && !shapes_.empty())
      throw Error("--batch and --shape both say how many samples a run has", {}, "give one of them");
    const LoadedModel model = load_model(file_);
    const std::shared_ptr<const Model> deployed = model.deployed();
    const std::unique_ptr<Session> session =
        make_session(deployed, {.threads = threads_, .autotune = autotune_, .weights_cache = weights_cache_}, file_);
    const auto shapes = input_shapes(deployed->inputs(), parse_shapes(shapes_, deployed->inputs()), batch_);
    const std::vector<Tensor> inputs = random_inputs(deployed->inputs(), shapes, 1);
    std::vector<StepInfo> steps;
    double milliseconds = 0;
    throw_if_error(session->profile(inputs, repeat_, steps, milliseconds), file_);
    print_notes(*session);
    std::int64_t working_set = static_cast<std::int64_t>(session->peak_bytes());
    for (const StepInfo& step : steps) working_set += step.weight_bytes;
    const Roofline roofline(measure_ceilings(active_isa()), working_set, threads_);
    FloatTwins twins(threads_);
    std::vector<Row> rows;
    for (const StepInfo& step : steps)
      rows.push_back({step, roofline.of(step), twins.microseconds(deployed->program(), step)});
    document["model"] = file_;
    document["threads"] = threads_;
    document["isa"] = session->isa();
    document["batch"] = shapes.empty() || shapes[0].empty() ? batch_ : shapes[0][0];
    document["median_ms"] = milliseconds;
    document["peak_bytes"] = session->peak_bytes();
    document["steps"] = nlohmann::ordered_json::array();
    for (const Row& row : rows) document["steps"].push_back(entry_of(row));
    document["ceilings"] = described(roofline.ceilings());
    if (json) return done;
    print(*session, rows, milliseconds, document["batch"].get<std::int64_t>());
    print_ceilings(roofline);
    print_float(rows);
    print_refused(rows);
    return done;
  }

 private:
  static nlohmann::ordered_json entry_of(const Row& row) {
    nlohmann::ordered_json entry = {{"name", row.step.name},
                                    {"kind", row.step.kind},
                                    {"kernel", row.step.kernel},
                                    {"median_us", row.step.median_microseconds},
                                    {"gops", row.gops()},
                                    {"bytes", row.step.activation_bytes + row.step.weight_bytes},
                                    {"weight_bytes", row.step.weight_bytes},
                                    {"bound", row.roof.by},
                                    {"roofline_percent", nullptr},
                                    {"float_us", nullptr},
                                    {"refused", row.step.refused}};
    if (row.roof_percent() > 0) entry["roofline_percent"] = row.roof_percent();
    if (row.float_microseconds > 0) entry["float_us"] = row.float_microseconds;
    return entry;
  }

  void print(const Session& session, const std::vector<Row>& rows, double milliseconds, std::int64_t batch) const {
    double sum = 0;
    std::int64_t operations = 0;
    for (const Row& row : rows) {
      sum += row.step.median_microseconds;
      operations += row.step.operations;
    }
    Table table({{"step"},
                 {"kernel"},
                 {"µs", right},
                 {"share %", right},
                 {"GOP/s", right},
                 {"roof %", right},
                 {"roof"},
                 {"float µs", right}});
    for (const Row& row : rows) {
      const StepInfo& step = row.step;
      const bool plain = step.kernel == "reference";
      table.row({shortened(step.name), plain ? step.kind + " (reference)" : step.kernel,
                 fixed(step.median_microseconds, 1), fixed(sum > 0 ? 100 * step.median_microseconds / sum : 0, 1),
                 step.operations > 0 ? fixed(row.gops(), 1) : "",
                 row.roof_percent() > 0 ? fixed(row.roof_percent(), 0) : "", row.roof.by,
                 row.float_microseconds > 0 ? fixed(row.float_microseconds, 1) : ""});
    }
    table.rule();
    const double total = milliseconds > 0 ? static_cast<double>(operations) / milliseconds / 1e6 : 0;
    table.row({"whole run", fmt::format("{} steps, {}", rows.size(), session.isa()), fixed(1000 * milliseconds, 1), "",
               fixed(total, 1)});
    fmt::print("{}\n{:.3f} ms a run of batch {}, {} thread{}, median of {}; planned memory {}\n", table.text(),
               milliseconds, batch, threads_, threads_ == 1 ? "" : "s", repeat_,
               bytes_text(static_cast<double>(session.peak_bytes())));
  }

  static void print_ceilings(const Roofline& roofline) {
    std::string compute, memory;
    for (const Ceiling& c : roofline.ceilings()) {
      std::string& to = c.kind == CeilingKind::bandwidth ? memory : compute;
      const std::string what =
          c.kind == CeilingKind::bandwidth ? c.name : fmt::format("{} {}", name_of(c.kind), name_of(c.isa));
      to += fmt::format("{}{} {:.0f}", to.empty() ? "" : ", ", what, c.value);
    }
    fmt::print("roof % and float µs: best runs; ceilings of this run, one core: {}{} GB/s\n",
               compute.empty() ? "" : compute + " GOP/s; ", memory);
  }

  static void print_float(const std::vector<Row>& rows) {
    std::string slower;
    for (const Row& row : rows) {
      if (row.slower_than_float())
        slower += fmt::format("  {}: {:.1f} µs, in float {:.1f} µs\n", row.step.name, row.step.best_microseconds,
                              row.float_microseconds);
    }
    const bool layers = std::any_of(rows.begin(), rows.end(), [](const Row& r) { return r.float_microseconds > 0; });
    if (!slower.empty()) fmt::print("\nfloat would be faster:\n{}", slower);
    if (slower.empty() && layers) fmt::print("no layer would be faster in float\n");
  }

  void print_refused(const std::vector<Row>& rows) const {
    std::vector<std::pair<std::string, std::vector<std::string>>> reasons;  // in order of appearance
    std::string each;
    for (const Row& row : rows) {
      for (const std::string& reason : row.step.refused) {
        auto at = std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == reason; });
        if (at == reasons.end()) at = reasons.insert(at, {reason, {}});
        at->second.push_back(row.step.name);
        each += fmt::format("  {}: {}\n", row.step.name, reason);
      }
    }
    if (verbose_) {
      fmt::print("\nfaster kernels that declined:{}\n{}", each.empty() ? " none" : "", each);
      return;
    }
    if (reasons.empty()) return;
    Table table({{"faster kernel that declined, and why"}, {"steps", right}, {""}});
    for (const auto& [reason, names] : reasons) table.row({reason, std::to_string(names.size()), listed(names)});
    fmt::print("\n{}", table.text());
  }

  CLI::App* app_ = nullptr;
  std::string file_, weights_cache_;
  std::int64_t batch_ = 1;
  int threads_ = 1, repeat_ = 50;
  std::vector<std::string> shapes_;
  bool verbose_ = false, autotune_ = false;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(benchmark) { return std::make_unique<nnq::cli::Benchmark>(); }
