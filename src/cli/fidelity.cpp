#include "cli/fidelity.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nnq::cli {
namespace {

/// "relu1.quantized.codes" -> "relu1": what the freezer appends to the name of the value it quantizes.
std::string stem_of(std::string name) {
  for (bool cut = true; cut;) {
    cut = false;
    for (const std::string suffix : {".codes", ".quantized"}) {
      if (name.size() > suffix.size() && name.ends_with(suffix)) {
        name.resize(name.size() - suffix.size());
        cut = true;
      }
    }
  }
  return name;
}

}  // namespace

void FidelityMeter::see_a(const std::string& name, const Tensor& value, bool integer) {
  order_.emplace(name, order_.size());
  batch_[name] = {value, integer};
  // The real value stands for its stem where there is one; codes only in its absence.
  const std::string stem = stem_of(name);
  if (stem == name || !batch_by_stem_.contains(stem)) batch_by_stem_[stem] = name;
}

void FidelityMeter::see_b(const std::string& name, const Tensor& value, bool integer) {
  if (const auto exact = batch_.find(name); exact != batch_.end()) {
    match(name, exact->second, value, integer);
    return;
  }
  const auto stem = batch_by_stem_.find(stem_of(name));
  if (stem == batch_by_stem_.end()) return;
  // Real values of the same stem would have the same name; a stem match is worth something for codes only.
  const Seen& a = batch_.at(stem->second);
  if (a.integer != integer) match(stem->second, a, value, integer);
}

void FidelityMeter::match(const std::string& name, const Seen& a, const Tensor& b, bool b_integer) {
  const bool numbers = a.value.dtype() != DType::string && b.dtype() != DType::string;
  if (!numbers || a.value.shape() != b.shape()) return;
  const std::vector<float> left = a.value.to_float(), right = b.to_float();
  Sums& sums = sums_[name];
  sums.order = order_.at(name);
  sums.fitted = sums.fitted || a.integer != b_integer;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double x = left[i], y = right[i];
    sums.aa += x * x;
    sums.bb += y * y;
    sums.ab += x * y;
    sums.noise += (x - y) * (x - y);
    sums.largest = std::max(sums.largest, std::abs(x - y));
    if (!(x == y) && !(std::isnan(x) && std::isnan(y))) sums.equal = false;
  }
}

void FidelityMeter::end_batch() {
  batch_.clear();
  batch_by_stem_.clear();
}

std::vector<ValueFidelity> FidelityMeter::result() const {
  std::vector<ValueFidelity> list;
  for (const auto& [name, s] : sums_) {
    // With one free scale c the noise |a - c b|^2 is least at c = ab / bb.
    const double noise = !s.fitted ? s.noise : s.bb > 0 ? std::max(s.aa - s.ab * s.ab / s.bb, 0.0) : s.aa;
    const double infinite = std::numeric_limits<double>::infinity();
    const double ratio = noise > 0 ? 10 * std::log10(s.aa / noise) : infinite;
    list.push_back({name, s.equal ? infinite : ratio, s.equal, s.fitted && !s.equal, s.order});
  }
  std::sort(list.begin(), list.end(), [](const ValueFidelity& x, const ValueFidelity& y) {
    return x.sqnr_db != y.sqnr_db ? x.sqnr_db < y.sqnr_db : x.order < y.order;
  });
  return list;
}

std::string FidelityMeter::first_difference() const {
  const std::string* first = nullptr;
  std::size_t order = 0;
  for (const auto& [name, s] : sums_) {
    if (!s.equal && (first == nullptr || s.order < order)) {
      first = &name;
      order = s.order;
    }
  }
  return first == nullptr ? "" : *first;
}

double FidelityMeter::max_abs_difference(const std::string& name) const {
  const auto it = sums_.find(name);
  return it == sums_.end() ? 0 : it->second.largest;
}

}  // namespace nnq::cli
