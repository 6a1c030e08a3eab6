#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "core/text.h"
#include "nnq/error.h"

namespace nnq::train {
namespace {

const std::vector<std::string>& kinds() {
  static const std::vector<std::string> names{"constant", "step", "multistep", "cosine", "exponential", "plateau"};
  return names;
}

/// Times that `patience` epochs in a row brought no new best; the count begins anew after each.
std::int64_t plateaus(std::int64_t patience, std::span<const double> scores) {
  double best = -std::numeric_limits<double>::infinity();
  std::int64_t waiting = 0, found = 0;
  for (const double score : scores) {
    if (score > best) {
      best = score;
      waiting = 0;
    } else if (++waiting == patience) {
      waiting = 0;
      ++found;
    }
  }
  return found;
}

double decay(const ScheduleOptions& options, double epoch, double share, std::span<const double> scores) {
  if (options.kind == "step") return std::pow(options.gamma, std::floor(epoch / static_cast<double>(options.every)));
  if (options.kind == "multistep") {
    const auto passed = std::count_if(options.milestones.begin(), options.milestones.end(),
                                      [&](std::int64_t m) { return static_cast<double>(m) <= epoch; });
    return std::pow(options.gamma, static_cast<double>(passed));
  }
  if (options.kind == "cosine")
    return options.final_factor + (1 - options.final_factor) * (1 + std::cos(std::numbers::pi * share)) / 2;
  if (options.kind == "exponential") return std::pow(options.final_factor, share);
  if (options.kind == "plateau")
    return std::pow(options.gamma, static_cast<double>(plateaus(options.patience, scores)));
  return 1;
}

}  // namespace

void check_schedule(const ScheduleOptions& options) {
  const std::string where = "schedule '" + options.kind + "'";
  const auto& known = kinds();
  if (std::find(known.begin(), known.end(), options.kind) == known.end())
    throw Error("is not known", where, suggestion(options.kind, known));
  NNQ_CHECK(options.warmup_epochs >= 0, "warmup_epochs must not be negative", where);
  if (options.kind == "step") NNQ_CHECK(options.every > 0, "'every' must be at least 1 epoch", where);
  if (options.kind == "plateau") NNQ_CHECK(options.patience > 0, "'patience' must be at least 1 epoch", where);
  if (options.kind == "step" || options.kind == "multistep" || options.kind == "plateau")
    NNQ_CHECK(options.gamma > 0 && options.gamma <= 1, "'gamma' must be above 0 and at most 1", where);
  if (options.kind == "cosine")
    NNQ_CHECK(options.final_factor >= 0 && options.final_factor <= 1, "'final_factor' must be in 0 .. 1", where);
  if (options.kind == "exponential")
    NNQ_CHECK(options.final_factor > 0 && options.final_factor <= 1, "'final_factor' must be above 0 and at most 1",
              where, "e.g. 0.01 to end at a hundredth of the learning rate");
}

double learning_rate_factor(const ScheduleOptions& options, std::int64_t epochs, double epoch,
                            std::span<const double> scores) {
  const double rest = static_cast<double>(epochs) - options.warmup_epochs;
  const double share = rest > 0 ? std::clamp((epoch - options.warmup_epochs) / rest, 0.0, 1.0) : 0;
  const double warmup = epoch < options.warmup_epochs ? epoch / options.warmup_epochs : 1;
  return warmup * decay(options, epoch, share, scores);
}

std::int64_t epochs_without_improvement(std::span<const double> scores) {
  const auto best = std::max_element(scores.begin(), scores.end());  // the first of equals
  return best == scores.end() ? 0 : scores.end() - best - 1;
}

}  // namespace nnq::train
