// Carlini and Wagner's L2 attack: the nearest image that is classified otherwise.  N. Carlini, D. Wagner, 2017,
// arXiv:1608.04644; defaults of Galloway, Taylor, Moussa 2018 (arXiv:1711.00449) but for the binary search over c.
#include "methods/attack/carlini_wagner.h"

#include <limits>

#include "methods/attack_support.h"

namespace nnq::methods {

at::Tensor image_in_tanh_space(const at::Tensor& x, const at::Tensor& w) {
  // 0.999999: pixels 0 and 1 would lie at infinity.
  return (at::tanh(w + at::atanh((2 * x - 1) * 0.999999)) + 1) / 2;
}

at::Tensor attack_term(const at::Tensor& scores, const at::Tensor& labels, double kappa) {
  return at::relu(kappa - margin(scores, labels));
}

namespace {

const MethodInfo& info() {
  static const MethodInfo about{
      .id = "carlini_wagner",
      .title = "Carlini and Wagner's L2 attack",
      .paper = "Carlini, Wagner, 2017, arXiv:1608.04644",
      .kind = "attack",
      .encoding = "L2, smallest change",
      .roles = "attack",
      .parameters = {
          {"steps", "100", "", "1 to 100000", "Adam steps for each c"},
          {"learning_rate", "0.1", "", "1e-6 to 100", "of Adam, in tanh space"},
          {"search_steps", "5", "", "1 to 50", "values of c tried for each image (the paper's code: 1)"},
          {"initial_c", "10", "", "1e-6 to 1e9",
           "first weight of the attack term; times 10 until it succeeds, then bisected"},
          {"kappa", "0", "scores", "0 to 1000", "by how much the other class must win"},
          {"max_distance", "0", "L2 in pixels of 0..1", "0 to 1e6", "images farther away do not count; 0: no limit"},
      }};
  return about;
}

/// [n] as [n, 1, 1, 1], to go with pixels.
at::Tensor per_image(const at::Tensor& values, const at::Tensor& like) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(like.dim()), 1);
  shape[0] = values.size(0);
  return values.reshape(shape);
}

/// Adam (Kingma, Ba 2015, arXiv:1412.6980) on each image's own variable.
class Adam {
 public:
  Adam(const at::Tensor& like, double rate)
      : first_(at::zeros_like(like)), second_(at::zeros_like(like)), rate_(rate) {}
  at::Tensor step(const at::Tensor& gradient) {
    ++steps_;
    first_ = 0.9 * first_ + 0.1 * gradient;
    second_ = 0.999 * second_ + 0.001 * gradient.square();
    const at::Tensor mean = first_ / (1 - std::pow(0.9, steps_)), square = second_ / (1 - std::pow(0.999, steps_));
    return rate_ * mean / (square.sqrt() + 1e-8);
  }

 private:
  at::Tensor first_, second_;
  double rate_;
  int steps_ = 0;
};

class CarliniWagner final : public train::Attack {
 public:
  explicit CarliniWagner(const train::AttackContext& context) {
    const AttackParameters parameters(context, info());
    steps_ = parameters.count("steps", 1, 100000);
    search_steps_ = parameters.count("search_steps", 1, 50);
    learning_rate_ = parameters.number("learning_rate", 1e-6, 100);
    initial_c_ = parameters.number("initial_c", 1e-6, 1e9);
    kappa_ = parameters.number("kappa", 0, 1000);
    max_distance_ = parameters.number("max_distance", 0, 1e6);
  }

  bool bounded() const override { return false; }

  at::Tensor perturb(train::AttackTarget& target, const train::AttackBatch& batch) override {
    const std::int64_t n = batch.pixels.size(0);
    constexpr double none = std::numeric_limits<double>::infinity();
    at::Tensor c = at::full({n}, initial_c_, at::kDouble), below = at::zeros({n}, at::kDouble),
               above = at::full({n}, none, at::kDouble);
    Best best{batch.pixels.clone(), at::full({n}, none, at::kDouble)};
    for (std::int64_t search = 0; search < search_steps_; ++search) {
      const at::Tensor succeeded = minimise(target, batch, c, best);
      above = at::where(succeeded, at::minimum(above, c), above);
      below = at::where(succeeded, below, at::maximum(below, c));
      c = at::where(above.isinf(), c * 10, (below + above) / 2);
    }
    return best.pixels;
  }

 private:
  struct Best {
    at::Tensor pixels, distance;  // squared L2; infinite: x itself
  };

  /// Minimises |x' - x|^2 + c f(x') over w and keeps the nearest success in `best`; which images had one.
  at::Tensor minimise(train::AttackTarget& target, const train::AttackBatch& batch, const at::Tensor& c,
                      Best& best) const {
    const at::Tensor& x = batch.pixels;
    at::Tensor w = at::zeros_like(x), succeeded = at::zeros({x.size(0)}, at::kBool),
               active = at::ones({x.size(0)}, at::kBool), earlier = at::full({x.size(0)}, INFINITY, at::kDouble);
    Adam adam(w, learning_rate_);
    const std::int64_t every = std::max<std::int64_t>(steps_ / 10, 1);
    for (std::int64_t step = 0; step < steps_; ++step) {
      const at::Tensor image = image_in_tanh_space(x, w);
      const at::Tensor distance = (image - x).square().flatten(1).sum(1, false, at::kDouble);
      at::Tensor term, wins;
      // d(c f)/dx' through the network; the rest of the chain is known.
      const at::Tensor through = gradient_of(target, image, [&](const at::Tensor& scores) {
        const at::Tensor f = attack_term(scores, batch.labels, kappa_);
        term = f.detach().to(at::kDouble);
        wins = scores.detach().argmax(1).ne(batch.labels).logical_and(f.detach().le(0));
        return f * c.to(at::kFloat);
      });
      succeeded = succeeded.logical_or(keep(target, batch, image, distance, wins, best));
      const at::Tensor loss = distance + c * term;
      if (step > 0 && step % every == 0) {
        active = active.logical_and(loss.le(0.9999 * earlier));
        if (!active.any().item<bool>()) break;
      }
      if (step % every == 0) earlier = loss;
      const at::Tensor slope = (1 - (2 * image - 1).square()) / 2;
      w = w - adam.step((2 * (image - x) + through) * slope) * per_image(active.to(at::kFloat), x);
    }
    return succeeded;
  }

  /// Where the attacked network agrees that the image is another class, the nearest one is kept.
  at::Tensor keep(train::AttackTarget& target, const train::AttackBatch& batch, const at::Tensor& image,
                  const at::Tensor& distance, at::Tensor wins, Best& best) const {
    if (max_distance_ > 0) wins = wins.logical_and(distance.le(max_distance_ * max_distance_));
    if (!target.white_box() && wins.any().item<bool>()) wins = wins.logical_and(target.predict(image).ne(batch.labels));
    const at::Tensor nearer = wins.logical_and(distance.lt(best.distance));
    best.distance = at::where(nearer, distance, best.distance);
    best.pixels = at::where(per_image(nearer, image), image, best.pixels);
    return wins;
  }

  std::int64_t steps_ = 0, search_steps_ = 0;
  double learning_rate_ = 0, initial_c_ = 0, kappa_ = 0, max_distance_ = 0;
};

}  // namespace
}  // namespace nnq::methods

NNQ_ATTACK(carlini_wagner) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::AttackContext& context) {
            return std::make_unique<nnq::methods::CarliniWagner>(context);
          }};
}
