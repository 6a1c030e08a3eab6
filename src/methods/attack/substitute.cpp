// Black-box attack through a substitute network.  N. Papernot, P. McDaniel, I. Goodfellow, S. Jha, Z. B. Celik, A.
// Swami, 2017, arXiv:1602.02697, as set up by Galloway, Taylor, Moussa 2018 (arXiv:1711.00449). The attacked network
// answers with classes only. New points are appended to the old ones (the paper's code overwrites old rows).
#include "methods/attack/substitute.h"

#include <cmath>

#include "core/random.h"
#include "methods/attack_support.h"
#include "nnq/error.h"
#include "train/optimizer.h"

namespace nnq::methods {

at::Tensor jacobian_points(train::AttackTarget& substitute, const at::Tensor& pixels, const at::Tensor& labels,
                           double lambda) {
  const at::Tensor gradient = gradient_of(substitute, pixels, [&](const at::Tensor& scores) {
    return at::softmax(scores, 1).gather(1, labels.unsqueeze(1));
  });
  return (pixels + lambda * gradient.sign()).clamp_(0, 1);
}

namespace {

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "substitute",
      .title = "Black box: a substitute network is trained on the answers and attacked instead",
      .paper = "Papernot, McDaniel, Goodfellow, Jha, Celik, Swami, 2017, arXiv:1602.02697",
      .kind = "attack",
      .encoding = "L-inf, black box",
      .roles = "attack",
      .parameters = {
          {"seed_images", "150", "", "1 to 100000", "images the attacker has; they are not attacked"},
          {"rounds", "6", "", "1 to 12", "trainings; the points double between two of them"},
          {"lambda", "0.1", "pixels of 0..1", "1e-4 to 1", "step of the Jacobian augmentation"},
          {"hidden", "200", "", "1 to 4096", "units of each of the two hidden layers"},
          {"epochs", "10", "", "1 to 1000", "passes over the points in a round (Adam, 0.001, batches of 128)"},
          {"transfer", "fgsm", "", "fgsm, pgd", "attack on the substitute, with its defaults"},
      }};
  return about;
}

constexpr std::int64_t kBatch = 128;

/// flatten -> hidden ReLU -> hidden ReLU -> classes, columns of unit norm at the start, no biases' offset.
class Perceptron {
 public:
  Perceptron(std::int64_t in, std::int64_t hidden, std::int64_t classes, std::uint64_t seed) {
    const std::vector<std::int64_t> widths{in, hidden, hidden, classes};
    Random random(seed, "substitute weights");
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
      at::Tensor weight = at::empty({widths[i + 1], widths[i]}, at::kFloat);
      float* out = weight.data_ptr<float>();
      for (std::int64_t k = 0; k < weight.numel(); ++k) out[k] = static_cast<float>(random.normal());
      weight.div_(weight.square().sum(1, true).sqrt());
      tensors_.push_back(weight.set_requires_grad(true));
      tensors_.push_back(at::zeros({widths[i + 1]}, at::kFloat).set_requires_grad(true));
    }
  }

  at::Tensor scores(const at::Tensor& pixels) const {
    at::Tensor x = pixels.flatten(1);
    for (std::size_t i = 0; i < tensors_.size(); i += 2) {
      if (i > 0) x = at::relu(x);
      x = at::linear(x, tensors_[i], tensors_[i + 1]);
    }
    return x;
  }

  std::vector<train::Parameter> parameters() {
    std::vector<train::Parameter> list;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      train::Parameter parameter;
      parameter.name = "substitute." + std::to_string(i);
      parameter.tensor = &tensors_[i];
      list.push_back(parameter);
    }
    return list;
  }

 private:
  std::vector<at::Tensor> tensors_;
};

/// Gradients of the substitute, answers of the attacked network.
class Substituted final : public train::AttackTarget {
 public:
  Substituted(train::AttackTarget& oracle, const Perceptron& network) : oracle_(oracle), network_(network) {}
  at::Tensor scores(const at::Tensor& pixels) override { return network_.scores(pixels); }
  at::Tensor predict(const at::Tensor& pixels) override { return oracle_.predict(pixels); }
  std::int64_t classes() const override { return oracle_.classes(); }
  bool white_box() const override { return false; }

 private:
  train::AttackTarget& oracle_;
  const Perceptron& network_;
};

class Substitute final : public train::Attack {
 public:
  explicit Substitute(const train::AttackContext& context) : seed_(context.seed) {
    const AttackParameters parameters(context, info());
    seed_images_ = parameters.count("seed_images", 1, 100000);
    rounds_ = parameters.count("rounds", 1, 12);
    lambda_ = parameters.number("lambda", 1e-4, 1);
    hidden_ = parameters.count("hidden", 1, 4096);
    epochs_ = parameters.count("epochs", 1, 1000);
    attack_ = train::find_attack(parameters.choice("transfer", {"fgsm", "pgd"})).make({{}, seed_});
  }

  std::int64_t held_out() const override { return seed_images_; }

  void prepare(train::AttackTarget& target, const at::Tensor& pixels) override {
    network_ = std::make_unique<Perceptron>(pixels.numel() / std::max<std::int64_t>(pixels.size(0), 1), hidden_,
                                            target.classes(), seed_);
    Substituted substituted(target, *network_);
    train::OptimizerOptions options;
    options.kind = "adam";
    options.learning_rate = 0.001;
    train::Optimizer optimizer(options);
    at::Tensor points = pixels, labels = target.predict(pixels);
    for (std::int64_t round = 0; round < rounds_; ++round) {
      if (round > 0) {
        const at::Tensor more = jacobian_points(substituted, points, labels, lambda_);
        points = at::cat({points, more});
        labels = at::cat({labels, target.predict(more)});
      }
      fit(optimizer, points, labels, round);
    }
  }

  at::Tensor perturb(train::AttackTarget& target, const train::AttackBatch& batch) override {
    NNQ_CHECK(network_ != nullptr, "the substitute was not prepared", "attack 'substitute'");
    Substituted substituted(target, *network_);
    return attack_->perturb(substituted, batch);
  }

 private:
  void fit(train::Optimizer& optimizer, const at::Tensor& points, const at::Tensor& labels, std::int64_t round) {
    const at::AutoGradMode recording(true);
    const std::vector<train::Parameter> parameters = network_->parameters();
    for (std::int64_t epoch = 0; epoch < epochs_; ++epoch) {
      Random random(seed_, "substitute " + std::to_string(round) + " " + std::to_string(epoch));
      const at::Tensor order = at::tensor(random.permutation(points.size(0)));
      for (std::int64_t first = 0; first < points.size(0); first += kBatch) {
        const at::Tensor chosen = order.narrow(0, first, std::min(kBatch, points.size(0) - first));
        const at::Tensor scores = network_->scores(points.index_select(0, chosen));
        at::cross_entropy_loss(scores, labels.index_select(0, chosen)).backward();
        optimizer.step(parameters, 0.001);
        for (const train::Parameter& p : parameters) p.tensor->mutable_grad().reset();
      }
    }
  }

  std::uint64_t seed_;
  std::int64_t seed_images_ = 0, rounds_ = 0, hidden_ = 0, epochs_ = 0;
  double lambda_ = 0;
  std::unique_ptr<train::Attack> attack_;
  std::unique_ptr<Perceptron> network_;
};

}  // namespace
}  // namespace nnq::methods

NNQ_ATTACK(substitute) {
  return {.info = nnq::methods::info(), .black_box = true, .make = [](const nnq::train::AttackContext& context) {
            return std::make_unique<nnq::methods::Substitute>(context);
          }};
}
