#include "methods/masking.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "methods/attack_support.h"

namespace nnq::methods {
namespace {

constexpr double kTemper = 0.05;
/// Percent (of images) or points from which a sign counts; 200 images know no half points.
constexpr double kSign = 5;

double percent(const at::Tensor& flags) {
  return flags.numel() == 0 ? 0 : 100 * flags.to(at::kDouble).mean().item<double>();
}

/// The checks that need passes through the network.
class Checks {
 public:
  Checks(Victim& victim, const at::Tensor& pixels, const at::Tensor& labels, double epsilon, std::uint64_t seed)
      : victim_(victim), pixels_(pixels), labels_(labels), epsilon_(epsilon), seed_(seed), ball_(pixels, epsilon) {
    numbers_.resize(static_cast<std::size_t>(pixels.size(0)));
    std::iota(numbers_.begin(), numbers_.end(), std::int64_t{0});
  }

  void fill(MaskingDiagnosis& d) {
    const at::Tensor gradient = pixel_gradient(victim_, pixels_, labels_, {});
    d.zero_gradient = percent(gradient.flatten(1).abs().amax(1).eq(0));
    const at::Tensor fgsm = ball_.project(pixels_ + epsilon_ * gradient.sign());
    {
      const at::NoGradGuard no_gradient;
      const at::Tensor before = victim_.scores(pixels_), after = victim_.scores(fgsm);
      d.saturated = percent(softmax_slack(before, labels_, 1).eq(0));
      d.loss_growth = percent(margin(after, labels_).gt(margin(before, labels_)));
    }
    d.fgsm_survive = survive(fgsm);
    d.tempered_survive = survive(step({"cross_entropy", kTemper}));
    d.margin_survive = survive(step({"margin", 1}));
    d.noise_survive =
        survive(ball_.project(pixels_ + epsilon_ * image_noise(pixels_, numbers_, seed_, "noise").sign()));
    const Ball all(pixels_, 1);
    d.large_survive = survive(climb(victim_, {pixels_, labels_, numbers_, 1}, {}, all, pixels_, 20, 0.1));
  }

 private:
  at::Tensor step(const AttackLoss& loss) {
    return ball_.project(pixels_ + epsilon_ * pixel_gradient(victim_, pixels_, labels_, loss).sign());
  }
  double survive(const at::Tensor& images) { return percent(victim_.predict(images).eq(labels_)); }

  Victim& victim_;
  const at::Tensor &pixels_, &labels_;
  double epsilon_;
  std::uint64_t seed_;
  Ball ball_;
  std::vector<std::int64_t> numbers_;
};

/// Points by which a black-box row is below the best white-box row of the same budget.
double transfer_gain(const std::vector<AttackRow>& rows) {
  double gain = 0;
  for (const AttackRow& black : rows) {
    if (!black.black_box) continue;
    double best = -1;
    for (const AttackRow& white : rows)
      if (!white.black_box && white.epsilon == black.epsilon && black.epsilon > 0)
        best = best < 0 ? white.robust : std::min(best, white.robust);
    if (best >= 0) gain = std::max(gain, best - black.robust);
  }
  return gain;
}

void conclude(MaskingDiagnosis& d, const std::string& model) {
  std::vector<std::string> signs;
  const bool saturated = d.saturated >= kSign || d.fgsm_survive - d.tempered_survive >= kSign,
             by_margin = d.fgsm_survive - d.margin_survive >= kSign, transferred = d.transfer_gain >= 1;
  if (d.zero_gradient >= kSign)
    signs.push_back(fmt::format("{:.0f} % of the images have no gradient at all", d.zero_gradient));
  if (d.saturated >= kSign) signs.push_back(fmt::format("softmax is saturated on {:.0f} %", d.saturated));
  if (d.fgsm_survive - d.tempered_survive >= kSign)
    signs.push_back(
        fmt::format("FGSM on scores times {} breaks {:.0f} points more", kTemper, d.fgsm_survive - d.tempered_survive));
  if (by_margin)
    signs.push_back(fmt::format("FGSM on the margin breaks {:.0f} points more", d.fgsm_survive - d.margin_survive));
  if (d.loss_growth < 100 - 5 * kSign)
    signs.push_back(fmt::format("the loss grows along the gradient on {:.0f} % only", d.loss_growth));
  if (d.noise_survive < d.fgsm_survive) signs.push_back("random noise breaks more than FGSM");
  if (d.large_survive >= kSign)
    signs.push_back(fmt::format("{:.0f} % survive a budget that allows any image", d.large_survive));
  if (transferred) signs.push_back(fmt::format("a black-box attack breaks {:.1f} points more", d.transfer_gain));
  d.masked = !signs.empty();
  if (!d.masked) {
    d.finding = fmt::format(
        "no sign of gradient masking on {} images: gradients raise the loss, noise is weaker, an "
        "unlimited budget breaks all",
        d.count);
    d.next = fmt::format("nnq attack {} --attack pgd --set restarts=5 --set steps=100", model);
    return;
  }
  std::string list;
  for (const std::string& sign : signs) list += (list.empty() ? "" : "; ") + sign;
  d.finding = "gradient masking: " + list + " - the robust accuracy overstates";
  if (saturated)
    d.next = fmt::format("nnq attack {} --attack pgd --set logit_scale={}", model, kTemper);
  else if (by_margin)
    d.next = fmt::format("nnq attack {} --attack pgd --set loss=margin", model);
  else if (transferred)
    d.next = fmt::format("nnq attack {} --attack pgd --source FLOAT.onnx", model);
  else
    d.next = fmt::format("nnq attack {} --attack pgd,substitute --gradient clip", model);
}

}  // namespace

at::Tensor softmax_slack(const at::Tensor& scores, const at::Tensor& labels, double logit_scale) {
  return 1 - at::softmax(scores * logit_scale, 1).gather(1, labels.unsqueeze(1)).squeeze(1);
}

MaskingDiagnosis diagnose_masking(Victim& victim, const at::Tensor& pixels, const at::Tensor& labels, double epsilon,
                                  std::uint64_t seed, const std::vector<AttackRow>& rows, const std::string& model) {
  MaskingDiagnosis d;
  d.count = pixels.size(0);
  d.epsilon = epsilon;
  d.transfer_gain = transfer_gain(rows);
  if (d.count == 0 || !victim.use_own_gradients()) return d;
  d.done = true;
  Checks(victim, pixels, labels, epsilon, seed).fill(d);
  conclude(d, model);
  return d;
}

}  // namespace nnq::methods
