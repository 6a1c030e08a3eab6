// The network under attack: where its predictions and its gradients come from.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "nnq/robustness.h"
#include "train/attack.h"

namespace nnq::methods {

class Victim final : public train::AttackTarget {
 public:
  /// Throws nnq::Error when the request contradicts itself (draws of a network that draws nothing, ...).
  explicit Victim(const AttackRequest& request);
  ~Victim() override;

  at::Tensor scores(const at::Tensor& pixels) override;
  at::Tensor predict(const at::Tensor& pixels) override;
  std::int64_t classes() const override { return classes_; }
  bool white_box() const override;
  std::int64_t draws() const override { return draws_; }

  bool runtime() const;
  /// Whether its quantizers draw at random: two predictions may differ.
  bool stochastic() const { return stochastic_; }
  /// Whether gradients are of another network.
  bool transfer() const;
  bool has_gradients() const;
  /// Gradients of the model itself from now on; false when it has none (only its integers are known).
  bool use_own_gradients();

  /// Images that went through the networks since the last call.
  std::int64_t take_queries();

 private:
  class Network;
  class Deployed;
  const AttackRequest& request_;
  std::unique_ptr<Network> model_, source_;
  std::unique_ptr<Deployed> deployed_;
  std::int64_t classes_ = 0, draws_ = 1, queries_ = 0;
  bool stochastic_ = false;

  Network& gradients() const;
};

}  // namespace nnq::methods
