// The contract of a quantization method while it trains. Torch-free header (at::Tensor is only named).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nnq/encoding.h"
#include "nnq/node.h"
#include "nnq/quantize.h"
#include "nnq/train_api.h"

namespace at {
class Tensor;
}

namespace nnq::train {

enum class Role { weight, activation, gradient };

/// Where a quantizer sits; what its constructor gets.
struct QuantizerContext {
  Role role = Role::weight;
  int bits = 8;
  Node node;           // the ai.nnq::Quantizer node: parameters are its attributes
  Shape weight_shape;  // role weight: shape of the weight, output channels on axis `channel_axis`
  std::int64_t channel_axis = 0;
  std::uint64_t seed = 1;  // of the run; stochastic methods derive their stream from (seed, node name, step)
};

/// One state tensor of a quantizer: saved as initializer "<node>.<name>", restored on load.
struct StateEntry {
  std::string name;
  at::Tensor* tensor;
  bool trainable = false;  // updated by the optimizer (no weight decay)
  double learning_rate_scale = 1;
};

class Quantizer {
 public:
  virtual ~Quantizer() = default;
  /// Simulated quantization with the method's own gradient. Eval mode (training == false) is deterministic and, for
  /// weights, equals decode(encode(x)) in every element. Role gradient: identity forward, quantizes what comes back.
  virtual at::Tensor forward(const at::Tensor& x, bool training) = 0;
  /// Sets state from data: called with the weight once, or with calibration activations batch by batch and then
  /// finish_calibration(). Methods without data-dependent state ignore it.
  virtual void calibrate(const at::Tensor& x);
  virtual void finish_calibration();
  /// Weights only: codes and levels of `weight` (float32).
  virtual Encoding encode(const at::Tensor& weight) const;
  /// Activations only.
  virtual ActivationCode activation_code() const;
  virtual std::vector<StateEntry> state();
  /// After each optimizer step, on the latent weight (BNN: clip to [-1, 1]).
  virtual void after_step(at::Tensor& latent);
  /// Factor on the learning rate of the latent weight (BNN: c_k); 0: the weight is frozen.
  virtual double learning_rate_scale(const at::Tensor& latent) const;
  /// Weights only: a differentiable scalar that training adds to the loss, with its factor inside (BNN+: the
  /// regulariser); an undefined tensor for none.
  virtual at::Tensor penalty(const at::Tensor& latent);
  /// Weights only: true when the result has no codes (pruned, low rank). Freezing then keeps forward(w, false) as a
  /// float weight and never calls encode().
  virtual bool deploys_as_float() const { return false; }
  /// The state was made for `bits` bits: fits it to the present ones (recipe stage set_bits). Unless a method says
  /// otherwise, state cannot be carried and an nnq::Error says so.
  virtual void carry_state(int bits);
  /// What training reports of the last step (shares of pruned and clipped values, ...), by name.
  virtual std::map<std::string, double> statistics() const { return {}; }
  /// Activations only: true when forward(x) == forward(relu(x)) with a zero gradient for x < 0, so that the executor
  /// may leave out a Relu whose only readers are such quantizers.
  virtual bool absorbs_relu() const { return false; }
  /// False where values of another size come out (signs alone): the network without this quantizer says nothing about
  /// the values behind it, and running statistics of batch normalisation nothing until it has seen the quantized one.
  virtual bool keeps_magnitude() const { return true; }
  /// Step counter of the run, for reproducible stochastic rounding; set by the trainer before each forward.
  void set_step(std::int64_t step) { step_ = step; }
  /// Share of the training stage that is done, 0 to 1, for schedules of a method's own; set by the trainer.
  void set_progress(double progress) { progress_ = progress; }

 protected:
  std::int64_t step_ = 0;
  double progress_ = 0;
};

struct Method {
  MethodInfo info;
  std::function<std::unique_ptr<Quantizer>(const QuantizerContext&)>
      make;  // throws nnq::Error on bad parameters or bits
};

/// Looks up a quantization method; throws nnq::Error naming the nearest id.
const Method& find_method(std::string_view id);
const std::vector<Method>& all_methods();

/// q with the gradient of x: an autograd function returning q itself (x + (q - x).detach() would round).
at::Tensor straight_through(const at::Tensor& x, const at::Tensor& q);
/// The same, gradient multiplied by `mask`.
at::Tensor straight_through_masked(const at::Tensor& x, const at::Tensor& q, const at::Tensor& mask);

}  // namespace nnq::train

/// Last line of a method file: NNQ_METHOD(dorefa) { return {.info = {...}, .make = ...}; }
#define NNQ_METHOD(id)                  \
  namespace nnq::methods {              \
  ::nnq::train::Method register_##id(); \
  }                                     \
  ::nnq::train::Method nnq::methods::register_##id()
