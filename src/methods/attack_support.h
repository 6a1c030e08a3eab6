// What several attacks compute: losses to climb, gradients in pixel space, the ball that a perturbation stays in.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "train/attack.h"

namespace nnq::methods {

/// What an attack climbs: cross_entropy of softmax(logit_scale * scores), or margin: max of the other scores - score of
/// the label (Carlini and Wagner 2017), which does not saturate.
struct AttackLoss {
  std::string kind = "cross_entropy";
  double logit_scale = 1;
};

/// Loss of each image [n], differentiable in the scores.
at::Tensor attack_loss(const AttackLoss& loss, const at::Tensor& scores, const at::Tensor& labels);
/// max over the classes i != label of scores_i - score of the label, [n]; above 0: misclassified.
at::Tensor margin(const at::Tensor& scores, const at::Tensor& labels);

/// Gradient of each image's loss in its pixels, averaged over the target's draws; zeros where no gradient arrives.
at::Tensor pixel_gradient(train::AttackTarget& target, const at::Tensor& pixels, const at::Tensor& labels,
                          const AttackLoss& loss);
/// d(sum of f(scores)) / d(pixels) of one forward pass; zeros where no gradient arrives.
at::Tensor gradient_of(train::AttackTarget& target, const at::Tensor& pixels,
                       const std::function<at::Tensor(const at::Tensor& scores)>& f);

/// The pixels within epsilon of x and in 0..1: |p - x| <= epsilon holds exactly for low <= p <= high.
struct Ball {
  at::Tensor low, high;
  Ball(const at::Tensor& x, double epsilon);
  at::Tensor project(const at::Tensor& p) const { return at::minimum(at::maximum(p, low), high); }
};

/// Steps of `size` along the sign of the loss' gradient from `start`, each projected onto the ball.
at::Tensor climb(train::AttackTarget& target, const train::AttackBatch& batch, const AttackLoss& loss, const Ball& ball,
                 at::Tensor start, std::int64_t steps, double size);

/// Uniform in [-1, 1), float32 in the shape of `pixels`: a function of (seed, stream, image's number, position).
at::Tensor image_noise(const at::Tensor& pixels, const std::vector<std::int64_t>& numbers, std::uint64_t seed,
                       std::string_view stream);

/// An attack's parameters, checked against its own table. Throws nnq::Error naming the attack, the parameter and its
/// range.
class AttackParameters {
 public:
  AttackParameters(const train::AttackContext& context, const MethodInfo& info);
  double number(const std::string& name, double low, double high) const;  // "0.03" or "8/255"
  std::int64_t count(const std::string& name, std::int64_t low, std::int64_t high) const;
  std::string choice(const std::string& name, std::initializer_list<std::string_view> allowed) const;
  AttackLoss loss() const;  // parameters `loss` and `logit_scale`

 private:
  std::string text(const std::string& name) const;

  const train::AttackContext& context_;
  const MethodInfo& info_;
};

/// Rows of the tables of attacks that climb a loss.
std::vector<MethodParameter> loss_parameters();

/// Throws nnq::Error unless epsilon is in (0, 1].
void check_epsilon(double epsilon);

}  // namespace nnq::methods
