#include "train/adversary.h"

#include <fmt/format.h>

#include <cmath>

#include "nnq/error.h"
#include "train/loss.h"

namespace nnq::train {

/// The network in training, seen from outside.
class Adversary::Target final : public AttackTarget {
 public:
  Target(Executor& executor, std::string input, const Normalisation& normalisation)
      : executor_(executor), input_(std::move(input)), normalisation_(normalisation) {}
  at::Tensor scores(const at::Tensor& pixels) override {
    return class_scores(executor_.forward({{input_, normalisation_.apply(pixels)}}, false).front());
  }
  at::Tensor predict(const at::Tensor& pixels) override {
    const at::NoGradGuard no_gradient;
    return scores(pixels).argmax(1);
  }
  std::int64_t classes() const override { return 0; }  // attacks in training do not ask

 private:
  Executor& executor_;
  std::string input_;
  const Normalisation& normalisation_;
};

namespace {

AttackContext context_of(const TrainOptions& options) {
  AttackContext context;
  context.seed = options.seed;
  if (options.adversarial == "pgd") {
    context.parameters["steps"] = std::to_string(options.attack_steps);
    context.parameters["step_size"] = fmt::format("{}", options.attack_step_size);
  }
  return context;
}

}  // namespace

Adversary::Adversary(Executor& executor, const Preprocessing& preprocessing, const TrainOptions& options)
    : options_(options), normalisation_(preprocessing) {
  NNQ_CHECK(options.attack_epsilon > 0 && options.attack_epsilon <= 1,
            fmt::format("attack_epsilon is {}, not above 0 and at most 1", options.attack_epsilon), "training");
  NNQ_CHECK(options.adversarial_share > 0 && options.adversarial_share <= 1,
            fmt::format("adversarial_share is {}, not above 0 and at most 1", options.adversarial_share), "training");
  target_ = std::make_unique<Target>(executor, executor.input_name(), normalisation_);
  attack_ = find_attack(options.adversarial).make(context_of(options));
}

Adversary::~Adversary() = default;

at::Tensor Adversary::perturb(const at::Tensor& images, std::int64_t step) {
  const auto share =
      static_cast<std::int64_t>(std::llround(options_.adversarial_share * static_cast<double>(images.size(0))));
  if (share == 0) return images;
  const at::Tensor pixels = normalisation_.undo(images.narrow(0, 0, share));
  const at::Tensor labels = target_->predict(pixels);
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(share));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = step * images.size(0) + static_cast<std::int64_t>(i);
  const at::Tensor adversarial = attack_->perturb(*target_, {pixels, labels, numbers, options_.attack_epsilon});
  return at::cat({normalisation_.apply(adversarial), images.narrow(0, share, images.size(0) - share)});
}

}  // namespace nnq::train
