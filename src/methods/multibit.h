// What LQ-Nets and alternating multi-bit quantization share while they train: activations whose levels are sums over a
// learned basis, bases fitted to data, and their encodings (pack/multibit.h has the algorithms themselves).
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "methods/calibration.h"
#include "nnq/encoding.h"
#include "pack/multibit.h"
#include "train/quantizer.h"

namespace nnq::methods {

/// v_j = 2^j u: the uniform quantizer's basis, with its largest level at `top`.
std::vector<float> uniform_basis(int bits, double top);

/// The basis with the least squared error that quantization error minimisation (LQ-Nets, sec. 3.2) reaches from a few
/// uniform starts, on values with weights. `fallback` when every value is zero or there are none.
std::vector<float> fit_basis(const Points& points, int bits, multibit::Digits digits, multibit::Ties ties,
                             std::span<const float> fallback);

/// Bins of a whole tensor, in fixed chunks: the same bits for every number of threads.
multibit::Bins bins_of(const multibit::Levels& levels, const at::Tensor& x);

/// The nearest level of every element, in the memory order of x. Gradient: 1 where x < highest level (with digits -1
/// and +1 also: x > lowest level) when `masked`, else everywhere.
at::Tensor quantize_to_levels(const at::Tensor& x, const multibit::Levels& levels, multibit::Digits digits,
                              bool masked);

/// Bit planes about zero: offset -(sum of v), plane scales 2 v; bases[groups][bits], one row a group.
Encoding plane_encoding(const at::Tensor& weight, std::span<const float> bases, int bits,
                        std::vector<std::uint8_t> codes);

/// An activation quantizer with one basis for the tensor. In training the basis follows the data: `cycles` times least
/// squares for the codes of the nearest levels, then basis = kept * basis + (1 - kept) * result.
class ActivationBasis {
 public:
  struct Options {
    int bits = 2;
    multibit::Digits digits = multibit::Digits::bits;
    multibit::Ties ties = multibit::Ties::up;
    int cycles = 1;
    double kept = 0.9;
    bool masked = false;
    bool learn = true;
    std::vector<float> start;  // basis where no data has been seen; empty: from the first batch
  };
  explicit ActivationBasis(Options options);

  at::Tensor forward(const at::Tensor& x, bool training);
  void calibrate(const at::Tensor& x);
  void finish_calibration();
  ActivationCode code(const std::string& where) const;
  std::vector<train::StateEntry> state() { return {{"basis", &basis_, false, 1}}; }

 private:
  std::vector<float> stored() const;  // as it is trained
  std::vector<float> basis() const;   // on its grid: what levels are made of
  void follow(const at::Tensor& x, const multibit::Levels& levels);

  Options options_;
  Histogram observed_;
  at::Tensor basis_;  // [bits]
};

}  // namespace nnq::methods
