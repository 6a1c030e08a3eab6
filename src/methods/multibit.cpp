#include "methods/multibit.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "methods/support.h"
#include "nnq/error.h"
#include "train/element_loops.h"

namespace nnq::methods {
namespace {

using multibit::Bins;
using multibit::Digits;
using multibit::Levels;
using multibit::Ties;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int kMostIterations = 50;
constexpr double kLeastGain = 1e-5;  // relative; below it the fit has come to rest

/// Points in the form that the loops over floats take.
struct Data {
  explicit Data(const Points& points) {
    for (const auto& [value, weight] : points) {
      values.push_back(static_cast<float>(value));
      weights.push_back(weight);
      reach = std::max(reach, std::fabs(value));
      square += weight * value * value;
      total += weight;
    }
  }
  std::vector<float> values;
  std::vector<double> weights;
  double reach = 0, square = 0, total = 0;
};

/// One half step: bins of the nearest levels; returns the squared error of these levels.
double assign(const Data& data, const Levels& levels, std::vector<std::uint8_t>& codes, Bins& bins) {
  std::array<double, multibit::kMaxLevels> level{};
  for (int l = 0; l < levels.count; ++l)
    level[levels.codes[static_cast<std::size_t>(l)]] = static_cast<double>(levels.values[static_cast<std::size_t>(l)]);
  codes.resize(data.values.size());
  multibit::encode(levels, data.values.data(), codes.data(), static_cast<std::int64_t>(codes.size()));
  double error = 0;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const double x = static_cast<double>(data.values[i]), miss = x - level[codes[i]];
    bins.count[codes[i]] += data.weights[i];
    bins.sum[codes[i]] += data.weights[i] * x;
    error += data.weights[i] * miss * miss;
  }
  return error;
}

/// Iterates from `basis` until it rests; returns the error of the basis it leaves.
double refine(const Data& data, Digits digits, Ties ties, std::vector<float>& basis) {
  std::vector<std::uint8_t> codes;
  std::vector<float> best = basis;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kMostIterations; ++i) {
    Bins bins;
    const double error = assign(data, Levels(basis, digits, ties), codes, bins);
    const bool rests = error >= least * (1 - kLeastGain);
    if (error < least) {
      least = error;
      best = basis;
    }
    // The least ridge keeps a number of the basis that no code uses.
    if (rests || !multibit::least_squares(bins, digits, 1e-9 * data.total, basis, basis)) break;
  }
  basis = best;
  return least;
}

struct ThroughLevels : torch::autograd::Function<ThroughLevels> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& q, double low,
                            double high) {
    context->save_for_backward({x});
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    return q.alias();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0];
    const auto low = static_cast<float>(context->saved_data["low"].toDouble());
    const auto high = static_cast<float>(context->saved_data["high"].toDouble());
    at::Tensor out = train::writable(gradients[0], x);
    const float* from = x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, x.numel(), train::kChunk, [&](std::int64_t begin, std::int64_t end) {
      train::mask_range(to + begin, from + begin, end - begin, low, high);
    });
    return {out, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::vector<float> uniform_basis(int bits, double top) {
  std::vector<float> basis;
  for (int j = 0; j < bits; ++j)
    basis.push_back(static_cast<float>(std::ldexp(top, j) / static_cast<double>((1 << bits) - 1)));
  return basis;
}

std::vector<float> fit_basis(const Points& points, int bits, Digits digits, Ties ties,
                             std::span<const float> fallback) {
  const Data data(points);
  if (data.reach == 0) return {fallback.begin(), fallback.end()};
  // The paper's own start for data of this size, and wider ones.
  const double deviation = std::sqrt(data.square / data.total);
  std::vector<float> best;
  double least = std::numeric_limits<double>::infinity();
  for (const double top : {1.349 * deviation, data.reach / 2, data.reach * 0.75, data.reach}) {
    std::vector<float> basis = uniform_basis(bits, top);
    const double error = refine(data, digits, ties, basis);
    if (error < least || best.empty()) {
      least = error;
      best = basis;
    }
  }
  return best;
}

Bins bins_of(const Levels& levels, const at::Tensor& x) {
  const at::Tensor values = train::dense(x.detach());
  const std::int64_t count = values.numel(), chunks = (count + train::kChunk - 1) / train::kChunk;
  std::vector<Bins> parts(static_cast<std::size_t>(chunks));
  const float* from = values.data_ptr<float>();
  at::parallel_for(0, chunks, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t c = first; c < last; ++c) {
      const std::int64_t begin = c * train::kChunk;
      multibit::accumulate(levels, from + begin, std::min(train::kChunk, count - begin),
                           parts[static_cast<std::size_t>(c)]);
    }
  });
  Bins all;
  for (const Bins& part : parts) all.add(part);
  return all;
}

at::Tensor quantize_to_levels(const at::Tensor& x, const Levels& levels, Digits digits, bool masked) {
  NNQ_CHECK(x.scalar_type() == at::kFloat, "quantization takes float32");
  const at::Tensor in = train::dense(x);
  const at::Tensor q = train::map_floats(
      in.detach(), [&](const float* from, float* to, std::int64_t n) { multibit::quantize(levels, from, to, n); });
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return q;
  if (!masked) return train::straight_through(in, q);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float low = digits == Digits::bits ? -infinity : std::nextafter(levels.lowest(), infinity);
  return ThroughLevels::apply(in, q, low, std::nextafter(levels.highest(), -infinity));
}

Encoding plane_encoding(const at::Tensor& weight, std::span<const float> bases, int bits,
                        std::vector<std::uint8_t> codes) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = bits;
  e.shape = shape_of(weight);
  e.groups = static_cast<std::int64_t>(bases.size()) / bits;
  e.codes = std::move(codes);
  for (std::int64_t g = 0; g < e.groups; ++g) {
    const std::span<const float> basis =
        bases.subspan(static_cast<std::size_t>(g * bits), static_cast<std::size_t>(bits));
    e.offset.push_back(multibit::level_of(basis, Digits::signs, 0));
    for (const float v : basis) e.plane_scale.push_back(2 * v);
  }
  return e;
}

ActivationBasis::ActivationBasis(Options options) : options_(std::move(options)) {
  if (!options_.start.empty()) basis_ = at::tensor(options_.start, at::kFloat);
}

std::vector<float> ActivationBasis::stored() const {
  const at::Tensor values = plain(basis_);
  NNQ_CHECK(values.numel() == options_.bits, "the state's basis has " + std::to_string(values.numel()) +
                                                 " numbers, the quantizer " + std::to_string(options_.bits) + " bits");
  return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
}

std::vector<float> ActivationBasis::basis() const {
  std::vector<float> used = stored();
  multibit::to_grid(used);
  return used;
}

at::Tensor ActivationBasis::forward(const at::Tensor& x, bool training) {
  if (!basis_.defined()) {
    calibrate(x);
    finish_calibration();
  }
  const Levels levels(basis(), options_.digits, options_.ties);
  if (training && options_.learn) follow(x, levels);
  return quantize_to_levels(x, levels, options_.digits, options_.masked);
}

void ActivationBasis::follow(const at::Tensor& x, const Levels& levels) {
  const std::vector<float> old = stored();
  std::vector<float> found = old;
  for (int cycle = 0; cycle < options_.cycles; ++cycle) {
    const Bins bins = bins_of(cycle == 0 ? levels : Levels(found, options_.digits, options_.ties), x);
    if (!multibit::least_squares(bins, options_.digits, 0, found, found)) break;  // a dead input: the basis stays
  }
  std::vector<float> moved;
  for (std::size_t j = 0; j < old.size(); ++j)
    moved.push_back(static_cast<float>(options_.kept * static_cast<double>(old[j]) +
                                       (1 - options_.kept) * static_cast<double>(found[j])));
  basis_ = at::tensor(moved, at::kFloat);
}

void ActivationBasis::calibrate(const at::Tensor& x) {
  const at::Tensor values = plain(x);
  observed_.add(values.data_ptr<float>(), values.numel());
}

void ActivationBasis::finish_calibration() {
  const std::vector<float> fallback = options_.start.empty() ? uniform_basis(options_.bits, 1.349) : options_.start;
  if (observed_.empty() && basis_.defined()) return;
  const Points points = observed_.empty() ? Points{} : observed_.points();
  basis_ = at::tensor(fit_basis(points, options_.bits, options_.digits, options_.ties, fallback), at::kFloat);
  observed_ = {};
}

ActivationCode ActivationBasis::code(const std::string& where) const {
  NNQ_CHECK(basis_.defined(), "the activation quantizer was never calibrated", where,
            "run calibration batches through the network first");
  const Levels levels(basis(), options_.digits, options_.ties);
  ActivationCode code;
  code.bits = options_.bits;
  code.max = levels.count - 1;
  code.thresholds.assign(levels.thresholds.begin() + 1, levels.thresholds.begin() + levels.count);
  code.levels.assign(levels.values.begin(), levels.values.begin() + levels.count);
  return code;
}

}  // namespace nnq::methods
