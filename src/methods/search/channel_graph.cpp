#include "methods/search/channel_graph.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "nnq/error.h"

namespace nnq::methods {

std::int64_t interaction_unit(double share, std::int64_t range) {
  NNQ_CHECK(share > 0 && share <= 1 && range > 0, "the unit of interactions needs a share in 0 .. 1 and a range");
  // 0.01 * 300 is a little more than 3 in binary: what decimal arithmetic would call whole stays whole.
  return static_cast<std::int64_t>(std::ceil(share * static_cast<double>(range) - 1e-9));
}

Stair::Stair(int influence, std::int64_t range, std::int64_t unit) {
  const std::int64_t intervals = std::abs(influence);
  NNQ_CHECK(intervals >= 3 && intervals <= 255 && intervals % 2 == 1,
            "an influence is odd and 3 to 255 in size, not " + std::to_string(influence));
  NNQ_CHECK(
      range > 0 && range < 1 << 24 && unit > 0 && unit < 1 << 24,
      "popcounts and corrections lie in 1 .. 2^24, not " + std::to_string(range) + " and " + std::to_string(unit));
  // p > -range + 2 range k / |K|, that is p >= floor(...) + 1; numerators are made positive for the division.
  for (std::int64_t k = 1; k < intervals; ++k) thresholds_.push_back(2 * range * k / intervals - range + 1);
  const std::int64_t sign = influence > 0 ? 1 : -1;
  lowest_ = sign * (1 - intervals) / 2 * unit;
  step_ = sign * unit;
}

std::int64_t Stair::delta(std::int64_t p) const {
  return lowest_ + step_ * (std::upper_bound(thresholds_.begin(), thresholds_.end(), p) - thresholds_.begin());
}

int influence_of(double t, int k0) {
  NNQ_CHECK(k0 >= 1 && std::fabs(t) <= 1, "an influence is made from -1 .. 1 and a K0 of 1 or more");
  if (t == 0) return 0;
  const int size = 2 * static_cast<int>(std::ceil(k0 * std::fabs(t))) + 1;
  return t > 0 ? size : -size;
}

double scaled_influence(int influence, int k0) {
  if (influence == 0) return 0;
  const double size = static_cast<double>(std::abs(influence) - 1) / (2 * k0);
  return influence > 0 ? size : -size;
}

ChannelGraph::ChannelGraph(std::int64_t channels, const Options& options) : channels_(channels), options_(options) {
  NNQ_CHECK(channels > 0, "a layer of interactions needs channels");
  NNQ_CHECK(options.block >= 2 && options.density >= 0 && options.density <= 1,
            "blocks have two channels or more and the density is 0 to 1");
}

bool ChannelGraph::has(std::int64_t teacher, std::int64_t student) const {
  return std::any_of(edges_.begin(), edges_.end(),
                     [&](const Interaction& e) { return e.teacher == teacher && e.student == student; });
}

std::int64_t ChannelGraph::edges_in_block(std::int64_t block) const {
  return std::count_if(edges_.begin(), edges_.end(),
                       [&](const Interaction& e) { return e.teacher / options_.block == block; });
}

bool ChannelGraph::reaches(std::int64_t from, std::int64_t to) const {
  std::vector<bool> seen(static_cast<std::size_t>(channels_), false);
  std::vector<std::int64_t> open{from};
  while (!open.empty()) {
    const std::int64_t at = open.back();
    open.pop_back();
    if (at == to) return true;
    if (seen[static_cast<std::size_t>(at)]) continue;
    seen[static_cast<std::size_t>(at)] = true;
    for (const Interaction& e : edges_)
      if (e.teacher == at) open.push_back(e.student);
  }
  return false;
}

bool ChannelGraph::may_add(std::int64_t teacher, std::int64_t student) const {
  const bool inside = teacher >= 0 && student >= 0 && teacher < channels_ && student < channels_;
  if (!inside || teacher == student || teacher / options_.block != student / options_.block) return false;
  const std::int64_t block = teacher / options_.block,
                     size = std::min(options_.block, channels_ - block * options_.block);
  const double room = options_.density * static_cast<double>(size * size);
  return static_cast<double>(edges_in_block(block)) < room && !has(teacher, student) && !reaches(student, teacher);
}

bool ChannelGraph::add(const Interaction& edge) {
  if (edge.influence == 0 || !may_add(edge.teacher, edge.student)) return false;
  edges_.push_back(edge);
  return true;
}

bool ChannelGraph::remove(std::int64_t teacher, std::int64_t student) {
  return std::erase_if(edges_, [&](const Interaction& e) { return e.teacher == teacher && e.student == student; }) > 0;
}

bool ChannelGraph::set_influence(std::int64_t teacher, std::int64_t student, int influence) {
  for (Interaction& e : edges_) {
    if (e.teacher != teacher || e.student != student) continue;
    if (influence != 0) e.influence = influence;
    return true;
  }
  return false;
}

std::vector<std::int64_t> interact(const ChannelGraph& graph, std::span<const std::int64_t> p, std::int64_t pixels,
                                   std::int64_t range, std::int64_t unit) {
  NNQ_CHECK(static_cast<std::int64_t>(p.size()) == graph.channels() * pixels,
            "popcounts of " + std::to_string(graph.channels()) + " channels and " + std::to_string(pixels) +
                " places are needed, there are " + std::to_string(p.size()));
  std::vector<std::int64_t> corrected(p.begin(), p.end());
  for (const Interaction& e : graph.edges()) {
    const Stair stair(e.influence, range, unit);
    const std::int64_t* from = p.data() + e.teacher * pixels;
    std::int64_t* to = corrected.data() + e.student * pixels;
    for (std::int64_t i = 0; i < pixels; ++i) to[i] += stair.delta(from[i]);
  }
  return corrected;
}

int reward_of_loss(double before, double after, double h) {
  if (before - after > h) return 1;
  return after - before > h ? -1 : 0;
}

double reward_of_magnitudes(std::span<const std::int64_t> teachers, std::span<const std::int64_t> students) {
  NNQ_CHECK(teachers.size() == students.size(), "each teacher's popcount needs a student's");
  if (teachers.empty()) return 0;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < teachers.size(); ++i) {
    const std::int64_t t = std::abs(teachers[i]), s = std::abs(students[i]);
    sum += t > s ? 1 : t < s ? -1 : 0;
  }
  return static_cast<double>(sum) / static_cast<double>(teachers.size());
}

std::vector<double> deletion_distribution(std::span<const double> creation) {
  std::vector<double> weights;
  double total = 0;
  for (const double p : creation) {
    weights.push_back(-std::log(std::clamp(p, 1e-300, 1.0)));
    total += weights.back();
  }
  for (double& w : weights) w = total > 0 ? w / total : 1 / static_cast<double>(weights.size());
  return weights;
}

std::vector<double> softmax(std::span<const double> logits) {
  std::vector<double> p(logits.begin(), logits.end());
  if (p.empty()) return p;
  const double top = *std::max_element(p.begin(), p.end());
  double total = 0;
  for (double& v : p) total += v = std::exp(v - top);
  for (double& v : p) v /= total;
  return p;
}

std::vector<double> reinforce_gradient(std::span<const double> probabilities, std::size_t action, double reward) {
  NNQ_CHECK(action < probabilities.size(), "there is no such action");
  std::vector<double> gradient(probabilities.begin(), probabilities.end());
  gradient[action] -= 1;
  for (double& g : gradient) g *= reward;
  return gradient;
}

}  // namespace nnq::methods
