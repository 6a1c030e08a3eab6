#include "data/normalisation.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace nnq {
namespace {

constexpr std::int64_t tried = 256;  // samples: tells 10 % from 90 % with certainty

struct Candidate {
  std::string name;
  Preprocessing preprocessing;
};

/// Mean and deviation of every channel, of bytes / 255 or of floats.
Preprocessing own_statistics(const Samples& samples, std::span<const std::int64_t> indices) {
  const Tensor x = Preprocessing().apply(samples, indices);
  const auto channels = static_cast<std::size_t>(x.shape()[1]);
  const std::int64_t plane = x.count() / (x.shape()[0] * x.shape()[1]);
  std::vector<double> sum(channels, 0), square(channels, 0);
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const auto c = static_cast<std::size_t>(i / plane) % channels;
    const double v = static_cast<double>(x.as<float>()[i]);
    sum[c] += v;
    square[c] += v * v;
  }
  Preprocessing p{std::vector<float>(channels), std::vector<float>(channels), {}};
  const double n = static_cast<double>(x.count()) / static_cast<double>(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    p.mean[c] = static_cast<float>(sum[c] / n);
    p.std[c] = static_cast<float>(std::sqrt(std::max(square[c] / n - sum[c] / n * (sum[c] / n), 1e-12)));
  }
  return p;
}

double accuracy(const Tensor& logits, const Samples& samples, std::span<const std::int64_t> indices) {
  const std::int64_t n = static_cast<std::int64_t>(indices.size()), classes = logits.count() / n;
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const float* row = logits.as<float>() + i * classes;
    const std::int64_t label = samples.labels.as<std::int64_t>()[indices[static_cast<std::size_t>(i)]];
    correct += std::max_element(row, row + classes) - row == label ? 1 : 0;
  }
  return 100.0 * static_cast<double>(correct) / static_cast<double>(n);
}

}  // namespace

Preprocessing find_normalisation(const Samples& samples, const std::function<Tensor(const Tensor& input)>& logits) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(tried, samples.images.shape()[0])));
  std::iota(indices.begin(), indices.end(), 0);
  std::vector<Candidate> candidates = {{"none (0 .. 1)", {}}, {"to -1 .. 1", {{0.5F}, {0.5F}, {}}}};
  if (samples.images.shape()[1] == 3)
    candidates.push_back({"ImageNet's", {{0.485F, 0.456F, 0.406F}, {0.229F, 0.224F, 0.225F}, {}}});
  candidates.push_back({"the data's own", own_statistics(samples, indices)});
  double best = -1;
  const Candidate* chosen = nullptr;
  for (const Candidate& c : candidates) {
    const double value = accuracy(logits(c.preprocessing.apply(samples, indices)), samples, indices);
    // A later candidate must be clearly better: ties go to the simpler description.
    if (chosen != nullptr && value <= best + 1) continue;
    best = value;
    chosen = &c;
  }
  fmt::print(stderr,
             "the model does not say how its input is normalised: {} fits best ({:.1f} % of {} labelled images; "
             "mean {:.4g}, std {:.4g}); state it with --mean and --std\n",
             chosen->name, best, indices.size(), fmt::join(chosen->preprocessing.mean, ","),
             fmt::join(chosen->preprocessing.std, ","));
  return chosen->preprocessing;
}

}  // namespace nnq
