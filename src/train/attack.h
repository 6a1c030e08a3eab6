// The contract of an attack: what it may ask of the network, what it gives back, and the table of attacks. One attack
// is one file in src/methods/attack/. Torch-free header (at::Tensor is only named).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nnq/train_api.h"

namespace at {
class Tensor;
}

namespace nnq::train {

/// The network under attack. Pixels are float32 [n, C, H, W] in 0..1.
class AttackTarget {
 public:
  virtual ~AttackTarget() = default;
  /// Class scores [n, classes] of what gradients are taken of, differentiable in the pixels.
  virtual at::Tensor scores(const at::Tensor& pixels) = 0;
  /// Classes (int64 [n]) that the attacked network predicts: the oracle.
  virtual at::Tensor predict(const at::Tensor& pixels) = 0;
  virtual std::int64_t classes() const = 0;
  /// Whether predict() is the argmax of scores(): no transfer, no integers behind it, no draws.
  virtual bool white_box() const { return true; }
  /// Draws of a stochastic network over which a gradient is averaged (expectation over transformation).
  virtual std::int64_t draws() const { return 1; }
};

struct AttackBatch {
  const at::Tensor& pixels;                  // float32 [n, C, H, W] in 0..1
  const at::Tensor& labels;                  // int64 [n]: what the predictions are to move away from
  const std::vector<std::int64_t>& numbers;  // of the images: random numbers depend on these and not on the batch
  double epsilon = 0;                        // largest change of a pixel; attacks that are not bounded ignore it
};

class Attack {
 public:
  virtual ~Attack() = default;
  /// Whether it keeps every pixel within epsilon; otherwise it minimises the distance itself.
  virtual bool bounded() const { return true; }
  /// Images that prepare() wants; they are not attacked.
  virtual std::int64_t held_out() const { return 0; }
  virtual void prepare(AttackTarget& target, const at::Tensor& pixels);
  /// Adversarial images: in 0..1 and, when bounded, within epsilon of the given ones, exactly.
  virtual at::Tensor perturb(AttackTarget& target, const AttackBatch& batch) = 0;
};

struct AttackContext {
  std::map<std::string, std::string> parameters;  // of the attack's own table; absent: the default
  std::uint64_t seed = 1;
};

struct AttackMethod {
  MethodInfo info;                                                    // kind "attack"
  bool black_box = false;                                             // looks at predictions only
  std::function<std::unique_ptr<Attack>(const AttackContext&)> make;  // throws nnq::Error on bad parameters
};

/// Looks up an attack; throws nnq::Error naming the nearest id.
const AttackMethod& find_attack(std::string_view id);
const std::vector<AttackMethod>& all_attacks();

}  // namespace nnq::train

/// Last line of an attack's file: NNQ_ATTACK(fgsm) { return {.info = {...}, .make = ...}; }
#define NNQ_ATTACK(id)                               \
  namespace nnq::methods {                           \
  ::nnq::train::AttackMethod register_attack_##id(); \
  }                                                  \
  ::nnq::train::AttackMethod nnq::methods::register_attack_##id()
