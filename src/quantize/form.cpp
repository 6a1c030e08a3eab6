#include "quantize/form.h"

#include <algorithm>

namespace nnq::quantize {
namespace {

bool all(const std::vector<double>& values, double wanted) {
  return std::all_of(values.begin(), values.end(), [&](double v) { return v == wanted; });
}

double at(const std::vector<double>& values, std::size_t i) { return values.size() == 1 ? values[0] : values[i]; }

}  // namespace

bool Form::identity() const { return levels.empty() && all(a, 1) && all(b, 0); }
bool Form::one_step() const { return levels.empty() && a.size() == 1 && all(b, 0); }
bool Form::scaled_only() const { return levels.empty() && all(b, 0); }
bool Form::non_decreasing() const {
  return std::all_of(a.begin(), a.end(), [](double v) { return v >= 0; });
}

FormPtr compose(const Form& form, const std::vector<double>& p, const std::vector<double>& q, std::int64_t axis) {
  if (!form.levels.empty()) return nullptr;
  const std::size_t count = std::max(p.size(), q.size());
  const bool both = form.per_channel() && count > 1;
  if (both && (form.axis != axis || form.channels() != count)) return nullptr;
  auto out = std::make_shared<Form>(form);
  out->real.clear();
  if (count > 1) out->axis = axis;
  const std::size_t scales = std::max(form.a.size(), p.size());
  const std::size_t offsets = std::max({form.b.size(), p.size(), q.size()});
  out->a.assign(scales, 0);
  out->b.assign(all(form.b, 0) ? std::max<std::size_t>(q.size(), 1) : offsets, 0);
  for (std::size_t c = 0; c < scales; ++c) out->a[c] = at(p, c) * form.a_at(c);
  for (std::size_t c = 0; c < out->b.size(); ++c) out->b[c] = (all(form.b, 0) ? 0 : at(p, c) * form.b_at(c)) + at(q, c);
  return out;
}

}  // namespace nnq::quantize
