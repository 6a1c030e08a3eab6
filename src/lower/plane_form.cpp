#include "lower/plane_form.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nnq::lower_room {
namespace {

constexpr std::size_t most_levels_as_planes = 7;

/// What float32 sums of numbers of this size may differ by.
double tolerance(std::span<const float> values) {
  double most = 0;
  for (const float v : values) most = std::max(most, std::abs(static_cast<double>(v)));
  return 8 * most * static_cast<double>(std::numeric_limits<float>::epsilon());
}

/// Differences of the levels to the lowest, taken away one by one as sums of planes explain them.
class Unexplained {
 public:
  explicit Unexplained(std::span<const float> levels) : taken_(levels.size(), false) {
    const float lowest = *std::min_element(levels.begin(), levels.end());
    for (const float level : levels) differences_.push_back(static_cast<double>(level) - static_cast<double>(lowest));
  }
  double smallest() const {
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < differences_.size(); ++i)
      if (!taken_[i]) least = std::min(least, differences_[i]);
    return least;
  }
  /// The code whose difference is nearest to `sum`; -1 when none is within `slack`.
  std::int64_t take(double sum, double slack) {
    std::int64_t best = -1;
    double distance = slack;
    for (std::size_t i = 0; i < differences_.size(); ++i) {
      if (taken_[i] || !(std::abs(differences_[i] - sum) <= distance)) continue;
      distance = std::abs(differences_[i] - sum);
      best = static_cast<std::int64_t>(i);
    }
    if (best >= 0) taken_[static_cast<std::size_t>(best)] = true;
    return best;
  }

 private:
  std::vector<double> differences_;
  std::vector<bool> taken_;
};

std::optional<PlaneForm> sums_of_a_basis(std::span<const float> levels) {
  std::size_t planes = 0;
  while (std::size_t{1} << planes < levels.size()) ++planes;
  if (levels.size() < 2 || std::size_t{1} << planes != levels.size()) return std::nullopt;
  const double slack = tolerance(levels);
  PlaneForm form;
  form.offset = *std::min_element(levels.begin(), levels.end());
  form.pattern.assign(levels.size(), 0);
  Unexplained rest(levels);
  rest.take(0, 0);
  std::vector<std::pair<double, std::uint8_t>> sums{{0.0, std::uint8_t{0}}};
  for (std::size_t k = 0; k < planes; ++k) {
    const double basis = rest.smallest();
    const std::size_t known = sums.size();
    for (std::size_t i = 0; i < known; ++i) {
      const auto [sum, bits] = sums[i];
      const std::int64_t code = rest.take(sum + basis, slack);
      if (code < 0) return std::nullopt;
      const auto pattern = static_cast<std::uint8_t>(bits | 1U << k);
      form.pattern[static_cast<std::size_t>(code)] = pattern;
      sums.emplace_back(sum + basis, pattern);
    }
    form.scale.push_back(static_cast<float>(basis));
  }
  return form;
}

std::optional<PlaneForm> one_plane_a_level(std::span<const float> levels, const std::vector<bool>& used) {
  std::vector<float> distinct;
  for (std::size_t i = 0; i < levels.size(); ++i)
    if (used.empty() || used[i]) distinct.push_back(levels[i]);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  PlaneForm form;
  if (distinct.empty()) distinct.push_back(0);
  form.offset = std::find(distinct.begin(), distinct.end(), 0.0F) != distinct.end() ? 0.0F : distinct[0];
  std::erase(distinct, form.offset);
  if (distinct.size() > most_levels_as_planes) return std::nullopt;
  for (const float level : distinct) form.scale.push_back(level - form.offset);
  for (const float level : levels) {
    const auto at = std::find(distinct.begin(), distinct.end(), level);
    form.pattern.push_back(static_cast<std::uint8_t>(at == distinct.end() ? 0 : 1U << (at - distinct.begin())));
  }
  if (form.scale.empty()) form.scale.push_back(0);
  return form;
}

bool symmetric(const PlaneForm& form) {
  double sum = form.offset;
  for (const float s : form.scale) sum += 0.5 * static_cast<double>(s);
  std::vector<float> values = form.scale;
  values.push_back(form.offset);
  return std::abs(sum) <= tolerance(values);
}

/// The planes to turn so that the offset becomes 0; -1 when there are none.
int planes_to_turn(const PlaneForm& form) {
  std::vector<float> values = form.scale;
  values.push_back(form.offset);
  const double slack = tolerance(values);
  for (int turned = 0; turned < 1 << form.planes(); ++turned) {
    double sum = form.offset;
    for (int k = 0; k < form.planes(); ++k)
      if ((turned >> k & 1) != 0) sum += static_cast<double>(form.scale[static_cast<std::size_t>(k)]);
    if (std::abs(sum) <= slack) return turned;
  }
  return -1;
}

}  // namespace

std::optional<PlaneForm> planes_of_levels(std::span<const float> levels, const std::vector<bool>& used) {
  if (levels.empty()) return std::nullopt;
  if (std::optional<PlaneForm> form = sums_of_a_basis(levels)) return form;
  return one_plane_a_level(levels, used);
}

PlaneForm planes_of_integers(std::int32_t min, std::int32_t max, float a, float b) {
  PlaneForm form;
  form.offset = b;
  int bits = 1;
  while ((min < 0 ? -(1 << (bits - 1)) > min || (1 << (bits - 1)) <= max : max >> bits != 0)) ++bits;
  for (int k = 0; k < bits; ++k) {
    const float power = static_cast<float>(1 << k);
    form.scale.push_back(a * (min < 0 && k == bits - 1 ? -power : power));
  }
  for (std::int32_t code = min; code <= max; ++code)
    form.pattern.push_back(static_cast<std::uint8_t>(static_cast<std::uint32_t>(code) & ((1U << bits) - 1)));
  return form;
}

void drop_offsets(std::span<PlaneForm> forms) {
  std::size_t planes = 1;
  for (const PlaneForm& form : forms) planes = std::max(planes, form.scale.size());
  for (PlaneForm& form : forms) form.scale.resize(planes, 0);
  if (std::all_of(forms.begin(), forms.end(), [](const PlaneForm& form) { return form.offset == 0; })) return;
  if (std::all_of(forms.begin(), forms.end(), symmetric)) {
    for (PlaneForm& form : forms) {
      for (float& s : form.scale) s *= 0.5F;
      form.offset = 0;
      form.signs = true;
    }
    return;
  }
  std::vector<int> turns;
  for (const PlaneForm& form : forms) turns.push_back(planes_to_turn(form));
  if (std::find(turns.begin(), turns.end(), -1) != turns.end()) return;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    PlaneForm& form = forms[i];
    form.offset = 0;
    for (int k = 0; k < form.planes(); ++k) {
      float& scale = form.scale[static_cast<std::size_t>(k)];
      if ((turns[i] >> k & 1) != 0) scale = -scale;
    }
    for (std::uint8_t& pattern : form.pattern) pattern = static_cast<std::uint8_t>(pattern ^ turns[i]);
  }
}

}  // namespace nnq::lower_room
