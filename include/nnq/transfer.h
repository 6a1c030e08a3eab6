// What a quantization method makes of a value: the curve that `nnq methods NAME --plot` draws. Torch-free.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace nnq {

struct TransferRequest {
  std::string method;  // a quantizer of `nnq methods`
  std::string role;    // "weight" or "activation"
  int bits = 2;
  std::map<std::string, std::string> parameters;  // the method's own
};

/// At ascending x: the value that deploys, and the gradient that reaches x for one of 1 behind the quantizer in
/// training. Weights: x are 1,001 quantiles of a normal distribution, one tensor with one output channel, calibrated on
/// itself. Activations: calibrated on what a ReLU leaves of such values, drawn from below 0 to beyond the last level.
struct TransferCurve {
  std::vector<double> x, value, gradient;
  std::vector<double> levels;  // distinct values, ascending; empty when there are more than 256
};

/// The part of the training library that evaluates methods alone: the object behind nnq_train_api() is one of these too
/// (dynamic_cast, like RobustnessApi).
class TransferApi {
 public:
  virtual ~TransferApi() = default;
  /// Throws nnq::Error for a role, bits or parameters that the method does not serve.
  virtual TransferCurve transfer(const TransferRequest& request) const = 0;
};

}  // namespace nnq
