// The sheet's linear toy as a target: Z = W x on three pixels.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "train/attack.h"

namespace nnq::test {

class LinearToy final : public train::AttackTarget {
 public:
  explicit LinearToy(double factor = 1) : weight_(at::tensor(std::vector<float>{1, -2, .5F, -.5F, 1, 1.5F})) {
    weight_ = (weight_ * factor).reshape({2, 3});
  }
  at::Tensor scores(const at::Tensor& pixels) override { return at::linear(pixels.flatten(1), weight_); }
  at::Tensor predict(const at::Tensor& pixels) override { return scores(pixels).argmax(1); }
  std::int64_t classes() const override { return 2; }

 private:
  at::Tensor weight_;
};

inline at::Tensor image(const std::vector<float>& pixels) {
  return at::tensor(pixels).reshape({1, 1, 1, static_cast<std::int64_t>(pixels.size())});
}

inline std::vector<double> values(const at::Tensor& t) {
  const at::Tensor flat = t.detach().to(at::kDouble).flatten().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

inline const at::Tensor x = image({.2F, .9F, .5F});
inline const at::Tensor y = at::ones({1}, at::kLong);
inline const std::vector<std::int64_t> zero{0};

inline at::Tensor run(train::AttackTarget& target, const char* id, double epsilon,
                      std::map<std::string, std::string> parameters = {}, std::uint64_t seed = 1) {
  return train::find_attack(id).make({std::move(parameters), seed})->perturb(target, {x, y, zero, epsilon});
}

}  // namespace nnq::test
