// What `nnq attack` asks of libnnq_train.so and what it gets back. Torch-free.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nnq/dataset.h"
#include "nnq/graph.h"
#include "nnq/runtime.h"

namespace nnq {

/// What `nnq attack` asks for: attacks times budgets on one model.
struct AttackRequest {
  std::string name;                     // of the model, for messages and the report
  Graph model;                          // float, training form or frozen; no nodes: only `packed` is known
  std::shared_ptr<const Model> packed;  // its .nnq
  bool runtime = false;                 // predictions from the packed runtime (`packed`, or lowered from `model`)
  Graph source;                         // what gradients are taken of; no nodes: the model itself
  std::vector<std::string> attacks;     // ids of `nnq methods`
  std::vector<double> epsilons;         // each above 0, at most 1 (pixels are 0..1)
  std::map<std::string, std::string> parameters;  // each goes to the attacks that have it
  Samples samples;
  std::int64_t count = 0;  // images attacked, from the first; 0: all
  Preprocessing preprocessing;
  std::string gradient = "own";  // through quantized activations: own, mask, clip, smooth (src/train/surrogate.h)
  double beta = 2;               // smooth
  std::int64_t draws = 0;        // stochastic networks: passes to average over; 0: no draws, their deterministic form
  bool diagnose = true;
  std::uint64_t seed = 1;
  int threads = 0;
};

/// One attack at one budget.
struct AttackRow {
  std::string attack;
  double epsilon = 0;      // 0: the attack knows no budget and looks for the smallest change
  bool black_box = false;  // gradients, if any, are of another network
  std::int64_t count = 0;
  double clean = 0, robust = 0;       // accuracy, percent of count
  double mean_l2 = 0, mean_linf = 0;  // of the change of the attacked (correctly classified) images, pixels in 0..1
  double max_linf = 0;
  double queries = 0;  // passes through the attacked network or its gradients, an attacked image
  double seconds = 0;
};

/// Signs that an attack fails for want of gradients and not for the network's strength. Shares are percent of up to
/// 200 correctly classified images; `survive` numbers are of those the percent that stay correct.
struct MaskingDiagnosis {
  bool done = false, masked = false;
  std::int64_t count = 0;
  double epsilon = 0;
  double zero_gradient = 0;     // every pixel's gradient is exactly 0
  double saturated = 0;         // 1 - softmax of the label is exactly 0 in float32
  double loss_growth = 0;       // the margin loss is larger an FGSM step on
  double fgsm_survive = 0;      // cross-entropy as it is
  double tempered_survive = 0;  // scores times 0.05
  double margin_survive = 0;    // margin loss
  double noise_survive = 0;     // uniform noise of the same budget
  double large_survive = 0;     // 20 steps with epsilon 1
  double transfer_gain = 0;     // points by which a black-box attack beats the best white-box one; 0 when none does
  std::string finding, next;    // a line each
};

struct AttackReport {
  std::string backend;  // "executor" or "runtime"
  std::vector<AttackRow> rows;
  MaskingDiagnosis diagnosis;
};

/// The part of the training library that attacks models: the object behind nnq_train_api() is one of these too
/// (dynamic_cast; both sides share their type information, docs/adr/0004).
class RobustnessApi {
 public:
  virtual ~RobustnessApi() = default;
  /// Throws nnq::Error.
  virtual AttackReport attack(const AttackRequest& request) const = 0;
};

}  // namespace nnq
