// FGSM: the fast gradient sign method.  I. Goodfellow, J. Shlens, C. Szegedy, 2015, arXiv:1412.6572, as Galloway,
// Taylor, Moussa 2018 (arXiv:1711.00449) use it on binarized networks.
#include "methods/attack_support.h"

namespace nnq::methods {
namespace {

const MethodInfo& info() {
  static const MethodInfo about{.id = "fgsm",
                                .title = "Fast gradient sign method",
                                .paper = "Goodfellow, Shlens, Szegedy, 2015, arXiv:1412.6572",
                                .kind = "attack",
                                .encoding = "L-inf, one step",
                                .roles = "attack",
                                .parameters = loss_parameters()};
  return about;
}

/// x' = clip(x + epsilon sign(dL/dx), 0, 1); pixels without a gradient stay.
class Fgsm final : public train::Attack {
 public:
  explicit Fgsm(const train::AttackContext& context) : loss_(AttackParameters(context, info()).loss()) {}

  at::Tensor perturb(train::AttackTarget& target, const train::AttackBatch& batch) override {
    check_epsilon(batch.epsilon);
    const at::Tensor step = batch.epsilon * pixel_gradient(target, batch.pixels, batch.labels, loss_).sign();
    return Ball(batch.pixels, batch.epsilon).project(batch.pixels + step);
  }

 private:
  AttackLoss loss_;
};

}  // namespace
}  // namespace nnq::methods

NNQ_ATTACK(fgsm) {
  return {.info = nnq::methods::info(), .make = [](const nnq::train::AttackContext& context) {
            return std::make_unique<nnq::methods::Fgsm>(context);
          }};
}
