#include "methods/support.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "nnq/error.h"

namespace nnq::methods {
namespace {

constexpr std::int64_t kSumChunk = 1 << 14;

/// Sum of term(i) for i in begin .. end - 1: each chunk in order, then the chunks in order.
template <class Term>
double chunked_sum(std::int64_t begin, std::int64_t end, Term term) {
  const std::int64_t count = end - begin, chunks = (count + kSumChunk - 1) / kSumChunk;
  std::vector<double> parts(static_cast<std::size_t>(chunks), 0);
  at::parallel_for(0, chunks, 4, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t c = first; c < last; ++c) {
      double sum = 0;
      const std::int64_t stop = std::min(end, begin + (c + 1) * kSumChunk);
      for (std::int64_t i = begin + c * kSumChunk; i < stop; ++i) sum += term(i);
      parts[static_cast<std::size_t>(c)] = sum;
    }
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

}  // namespace

at::Tensor plain(const at::Tensor& x) { return x.detach().to(at::kCPU, at::kFloat).contiguous(); }

double sum_of_magnitudes(const at::Tensor& x) {
  const at::Tensor dense = plain(x);
  const float* values = dense.data_ptr<float>();
  return chunked_sum(0, dense.numel(), [&](std::int64_t i) { return static_cast<double>(std::fabs(values[i])); });
}

double sum_of_products(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = plain(a), right = plain(b);
  const float *l = left.data_ptr<float>(), *r = right.data_ptr<float>();
  return chunked_sum(0, left.numel(),
                     [&](std::int64_t i) { return static_cast<double>(l[i]) * static_cast<double>(r[i]); });
}

at::Tensor row_sums(const at::Tensor& x) {
  const at::Tensor dense = plain(x);
  const float* values = dense.data_ptr<float>();
  const std::int64_t rows = dense.size(0), size = rows > 0 ? dense.numel() / rows : 0;
  at::Tensor sums = at::empty({rows}, at::kFloat);
  for (std::int64_t r = 0; r < rows; ++r)
    sums.data_ptr<float>()[r] = static_cast<float>(
        chunked_sum(r * size, (r + 1) * size, [&](std::int64_t i) { return static_cast<double>(values[i]); }));
  return sums;
}

std::vector<float> mean_magnitudes(const at::Tensor& x, std::int64_t groups) {
  const at::Tensor dense = plain(x);
  const float* values = dense.data_ptr<float>();
  const std::int64_t size = groups > 0 ? dense.numel() / groups : 0;
  std::vector<float> means(static_cast<std::size_t>(groups), 0.0F);
  if (size == 0) return means;
  for (std::int64_t g = 0; g < groups; ++g) {
    const double sum = chunked_sum(g * size, (g + 1) * size,
                                   [&](std::int64_t i) { return static_cast<double>(std::fabs(values[i])); });
    means[static_cast<std::size_t>(g)] = static_cast<float>(sum / static_cast<double>(size));
  }
  return means;
}

void check_finite(const at::Tensor& x, const char* method) {
  NNQ_CHECK(at::isfinite(x.detach()).all().item<bool>(), "the values hold a NaN or an infinity",
            std::string("method '") + method + "'", "did training diverge? lower the learning rate");
}

std::int64_t groups_of(const at::Tensor& weight, bool per_channel, std::int64_t channel_axis) {
  return per_channel && channel_axis == 0 && weight.dim() > 0 && weight.size(0) > 0 ? weight.size(0) : 1;
}

at::Tensor sign_bits(const at::Tensor& x) { return plain(x).ge(0).to(at::kByte); }

at::Tensor signs(const at::Tensor& x) { return sign_bits(x).to(at::kFloat).mul_(2).sub_(1); }

std::vector<std::uint8_t> to_codes(const at::Tensor& codes) {
  const at::Tensor bytes = codes.contiguous();
  const auto* data = bytes.data_ptr<std::uint8_t>();
  return {data, data + bytes.numel()};
}

Shape shape_of(const at::Tensor& x) { return x.sizes().vec(); }

ActivationCode sign_code() {
  ActivationCode code;
  code.sign = true;
  code.bits = 1;
  code.min = -1;
  code.max = 1;
  return code;
}

void clip_latent(at::Tensor& latent) {
  const at::NoGradGuard no_gradient;
  latent.clamp_(-1, 1);
}

Encoding binary_encoding(const at::Tensor& weight, const std::vector<float>& magnitude) {
  Encoding e;
  e.kind = EncodingKind::bit_planes;
  e.bits = 1;
  e.shape = shape_of(weight);
  e.groups = static_cast<std::int64_t>(magnitude.size());
  e.codes = to_codes(sign_bits(weight));
  for (const float s : magnitude) {
    e.offset.push_back(-s);
    e.plane_scale.push_back(2 * s);
  }
  return e;
}

}  // namespace nnq::methods
