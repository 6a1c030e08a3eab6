// PGD: projected gradient ascent on the loss from a random start.  A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A.
// Vladu, 2018, arXiv:1706.06083. Without the random start it is BIM: A. Kurakin, I. Goodfellow, S. Bengio, 2017,
// arXiv:1607.02533.
#include "methods/attack_support.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

const MethodInfo& info() {
  static const MethodInfo about = [] {
    MethodInfo made{.id = "pgd",
                    .title = "Projected gradient ascent; BIM without random start",
                    .paper = "Madry, Makelov, Schmidt, Tsipras, Vladu, 2018, arXiv:1706.06083",
                    .kind = "attack",
                    .encoding = "L-inf, iterative",
                    .roles = "attack",
                    .parameters = {
                        {"steps", "40", "", "1 to 100000", "gradient steps from each start"},
                        {"step_size", "0", "pixels of 0..1", "0 to 1",
                         "length of a step; 0: 4/3 epsilon / steps (paper: 0.01 at 0.3)"},
                        {"random_start", "1", "", "0, 1", "begin at x + uniform(-epsilon, epsilon); 0: at x (BIM)"},
                        {"restarts", "1", "", "1 to 1000", "starts; an image is broken when one of them breaks it"},
                    }};
    for (MethodParameter& row : loss_parameters()) made.parameters.push_back(std::move(row));
    return made;
  }();
  return about;
}

class Pgd final : public train::Attack {
 public:
  explicit Pgd(const train::AttackContext& context) : seed_(context.seed) {
    const AttackParameters parameters(context, info());
    steps_ = parameters.count("steps", 1, 100000);
    step_size_ = parameters.number("step_size", 0, 1);
    random_start_ = parameters.count("random_start", 0, 1) == 1;
    restarts_ = parameters.count("restarts", 1, 1000);
    loss_ = parameters.loss();
    NNQ_CHECK(random_start_ || restarts_ == 1, "restarts without random_start all end at the same image",
              "attack 'pgd'", "set random_start to 1 or restarts to 1");
  }

  at::Tensor perturb(train::AttackTarget& target, const train::AttackBatch& batch) override {
    check_epsilon(batch.epsilon);
    const Ball ball(batch.pixels, batch.epsilon);
    at::Tensor best = ascend(target, batch, ball, 0), broken;
    for (std::int64_t restart = 1; restart < restarts_; ++restart) {
      if (!broken.defined()) broken = target.predict(best).ne(batch.labels);
      if (broken.all().item<bool>()) break;
      const at::Tensor next = ascend(target, batch, ball, restart);
      std::vector<std::int64_t> shape(static_cast<std::size_t>(next.dim()), 1);
      shape[0] = next.size(0);
      best = at::where(broken.reshape(shape), best, next);
      broken = broken.logical_or(target.predict(next).ne(batch.labels));
    }
    return best;
  }

 private:
  at::Tensor ascend(train::AttackTarget& target, const train::AttackBatch& batch, const Ball& ball,
                    std::int64_t restart) const {
    at::Tensor start = batch.pixels;
    if (random_start_) {
      const at::Tensor noise = image_noise(batch.pixels, batch.numbers, seed_, "pgd " + std::to_string(restart));
      start = ball.project(batch.pixels + batch.epsilon * noise);
    }
    const double size = step_size_ > 0 ? step_size_ : 4 * batch.epsilon / (3 * static_cast<double>(steps_));
    return climb(target, batch, loss_, ball, start, steps_, size);
  }

  std::uint64_t seed_;
  std::int64_t steps_ = 0, restarts_ = 0;
  double step_size_ = 0;
  bool random_start_ = true;
  AttackLoss loss_;
};

}  // namespace
}  // namespace nnq::methods

NNQ_ATTACK(pgd) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::AttackContext& context) {
            return std::make_unique<nnq::methods::Pgd>(context);
          }};
}
