// How freezing sees a value: real = a * value + b, with the multiplication and addition still pending; or, for codes
// with levels of their own, real = levels[value], with the look-up still pending.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace nnq::quantize {

/// A value of the old graph expressed by one of the new. `a` and `b` hold one number or one for each index along
/// `axis`; they are kept in double so that scales, biases and normalisations merge before they are rounded, once.
struct Form {
  std::string value;  // in the new graph
  std::vector<double> a{1}, b{0};
  std::int64_t axis = 1;
  std::vector<float> levels;  // ascending; empty: real = a * value + b

  bool integer = false;  // `value` holds integers in lo .. hi
  bool code = false;     // ... of a quantizer (and not sums of products)
  double lo = 0, hi = 0;

  std::string real;  // the value with a and b applied, once something asked for it

  bool identity() const;        // a == 1, b == 0
  bool one_step() const;        // one a, and b == 0
  bool scaled_only() const;     // b == 0
  bool non_decreasing() const;  // every a >= 0
  bool per_channel() const { return a.size() > 1 || b.size() > 1; }
  std::size_t channels() const { return a.size() > b.size() ? a.size() : b.size(); }
  double a_at(std::size_t channel) const { return a.size() == 1 ? a[0] : a[channel]; }
  double b_at(std::size_t channel) const { return b.size() == 1 ? b[0] : b[channel]; }
  double magnitude() const { return -lo > hi ? -lo : hi; }
};
using FormPtr = std::shared_ptr<Form>;

/// The form y = p * form + q, with p and q of one value or one a channel along `axis`; nullptr when both are per
/// channel on different axes or of different counts, or when the form's values are codes with levels of their own.
FormPtr compose(const Form& form, const std::vector<double>& p, const std::vector<double>& q, std::int64_t axis);

}  // namespace nnq::quantize
