// The definition in code of layers on bit planes with real scales. Plain loops; integers first, then the sum of their
// products with real coefficients in the order of docs/program.md.
#include "nnq/encoding.h"
#include "runtime/real_planes_steps.h"
#include "runtime/shapes.h"

namespace nnq {
namespace {

using Ints = std::vector<std::int32_t>;

/// Bit k of `code` as 0 or 1, or as -1 or +1.
std::int32_t factor(std::uint8_t code, int k, bool signs) {
  const std::int32_t bit = code >> k & 1;
  return signs ? 2 * bit - 1 : bit;
}

/// Sums over the taps inside the image, of one output.
struct Counts {
  Ints both;     // [weight planes][code planes]: W_p * X_q
  Ints codes;    // [code planes]: X_q
  Ints weights;  // [weight planes]: W_p
  std::int32_t inside = 0;
};

float combined(const Counts& n, const PlaneCoefficients& c, std::size_t o) {
  double y = 0;
  for (std::size_t i = 0; i < n.both.size(); ++i) y += c.both[o * n.both.size() + i] * n.both[i];
  if (!c.codes.empty()) {
    for (std::size_t q = 0; q < n.codes.size(); ++q) y += c.codes[o * n.codes.size() + q] * n.codes[q];
  }
  if (!c.weights.empty()) {
    for (std::size_t p = 0; p < n.weights.size(); ++p) y += c.weights[o * n.weights.size() + p] * n.weights[p];
  }
  if (!c.constants.empty()) y += c.constants[o] * n.inside;
  return static_cast<float>(y);
}

class Layer {
 public:
  Layer(const Step& step, const CodeType& code, std::span<const std::int32_t> codes)
      : step_(step),
        code_(code),
        codes_(codes),
        coefficients_(plane_coefficients(step)),
        weights_(
            unpack_planes({step.weights.data, step.weights.plane_bytes() * static_cast<std::size_t>(step.weights.bits)},
                          step.weights.bits, step.weights.count)),
        weight_planes_(step.weights.bits),
        code_planes_(step.planes.code_planes()),
        group_in_(step.in_channels / step.groups),
        taps_(step.window.kernel_h * step.window.kernel_w) {}

  /// All outputs of one position. `sources[tap]`: where the tap's channels begin in the codes, -1 outside the image.
  void position(const std::vector<std::int64_t>& sources, float* y) {
    const std::int64_t group_out = step_.out_channels / step_.groups;
    for (std::int64_t o = 0; o < step_.out_channels; ++o) {
      if (o % group_out == 0) gather(sources, o / group_out);
      y[o] = output(o);
    }
  }

 private:
  /// The group's codes as patterns, in the order of the weights; -1 outside.
  void gather(const std::vector<std::int64_t>& sources, std::int64_t group) {
    patterns_.clear();
    for (std::int64_t t = 0; t < taps_; ++t) {
      const std::int64_t source = sources[static_cast<std::size_t>(t)];
      for (std::int64_t i = 0; i < group_in_; ++i) {
        if (source < 0) {
          patterns_.push_back(-1);
          continue;
        }
        const std::int32_t v = codes_[static_cast<std::size_t>(source + group * group_in_ + i)];
        patterns_.push_back(step_.planes.patterns[static_cast<std::size_t>(v - code_.min)]);
      }
    }
  }

  float output(std::int64_t o) const {
    Counts n;
    n.both.assign(static_cast<std::size_t>(weight_planes_ * code_planes_), 0);
    n.codes.assign(static_cast<std::size_t>(code_planes_), 0);
    n.weights.assign(static_cast<std::size_t>(weight_planes_), 0);
    const std::uint8_t* w = weights_.data() + o * taps_ * group_in_;
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      if (patterns_[i] < 0) continue;
      ++n.inside;
      const auto pattern = static_cast<std::uint8_t>(patterns_[i]);
      for (int q = 0; q < code_planes_; ++q)
        n.codes[static_cast<std::size_t>(q)] += factor(pattern, q, step_.planes.code_signs);
      for (int p = 0; p < weight_planes_; ++p) {
        const std::int32_t bit = factor(w[i], p, step_.planes.weight_signs);
        n.weights[static_cast<std::size_t>(p)] += bit;
        for (int q = 0; q < code_planes_; ++q)
          n.both[static_cast<std::size_t>(p * code_planes_ + q)] += bit * factor(pattern, q, step_.planes.code_signs);
      }
    }
    return combined(n, coefficients_, static_cast<std::size_t>(o));
  }

  const Step& step_;
  const CodeType& code_;
  std::span<const std::int32_t> codes_;
  PlaneCoefficients coefficients_;
  std::vector<std::uint8_t> weights_;
  int weight_planes_, code_planes_;
  std::int64_t group_in_, taps_;
  std::vector<std::int16_t> patterns_;
};

}  // namespace

PlaneCoefficients plane_coefficients(const Step& step) {
  const RealPlanes& p = step.planes;
  const auto outputs = static_cast<std::size_t>(step.out_channels),
             planes = static_cast<std::size_t>(step.weights.bits);
  PlaneCoefficients c;
  const auto product = [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); };
  for (std::size_t o = 0; o < outputs; ++o) {
    for (std::size_t k = 0; k < planes; ++k) {
      for (const float code_scale : p.code_scale) c.both.push_back(product(p.weight_scale[o * planes + k], code_scale));
      if (p.code_offset != 0) c.weights.push_back(product(p.weight_scale[o * planes + k], p.code_offset));
    }
    if (p.weight_offset.empty()) continue;
    for (const float code_scale : p.code_scale) c.codes.push_back(product(p.weight_offset[o], code_scale));
    if (p.code_offset != 0) c.constants.push_back(product(p.weight_offset[o], p.code_offset));
  }
  return c;
}

Status plane_sums(const Step& step, const CodeType& code, std::span<const std::int32_t> codes, const Shape& in,
                  Shape& out, std::vector<float>& y) {
  Layer layer(step, code, codes);
  if (step.kind == StepKind::plane_dense) {
    NNQ_REQUIRE(!in.empty() && static_cast<std::int64_t>(codes.size()) == in[0] * step.in_channels, "expected ",
                step.in_channels, " inputs a row, got shape ", to_string(in));
    out = {in[0], step.out_channels};
    y.resize(static_cast<std::size_t>(in[0] * step.out_channels));
    for (std::int64_t r = 0; r < in[0]; ++r) layer.position({r * step.in_channels}, y.data() + r * step.out_channels);
    return {};
  }
  NNQ_TRY(convolution_shape(step, in, out));
  const Window& w = step.window;
  y.resize(static_cast<std::size_t>(out[0] * out[1] * out[2] * out[3]));
  std::vector<std::int64_t> sources(static_cast<std::size_t>(w.kernel_h * w.kernel_w));
  for (std::int64_t position = 0; position < out[0] * out[1] * out[2]; ++position) {
    const std::int64_t ox = position % out[2], oy = position / out[2] % out[1], n = position / out[2] / out[1];
    for (std::int64_t t = 0; t < w.kernel_h * w.kernel_w; ++t) {
      const std::int64_t row = oy * w.stride_h + t / w.kernel_w * w.dilation_h - w.pad_top,
                         column = ox * w.stride_w + t % w.kernel_w * w.dilation_w - w.pad_left;
      const bool inside = row >= 0 && row < in[1] && column >= 0 && column < in[2];
      sources[static_cast<std::size_t>(t)] = inside ? ((n * in[1] + row) * in[2] + column) * in[3] : -1;
    }
    layer.position(sources, y.data() + position * step.out_channels);
  }
  return {};
}

float plane_tail(const Step& step, float y, std::int64_t c, const float* residual) {
  const Epilogue& e = step.epilogue;
  if (!e.a.empty()) {
    const float product = y * e.a[static_cast<std::size_t>(c)];
    y = product + e.b[static_cast<std::size_t>(c)];
  }
  if (residual != nullptr) y += *residual;
  return e.relu && !(y > 0) ? 0.0f : y;
}

}  // namespace nnq
