// The definition in code of steps on multi-bit vectors: plain loops, one product of planes after the other.
#include <algorithm>

#include "kernels/recurrent/functions.h"
#include "nnq/encoding.h"
#include "pack/multibit.h"
#include "pack/vector_code.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

/// One vector: its stored codes and its scales.
struct Vector {
  std::span<const std::uint8_t> codes;
  std::span<const float> scales;
  bool uniform;
};

/// A matrix of planes with real scales against one vector.
class Matrix {
 public:
  Matrix(const PackedWeights& w, const RealPlanes& p, std::int64_t columns)
      : w_(w),
        p_(p),
        columns_(columns),
        bits_(unpack_planes({w.data, w.plane_bytes() * static_cast<std::size_t>(w.bits)}, w.bits, w.count)) {}

  float product(std::int64_t row, const Vector& x) const {
    return x.uniform ? uniform_product(row, x) : signs_product(row, x.codes, x.scales);
  }

 private:
  /// Integers for each part of the weights: all of it where they are whole numbers, else every plane.
  float uniform_product(std::int64_t row, const Vector& x) const {
    const bool whole = !w_.plane_scale.empty();
    std::int32_t total = 0;
    for (std::int64_t i = 0; i < columns_; ++i) total += x.codes[static_cast<std::size_t>(i)] - uniform_vector_zero;
    float y = 0;
    const auto add = [&](float weight_scale, std::int32_t sum) {
      const float scale = weight_scale * x.scales[0];
      const float product = scale * static_cast<float>(sum);
      y += product;
    };
    const int parts = whole ? 1 : w_.bits;
    for (int p = 0; p < parts; ++p) {
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < columns_; ++i) {
        const std::int32_t bits = bits_[static_cast<std::size_t>(row * columns_ + i)], bit = bits >> p & 1;
        const std::int32_t weight = whole ? w_.offset + bits : p_.weight_signs ? 2 * bit - 1 : bit;
        sum += weight * (x.codes[static_cast<std::size_t>(i)] - uniform_vector_zero);
      }
      add(p_.weight_scale[static_cast<std::size_t>(row * parts + p)], sum);
    }
    if (!p_.weight_offset.empty()) add(p_.weight_offset[static_cast<std::size_t>(row)], total);
    return y;
  }

  float signs_product(std::int64_t row, std::span<const std::uint8_t> codes, std::span<const float> scales) const {
    float y = 0;
    for (int p = 0; p < w_.bits; ++p) {
      float t = 0;
      for (std::size_t q = 0; q < scales.size(); ++q) {
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < columns_; ++i) {
          const std::int32_t bit = bits_[static_cast<std::size_t>(row * columns_ + i)] >> p & 1;
          sum += (p_.weight_signs ? 2 * bit - 1 : bit) * sign(codes, i, q);
        }
        const float product = scales[q] * static_cast<float>(sum);
        t += product;
      }
      const float product = p_.weight_scale[static_cast<std::size_t>(row * w_.bits + p)] * t;
      y += product;
    }
    if (p_.weight_offset.empty()) return y;
    float t = 0;
    for (std::size_t q = 0; q < scales.size(); ++q) {
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < columns_; ++i) sum += sign(codes, i, q);
      const float product = scales[q] * static_cast<float>(sum);
      t += product;
    }
    const float product = p_.weight_offset[static_cast<std::size_t>(row)] * t;
    return y + product;
  }

  static std::int32_t sign(std::span<const std::uint8_t> codes, std::int64_t i, std::size_t q) {
    return 2 * (codes[static_cast<std::size_t>(i)] >> q & 1) - 1;
  }

  const PackedWeights& w_;
  const RealPlanes& p_;
  std::int64_t columns_;
  std::vector<std::uint8_t> bits_;
};

/// Codes as they are stored.
std::vector<std::uint8_t> bytes_of(std::span<const std::int32_t> codes, bool uniform) {
  std::vector<std::uint8_t> bytes;
  for (const std::int32_t c : codes)
    bytes.push_back(static_cast<std::uint8_t>(c + (uniform ? uniform_vector_zero : 0)));
  return bytes;
}

VectorCode code_of(const Recurrence& r) {
  return {.uniform = r.uniform, .bits = r.state_bits, .cycles = r.state_cycles};
}

float or_zero(const std::vector<float>& values, std::int64_t i) {
  return values.empty() ? 0.0F : values[static_cast<std::size_t>(i)];
}

/// One sequence: its state, and the state as products see it.
struct Sequence {
  std::vector<float> h, c, scales, values;
  std::vector<std::uint8_t> codes;

  void quantize(const Recurrence& r) {
    quantize_vector(code_of(r), h.data(), r.hidden, scales.data(), codes.data(), values.data());
  }
};

/// Gates' sums of the input and of the state, with their biases.
void step_lstm(const std::vector<float>& input, const std::vector<float>& state, Sequence& s) {
  const std::size_t n = s.h.size();
  for (std::size_t j = 0; j < n; ++j) {
    const float i = sigmoid_rounded(input[j] + state[j]), o = sigmoid_rounded(input[n + j] + state[n + j]),
                f = sigmoid_rounded(input[2 * n + j] + state[2 * n + j]),
                g = tanh_rounded(input[3 * n + j] + state[3 * n + j]);
    const float kept = f * s.c[j], added = i * g;
    s.c[j] = kept + added;
    s.h[j] = o * tanh_rounded(s.c[j]);
  }
}

void step_gru(const std::vector<float>& input, const std::vector<float>& state, Sequence& s) {
  const std::size_t n = s.h.size();
  for (std::size_t j = 0; j < n; ++j) {
    const float z = sigmoid_rounded(input[j] + state[j]), r = sigmoid_rounded(input[n + j] + state[n + j]);
    const float reset = r * state[2 * n + j];
    const float candidate = tanh_rounded(input[2 * n + j] + reset);
    const float fresh = (1.0F - z) * candidate, kept = z * s.h[j];
    s.h[j] = fresh + kept;
  }
}

}  // namespace

Status interpret_lookup(const Step& step, const Tensor& numbers, VectorOutputs& out) {
  Shape shape = numbers.shape();
  const auto columns = static_cast<std::size_t>(step.in_channels), bits = static_cast<std::size_t>(step.weights.bits);
  shape.push_back(step.weights.bits);
  out.scales = Tensor(DType::f32, shape);
  std::vector<std::uint8_t> codes(columns);
  for (std::int64_t i = 0; i < numbers.count(); ++i) {
    std::int64_t row = 0;
    NNQ_TRY(lookup_row(step, numbers.as<std::int64_t>()[i], row));
    lookup_codes(step, row, codes.data());
    out.codes.insert(out.codes.end(), codes.begin(), codes.end());
    std::copy_n(step.planes.weight_scale.data() + static_cast<std::size_t>(row) * bits, bits,
                out.scales.mutable_as<float>() + static_cast<std::size_t>(i) * bits);
  }
  return {};
}

void interpret_quantize(const Step& step, const Tensor& x, VectorOutputs& out) {
  const VectorCode code = code_of(step.recurrence);
  const auto n = static_cast<std::size_t>(x.shape().back()), each = static_cast<std::size_t>(code.scales());
  Shape shape = x.shape();
  shape.back() = code.scales();
  out.scales = Tensor(DType::f32, shape);
  std::vector<float> values(n);
  std::vector<std::uint8_t> codes(n);
  for (std::size_t v = 0; n > 0 && v < static_cast<std::size_t>(x.count()) / n; ++v) {
    quantize_vector(code, x.as<float>() + v * n, static_cast<std::int64_t>(n),
                    out.scales.mutable_as<float>() + v * each, codes.data(), values.data());
    for (const std::uint8_t c : codes) out.codes.push_back(c - (code.uniform ? uniform_vector_zero : 0));
  }
}

void interpret_levels(std::span<const std::int32_t> codes, const Tensor& scales, bool uniform, Tensor& y) {
  if (codes.empty()) return;
  const auto each = static_cast<std::size_t>(scales.shape().back());
  const std::size_t vectors = static_cast<std::size_t>(scales.count()) / each, n = codes.size() / vectors;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::span<const float> scale(scales.as<float>() + i / n * each, each);
    y.mutable_as<float>()[i] = uniform ? scale[0] * static_cast<float>(codes[i])
                                       : multibit::level_of(scale, multibit::Digits::signs, codes[i]);
  }
}

void interpret_dense(const Step& step, std::span<const std::int32_t> codes, const Tensor& scales, bool uniform,
                     Tensor& y) {
  const Matrix matrix(step.weights, step.planes, step.in_channels);
  const std::vector<std::uint8_t> bytes = bytes_of(codes, uniform);
  const auto columns = static_cast<std::size_t>(step.in_channels),
             each = static_cast<std::size_t>(scales.shape().back());
  const std::size_t rows = bytes.size() / columns;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::int64_t o = 0; o < step.out_channels; ++o) {
      const float sum =
          matrix.product(o, {{bytes.data() + r * columns, columns}, {scales.as<float>() + r * each, each}, uniform});
      y.mutable_as<float>()[static_cast<std::int64_t>(r) * step.out_channels + o] =
          step.epilogue.b.empty() ? sum : sum + step.epilogue.b[static_cast<std::size_t>(o)];
    }
  }
}

void interpret_recurrent(const Step& step, std::span<const std::int32_t> codes, const Tensor& scales,
                         const Tensor* state, const Tensor* cell, VectorOutputs& out) {
  const Recurrence& r = step.recurrence;
  const Matrix of_input(step.weights, step.planes, step.in_channels), of_state(r.weights, r.planes, r.hidden);
  const std::vector<std::uint8_t> bytes = bytes_of(codes, r.uniform);
  const Shape& shape = scales.shape();
  const auto time = static_cast<std::size_t>(shape[0]), batch = static_cast<std::size_t>(shape[1]),
             each = static_cast<std::size_t>(shape[2]), columns = static_cast<std::size_t>(step.in_channels),
             n = static_cast<std::size_t>(r.hidden), state_scales = static_cast<std::size_t>(code_of(r).scales()),
             rows = static_cast<std::size_t>(step.out_channels);
  out.codes.assign(time * batch * n, 0);
  out.scales = Tensor(DType::f32, {shape[0], shape[1], code_of(r).scales()});
  out.state = Tensor(DType::f32, {1, shape[1], r.hidden});
  out.cell = Tensor(DType::f32, {1, shape[1], r.hidden});
  std::vector<float> input(rows), product(rows);
  for (std::size_t b = 0; b < batch; ++b) {
    Sequence s{std::vector<float>(n), std::vector<float>(n), std::vector<float>(state_scales), std::vector<float>(n),
               std::vector<std::uint8_t>(n)};
    if (state != nullptr) std::copy_n(state->as<float>() + b * n, n, s.h.data());
    if (cell != nullptr) std::copy_n(cell->as<float>() + b * n, n, s.c.data());
    s.quantize(r);
    for (std::size_t t = 0; t < time; ++t) {
      const std::size_t position = t * batch + b;
      for (std::size_t o = 0; o < rows; ++o) {
        const auto row = static_cast<std::int64_t>(o);
        input[o] = of_input.product(row, {{bytes.data() + position * columns, columns},
                                          {scales.as<float>() + position * each, each},
                                          r.uniform}) +
                   or_zero(r.bias, row);
        product[o] = of_state.product(row, {s.codes, s.scales, r.uniform}) + or_zero(r.state_bias, row);
      }
      if (r.gru)
        step_gru(input, product, s);
      else
        step_lstm(input, product, s);
      s.quantize(r);
      for (std::size_t j = 0; j < n; ++j)
        out.codes[position * n + j] = s.codes[j] - (r.uniform ? uniform_vector_zero : 0);
      std::copy_n(s.scales.data(), state_scales, out.scales.mutable_as<float>() + position * state_scales);
    }
    std::copy_n(s.h.data(), n, out.state.mutable_as<float>() + b * n);
    std::copy_n(s.c.data(), n, out.cell.mutable_as<float>() + b * n);
  }
}

}  // namespace nnq
