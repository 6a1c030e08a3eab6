#include "runtime/steps/plane_sums.h"

#include <algorithm>
#include <array>

#include "runtime/real_planes_steps.h"

namespace nnq {
namespace {

constexpr std::size_t most_terms = 8 * 8 + 8 + 8 + 1;

}  // namespace

PlaneSums::PlaneSums(const PlaneGeometry& geometry, const Step& step, PlaneCombine kernel, std::int64_t stride)
    : step_(step),
      geometry_(geometry),
      combine_(kernel),
      stride_(stride),
      group_out_(step.out_channels / step.groups),
      weight_planes_(step.weights.bits),
      code_planes_(step.planes.code_planes()) {
  keep_coefficients();
  if (!step.planes.code_signs && !weight_terms_) return;
  tap_counts_ = plane_tap_counts(geometry, step);
  totals_.assign(static_cast<std::size_t>(weight_planes_ * step.out_channels), 0);
  for (std::size_t i = 0; i < tap_counts_.size(); ++i) {
    const auto out = static_cast<std::size_t>(step.out_channels), taps = static_cast<std::size_t>(geometry.taps());
    totals_[i / (taps * out) * out + i % out] += tap_counts_[i];
  }
}

/// In the order of the sum: products of planes, weight offsets with the codes, the codes' offset with the weights, both
/// offsets.
void PlaneSums::keep_coefficients() {
  const PlaneCoefficients c = plane_coefficients(step_);
  code_terms_ = !c.codes.empty();
  weight_terms_ = !c.weights.empty();
  constant_term_ = !c.constants.empty();
  const std::int64_t both = std::int64_t{weight_planes_} * code_planes_;
  terms_ = both + (code_terms_ ? code_planes_ : 0) + (weight_terms_ ? weight_planes_ : 0) + (constant_term_ ? 1 : 0);
  coefficients_.assign(static_cast<std::size_t>(step_.groups * terms_ * stride_), 0);
  std::int64_t first = 0;
  const auto keep = [&](const std::vector<double>& values, std::int64_t count) {
    for (std::int64_t o = 0; o < step_.out_channels && !values.empty(); ++o) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = (o / group_out_ * terms_ + first + i) * stride_ + o % group_out_;
        coefficients_[static_cast<std::size_t>(at)] = values[static_cast<std::size_t>(o * count + i)];
      }
    }
    if (!values.empty()) first += count;
  };
  keep(c.both, both);
  keep(c.codes, code_planes_);
  keep(c.weights, weight_planes_);
  keep(c.constants, 1);
}

void PlaneSums::count_weights(std::int64_t position, std::int32_t* counts) const {
  std::copy(totals_.begin(), totals_.end(), counts);
  const std::int64_t taps = geometry_.taps(), out = step_.out_channels;
  geometry_.each_tap(position, [&](std::int64_t t, std::int64_t source) {
    for (std::int64_t p = 0; p < weight_planes_ && source < 0; ++p) {
      const std::int32_t* at_tap = tap_counts_.data() + (p * taps + t) * out;
      for (std::int64_t o = 0; o < out; ++o) counts[p * out + o] -= at_tap[o];
    }
  });
}

void PlaneSums::combine(std::int64_t group, const std::int32_t* both, const std::int32_t* row,
                        const std::int32_t* weights, std::int32_t inside, float* y) const {
  const bool ws = step_.planes.weight_signs, cs = step_.planes.code_signs;
  const std::int64_t first = group * group_out_;
  const double* coefficient = coefficients_.data() + group * terms_ * stride_;
  std::array<PlaneTerm, most_terms> terms;
  std::size_t count = 0;
  const auto add = [&](const std::int32_t* sums, std::int32_t factor, const std::int32_t* set, std::int32_t constant) {
    terms[count++] = {coefficient, sums, set, factor, ws ? 2 : 1, constant};
    coefficient += stride_;
  };
  const auto set = [&](int p) { return weights == nullptr ? nullptr : weights + p * step_.out_channels + first; };
  for (int p = 0; p < weight_planes_; ++p) {
    for (int q = 0; q < code_planes_; ++q) {
      // (2w - 1)(2x - 1) summed is 4 wx - 2 w - 2 x + 1 summed; with one kind of signs less of it.
      const std::int32_t constant = ws ? (cs ? inside - 2 * row[q] : -row[q]) : 0;
      add(both + (p * code_planes_ + q) * stride_, (ws ? 2 : 1) * (cs ? 2 : 1), cs ? set(p) : nullptr, constant);
    }
  }
  for (int q = 0; q < code_planes_ && code_terms_; ++q) add(nullptr, 0, nullptr, cs ? 2 * row[q] - inside : row[q]);
  for (int p = 0; p < weight_planes_ && weight_terms_; ++p) add(set(p), ws ? 2 : 1, nullptr, ws ? -inside : 0);
  if (constant_term_) add(nullptr, 0, nullptr, inside);
  combine_(terms.data(), static_cast<std::int64_t>(count), group_out_, y + first);
}

}  // namespace nnq
