#include "methods/robustness.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/progress.h"
#include "core/text.h"
#include "methods/attack_support.h"
#include "methods/masking.h"
#include "methods/victim.h"
#include "nnq/error.h"
#include "train/pixels.h"

namespace nnq::methods {
namespace {

constexpr std::int64_t kBatch = 100;
constexpr std::int64_t kDiagnosed = 200;

struct Chosen {
  const train::AttackMethod* method;
  std::unique_ptr<train::Attack> attack;
};

std::vector<Chosen> choose(const AttackRequest& request) {
  std::vector<Chosen> chosen;
  std::map<std::string, std::string> unused = request.parameters;
  std::vector<std::string> known;
  for (const std::string& id : request.attacks) {
    const train::AttackMethod& method = train::find_attack(id);
    train::AttackContext context;
    context.seed = request.seed;
    for (const MethodParameter& parameter : method.info.parameters) {
      if (std::find(known.begin(), known.end(), parameter.name) == known.end()) known.push_back(parameter.name);
      const auto it = request.parameters.find(parameter.name);
      if (it == request.parameters.end()) continue;
      context.parameters.insert(*it);
      unused.erase(it->first);
    }
    chosen.push_back({&method, method.make(context)});
  }
  NNQ_CHECK(!chosen.empty(), "no attack was chosen", "--attack");
  if (!unused.empty())
    throw Error("no chosen attack has the parameter '" + unused.begin()->first + "'", "--set",
                suggestion(unused.begin()->first, known));
  return chosen;
}

std::vector<std::int64_t> range(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

/// Sums of one row over its images.
struct Tally {
  double clean = 0, robust = 0, l2 = 0, linf = 0, max_linf = 0;
  std::int64_t attacked = 0, queries = 0;
};

class Measurement {
 public:
  explicit Measurement(const AttackRequest& request) : request_(request), victim_(request) {
    total_ = request.samples.images.shape()[0];
    count_ = request.count > 0 ? std::min(request.count, total_) : total_;
    for (const double epsilon : request.epsilons) check_epsilon(epsilon);
  }

  AttackReport run() {
    std::vector<Chosen> chosen = choose(request_);
    AttackReport report;
    report.backend = victim_.runtime() ? "runtime" : "executor";
    std::int64_t work = 0;
    for (const Chosen& c : chosen) {
      NNQ_CHECK(!c.attack->bounded() || !request_.epsilons.empty(), "needs a budget",
                "attack '" + c.method->info.id + "'", "e.g. --epsilon 8/255");
      work += measured(c) * (c.attack->bounded() ? static_cast<std::int64_t>(request_.epsilons.size()) : 1);
    }
    progress_ = std::make_unique<Progress>("attacking " + request_.name, work);
    for (const Chosen& c : chosen) {
      if (c.attack->held_out() > 0) prepare(c);
      const std::vector<double> budgets = c.attack->bounded() ? request_.epsilons : std::vector<double>{0};
      for (const double epsilon : budgets) report.rows.push_back(row(c, epsilon));
    }
    progress_.reset();
    if (request_.diagnose) diagnose(report);
    return report;
  }

 private:
  /// Images measured: held out ones come from behind them, or from their end when there are no others.
  std::int64_t measured(const Chosen& c) const {
    const std::int64_t held = c.attack->held_out(), left = std::min(count_, total_ - held);
    NNQ_CHECK(left > 0, fmt::format("keeps {} images for itself; there are {}", held, total_),
              "attack '" + c.method->info.id + "'", "--set seed_images=N takes fewer");
    return left;
  }

  void prepare(const Chosen& c) {
    const at::Tensor pixels = train::pixels_of(request_.samples, range(measured(c), c.attack->held_out()));
    victim_.take_queries();
    c.attack->prepare(victim_, pixels);
  }

  at::Tensor labels_of(const std::vector<std::int64_t>& numbers) const {
    at::Tensor labels = at::empty({static_cast<std::int64_t>(numbers.size())}, at::kLong);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      labels.data_ptr<std::int64_t>()[i] =
          request_.samples.labels.as<std::int64_t>()[static_cast<std::size_t>(numbers[i])];
    return labels;
  }

  AttackRow row(const Chosen& c, double epsilon) {
    const auto begin = std::chrono::steady_clock::now();
    AttackRow row;
    row.attack = c.method->info.id;
    row.epsilon = epsilon;
    row.black_box = c.method->black_box || victim_.transfer();
    row.count = measured(c);
    Tally tally;
    tally.queries = victim_.take_queries();
    const std::string note = epsilon > 0 ? fmt::format("{} {:.4g}", row.attack, epsilon) : row.attack;
    for (std::int64_t first = 0; first < row.count; first += kBatch) {
      const std::int64_t n = std::min(kBatch, row.count - first);
      attack_batch(*c.attack, range(first, n), epsilon, tally);
      progress_->advance(n, note);
    }
    const auto count = static_cast<double>(row.count),
               attacked = static_cast<double>(std::max<std::int64_t>(tally.attacked, 1));
    row.clean = 100 * tally.clean / count;
    row.robust = 100 * tally.robust / count;
    row.mean_l2 = tally.l2 / attacked;
    row.mean_linf = tally.linf / attacked;
    row.max_linf = tally.max_linf;
    row.queries = static_cast<double>(tally.queries + victim_.take_queries()) / attacked;
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return row;
  }

  /// Mean over the draws of the share of images that are classified correctly, in images.
  double correct(const at::Tensor& pixels, const at::Tensor& labels) {
    double sum = 0;
    for (std::int64_t draw = 0; draw < victim_.draws(); ++draw)
      sum += static_cast<double>(victim_.predict(pixels).eq(labels).sum().item<std::int64_t>());
    return sum / static_cast<double>(victim_.draws());
  }

  void attack_batch(train::Attack& attack, std::vector<std::int64_t> numbers, double epsilon, Tally& tally) {
    const at::NoGradGuard no_gradient;
    at::Tensor pixels = train::pixels_of(request_.samples, numbers), labels = labels_of(numbers);
    if (victim_.stochastic()) {
      tally.clean += correct(pixels, labels);
    } else {
      const at::Tensor right = victim_.predict(pixels).eq(labels);
      const at::Tensor chosen = right.nonzero().flatten();
      tally.clean += static_cast<double>(chosen.numel());
      pixels = pixels.index_select(0, chosen);
      labels = labels.index_select(0, chosen);
      std::vector<std::int64_t> kept;
      for (std::int64_t i = 0; i < chosen.numel(); ++i)
        kept.push_back(numbers[static_cast<std::size_t>(chosen.data_ptr<std::int64_t>()[i])]);
      numbers = std::move(kept);
    }
    if (numbers.empty()) return;
    const at::Tensor images = attack.perturb(victim_, {pixels, labels, numbers, epsilon}).contiguous();
    tally.robust += correct(images, labels);
    const at::Tensor change = (images.to(at::kDouble) - pixels.to(at::kDouble)).flatten(1);
    const at::Tensor largest = change.abs().amax(1);
    tally.l2 += change.square().sum(1).sqrt().sum().item<double>();
    tally.linf += largest.sum().item<double>();
    tally.max_linf = std::max(tally.max_linf, largest.max().item<double>());
    tally.attacked += pixels.size(0);
  }

  void diagnose(AttackReport& report) {
    const at::NoGradGuard no_gradient;
    const std::vector<std::int64_t> numbers = range(0, std::min(2 * kDiagnosed, count_));
    at::Tensor pixels = train::pixels_of(request_.samples, numbers), labels = labels_of(numbers);
    const at::Tensor right = victim_.predict(pixels).eq(labels).nonzero().flatten();
    const at::Tensor chosen = right.narrow(0, 0, std::min<std::int64_t>(kDiagnosed, right.numel()));
    pixels = pixels.index_select(0, chosen);
    labels = labels.index_select(0, chosen);
    double epsilon = 8.0 / 255;
    if (!request_.epsilons.empty()) epsilon = *std::max_element(request_.epsilons.begin(), request_.epsilons.end());
    report.diagnosis = diagnose_masking(victim_, pixels, labels, epsilon, request_.seed, report.rows, request_.name);
  }

  const AttackRequest& request_;
  Victim victim_;
  std::int64_t total_ = 0, count_ = 0;
  std::unique_ptr<Progress> progress_;
};

}  // namespace

AttackReport measure_robustness(const AttackRequest& request) {
  const bool some = request.samples.images.defined() && request.samples.images.shape()[0] > 0;
  NNQ_CHECK(some, "there are no images to attack", request.samples.source);
  return Measurement(request).run();
}

}  // namespace nnq::methods
