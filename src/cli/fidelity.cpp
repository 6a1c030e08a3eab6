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

/// Equal shapes, or one of them flattened: then the elements have the same order.
bool comparable(const Tensor& a, const Tensor& b) {
  if (a.dtype() == DType::string || b.dtype() == DType::string) return false;
  const bool flattened = (a.rank() == 2 || b.rank() == 2) && a.rank() > 0 && b.rank() > 0 && a.count() == b.count() &&
                         a.shape()[0] == b.shape()[0];
  return flattened || a.shape() == b.shape();
}

}  // namespace

void FidelityMeter::see_a(const std::string& name, const Tensor& value, Holds holds) {
  order_.emplace(name, order_.size());
  batch_[name] = {value, holds};
  // The real value stands for its stem where there is one; codes only in its absence.
  const std::string stem = stem_of(name);
  if (stem == name || !batch_by_stem_.contains(stem)) batch_by_stem_[stem] = name;
}

void FidelityMeter::see_b(const std::string& name, const Tensor& value, Holds holds) {
  const bool integer = holds != Holds::real;
  const auto exact = batch_.find(name);
  if (exact != batch_.end() && (exact->second.holds != Holds::real) == integer) {
    if (!comparable(exact->second.value, value)) return;
    add(sums_[name], exact->second.value, value);
    if (exact->second.holds == Holds::codes && holds == Holds::codes) count_codes(exact->second.value, value);
    return;
  }
  const std::string stem = stem_of(name);
  const auto by_stem = batch_by_stem_.find(stem);
  if (by_stem == batch_by_stem_.end()) return;
  const Seen& a = batch_.at(by_stem->second);
  if ((a.holds != Holds::real) == integer || !comparable(a.value, value)) return;
  if (partner_.emplace(stem, name).first->second == name) add(fitted_[by_stem->second], a.value, value);
}

void FidelityMeter::count_codes(const Tensor& a, const Tensor& b) {
  const std::vector<float> left = a.to_float(), right = b.to_float();
  const bool signs = std::all_of(left.begin(), left.end(), [](float v) { return v == 1 || v == -1; });
  for (std::size_t i = 0; i < left.size(); ++i) {
    const float levels = std::abs(left[i] - right[i]) / (signs ? 2.0F : 1.0F);
    ++codes_.count;
    if (levels == 1) ++codes_.by_one;
    if (levels > 1) ++codes_.by_more;
  }
}

void FidelityMeter::add(Sums& sums, const Tensor& a, const Tensor& b) {
  const std::vector<float> left = a.to_float(), right = b.to_float();
  for (std::size_t i = 0; i < left.size(); ++i) {
    const double x = left[i], y = right[i];
    sums.aa += x * x;
    sums.bb += y * y;
    sums.ab += x * y;
    sums.noise += (x - y) * (x - y);
    if (!(x == y) && !(std::isnan(x) && std::isnan(y))) sums.equal = false;
  }
}

void FidelityMeter::end_batch() {
  batch_.clear();
  batch_by_stem_.clear();
}

std::vector<ValueFidelity> FidelityMeter::result() const {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const auto db = [](double signal, double noise) { return noise > 0 ? 10 * std::log10(signal / noise) : infinite; };
  std::vector<ValueFidelity> list;
  for (const auto& [name, s] : sums_)
    list.push_back({name, s.equal ? infinite : db(s.aa, s.noise), s.equal, /*fitted=*/false, order_.at(name)});
  for (const auto& [name, s] : fitted_) {
    if (sums_.contains(name)) continue;
    // With one free scale c the noise |a - c b|^2 is least at c = ab / bb.
    const double noise = s.bb > 0 ? std::max(s.aa - s.ab * s.ab / s.bb, 0.0) : s.aa;
    list.push_back({name, s.equal ? infinite : db(s.aa, noise), s.equal, /*fitted=*/true, order_.at(name)});
  }
  std::sort(list.begin(), list.end(), [](const ValueFidelity& x, const ValueFidelity& y) {
    return x.sqnr_db != y.sqnr_db ? x.sqnr_db < y.sqnr_db : x.order < y.order;
  });
  return list;
}

std::string FidelityMeter::first_difference() const {
  ValueFidelity first;
  for (const ValueFidelity& value : result()) {
    if (!value.equal && (first.name.empty() || value.order < first.order)) first = value;
  }
  return first.name;
}

}  // namespace nnq::cli
