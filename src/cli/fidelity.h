// How near two models are, value by value: signal-to-quantization-noise of what both make under the same name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/engine.h"
#include "nnq/tensor.h"

namespace nnq::cli {

/// One value made by both models over all batches seen.
struct ValueFidelity {
  std::string name;
  double sqnr_db = 0;     // 10 log10(signal / noise); infinite when equal or without noise
  bool equal = true;      // every element, exactly
  bool fitted = false;    // codes on one side: compared after the one scale that fits best
  std::size_t order = 0;  // position in the first model
};

/// Codes of quantizers in both models, element by element: how many there are, and how many differ.
struct CodeAgreement {
  std::int64_t count = 0, by_one = 0, by_more = 0;  // by one level, by more
};

/// Collects the values of model A batch by batch, then those of B for the same batch.
class FidelityMeter {
 public:
  /// Names are matched exactly, or, codes with real values, without ".quantized" and ".codes".
  void see_a(const std::string& name, const Tensor& value, Holds holds);
  void see_b(const std::string& name, const Tensor& value, Holds holds);
  /// Forgets the batch's values, keeps the sums.
  void end_batch();
  /// Worst first.
  std::vector<ValueFidelity> result() const;
  /// The first value of the first model that differs, "" when all agree.
  std::string first_difference() const;
  /// Of the values that are codes in both. Sign codes are one level apart although -1 and +1.
  const CodeAgreement& codes() const { return codes_; }

 private:
  struct Sums {
    double aa = 0, bb = 0, ab = 0, noise = 0;
    bool equal = true;
    std::size_t order = 0;
  };
  struct Seen {
    Tensor value;
    Holds holds = Holds::real;
  };
  void count_codes(const Tensor& a, const Tensor& b);
  static void add(Sums& sums, const Tensor& a, const Tensor& b);

  std::map<std::string, Seen> batch_;                 // values of A in this batch
  std::map<std::string, std::string> batch_by_stem_;  // stem -> a name of A
  std::map<std::string, std::size_t> order_;
  std::map<std::string, std::string> partner_;  // stem -> the value of B that stands for it
  CodeAgreement codes_;
  std::map<std::string, Sums> sums_, fitted_;  // by name of A; fitted_: codes against real values
};

}  // namespace nnq::cli
