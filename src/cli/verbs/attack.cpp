#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/numbers.h"
#include "cli/robustness.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "core/progress.h"
#include "report/line_plot.h"

namespace nnq::cli {
namespace {

using nlohmann::ordered_json;

/// A model's name in a picture: its file's, or its run's where the file is a run's "model".
std::string short_name(const std::string& file) {
  const std::filesystem::path path(file);
  const std::string stem = path.stem().string(), folder = path.parent_path().filename().string();
  return stem == "model" && !folder.empty() ? folder : stem;
}

/// A budget as people write it: "8/255" where it is one.
std::string budget_text(double epsilon) {
  if (epsilon == 0) return "none";
  const double levels = epsilon * 255;
  if (std::abs(levels - std::round(levels)) < 1e-9) return fmt::format("{:.0f}/255", levels);
  return fmt::format("{:.4g}", epsilon);
}

ordered_json to_json(const std::string& model, const std::string& backend, const AttackRow& row) {
  return {{"model", model},
          {"attack", row.attack},
          {"epsilon", row.epsilon > 0 ? ordered_json(row.epsilon) : ordered_json(nullptr)},
          {"count", row.count},
          {"clean", row.clean},
          {"robust", row.robust},
          {"backend", backend},
          {"black_box", row.black_box},
          {"mean_l2", row.mean_l2},
          {"mean_linf", row.mean_linf},
          {"max_linf", row.max_linf},
          {"queries", row.queries},
          {"seconds", row.seconds}};
}

ordered_json to_json(const std::string& model, const MaskingDiagnosis& d) {
  if (!d.done) return nullptr;
  return {{"model", model},
          {"masked", d.masked},
          {"count", d.count},
          {"epsilon", d.epsilon},
          {"zero_gradient", d.zero_gradient},
          {"saturated", d.saturated},
          {"loss_growth", d.loss_growth},
          {"fgsm_survive", d.fgsm_survive},
          {"tempered_survive", d.tempered_survive},
          {"margin_survive", d.margin_survive},
          {"noise_survive", d.noise_survive},
          {"large_survive", d.large_survive},
          {"transfer_gain", d.transfer_gain},
          {"finding", d.finding},
          {"next", d.next}};
}

class Attack final : public Verb {
 public:
  std::string name() const override { return "attack"; }
  std::string summary() const override { return "robustness: accuracy of models under adversarial attack"; }
  std::vector<std::string> examples() const override {
    return {"nnq attack model.onnx --attack fgsm,pgd --epsilon 8/255 --set steps=20",
            "nnq attack model.nnq --attack pgd --epsilon 1/255,2/255,4/255 --curve curve.svg",
            "nnq attack model.nnq --source float.onnx --data fashion_mnist --limit 500",
            "nnq attack model.nnq --attack substitute --epsilon 0.1", "nnq methods pgd"};
  }
  void options(CLI::App& app) override {
    app.add_option("MODEL", files_, "models: .onnx (float, training form or frozen) or .nnq")->required();
    app.add_option("--attack", settings_.attacks, fmt::format("attacks: {}", fmt::join(known_attacks(), ", ")))
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--epsilon", settings_.epsilons, "largest change of a pixel in 0..1, or several")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--set", settings_.parameters, "parameter of the attacks: KEY=VALUE (repeatable; nnq methods NAME)");
    app.add_option("--data", settings_.data, "data set (default: the one the model was trained on)");
    app.add_option("--limit", settings_.limit, "only the first so many test images (0: all)")
        ->check(whole_number())
        ->capture_default_str();
    app.add_option("--source", settings_.source, "transfer: take gradients of this .onnx instead");
    app.add_option("--backend", settings_.backend, "predictions: executor (LibTorch), runtime (packed integers), auto")
        ->capture_default_str();
    app.add_option("--gradient", settings_.gradient, "through quantized activations: own, mask, clip, smooth")
        ->capture_default_str();
    app.add_option("--beta", settings_.beta, "smooth: sign is differentiated as tanh(beta x)")->capture_default_str();
    app.add_option("--draws", settings_.draws, "stochastic networks: passes to average over");
    app.add_option("--seed", settings_.seed, "of random starts, draws and substitutes")->check(whole_number());
    app.add_option("--threads", settings_.threads, "threads (0: all cores); results do not depend on it")
        ->check(CLI::Range(0, 1024));
    app.add_option("--curve", curve_, "write accuracy over epsilon as a picture (.svg)");
    app.add_option("--mean", settings_.mean, "input mean, one value or one a channel (default: the model's own)")
        ->delimiter(',');
    app.add_option("--std", settings_.std, "input standard deviation, likewise")->delimiter(',');
    app.add_flag("!--no-diagnosis", settings_.diagnose, "do not look for gradient masking");
  }

  int run(bool json, ordered_json& document) override {
    if (!curve_.empty()) throw_if_error(check_output(curve_, {}, ".svg"));
    std::vector<AttackReport> reports;
    for (const std::string& file : files_) reports.push_back(attack_file(file, settings_));
    fill(document, reports);
    if (!curve_.empty()) write_file_atomically(curve_, to_svg(plot(reports)));
    if (!json) print(reports);
    return done;
  }

 private:
  void fill(ordered_json& document, const std::vector<AttackReport>& reports) const {
    // The first model's worst row stands for the whole.
    const auto& first = reports.front().rows;
    const AttackRow& worst = *std::min_element(
        first.begin(), first.end(), [](const AttackRow& a, const AttackRow& b) { return a.robust < b.robust; });
    document.update(to_json(files_.front(), reports.front().backend, worst));
    document["results"] = ordered_json::array();
    document["diagnoses"] = ordered_json::array();
    for (std::size_t i = 0; i < reports.size(); ++i) {
      for (const AttackRow& row : reports[i].rows)
        document["results"].push_back(to_json(files_[i], reports[i].backend, row));
      document["diagnoses"].push_back(to_json(files_[i], reports[i].diagnosis));
    }
    if (!curve_.empty()) document["curve"] = curve_;
  }

  void print(const std::vector<AttackReport>& reports) const {
    constexpr auto right = Table::Align::right;
    Table table({{"model"},
                 {"attack"},
                 {"epsilon", right},
                 {"images", right},
                 {"clean %", right},
                 {"robust %", right},
                 {"mean L2", right},
                 {"mean Linf", right},
                 {"queries", right},
                 {"time", right}});
    for (std::size_t i = 0; i < reports.size(); ++i) {
      for (const AttackRow& row : reports[i].rows)
        table.row({files_[i], row.attack + (row.black_box ? " (black box)" : ""), budget_text(row.epsilon),
                   grouped(row.count), fixed(row.clean, 2), fixed(row.robust, 2), fixed(row.mean_l2, 3),
                   fixed(row.mean_linf, 4), fixed(row.queries, 1), duration_text(row.seconds)});
    }
    fmt::print("{}", table.text());
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const MaskingDiagnosis& d = reports[i].diagnosis;
      if (d.done) fmt::print("\n{}: {}\nnext: {}\n", files_[i], d.finding, d.next);
    }
    if (!curve_.empty()) fmt::print("\nwritten: {}\n", curve_);
  }

  LinePlot plot(const std::vector<AttackReport>& reports) const {
    LinePlot plot;
    plot.title = "accuracy under attack";
    plot.x_label = "epsilon (largest change of a pixel, in 1/255)";
    plot.y_label = "accuracy, %";
    plot.y_low = 0;
    plot.y_high = 100;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      for (const std::string& attack : settings_.attacks) {
        PlotSeries series{files_.size() > 1 ? short_name(files_[i]) + ", " + attack : attack, {}};
        for (const AttackRow& row : reports[i].rows) {
          if (row.attack != attack || row.epsilon == 0) continue;
          if (series.points.empty()) series.points.emplace_back(0, row.clean);
          series.points.emplace_back(255 * row.epsilon, row.robust);
        }
        std::sort(series.points.begin(), series.points.end());
        if (!series.points.empty()) plot.series.push_back(std::move(series));
      }
    }
    return plot;
  }

  std::vector<std::string> files_;
  std::string curve_;
  AttackSettings settings_;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(attack) { return std::make_unique<nnq::cli::Attack>(); }
