#include "train/recurrent_loops.h"

#include "core/clones.h"

namespace nnq::train {

NNQ_CLONES void lstm_cell(const float* gates, const float* before, float* now, std::int64_t rows, std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const a = gates + row * 4 * n;
    const float* const old = before + row * n;
    float* __restrict const to = now + row * n;
    for (std::int64_t j = 0; j < n; ++j) to[j] = a[2 * n + j] * old[j] + a[j] * a[3 * n + j];
  }
}

NNQ_CLONES void lstm_output(const float* gates, const float* tanh_c, float* h, std::int64_t rows, std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const o = gates + row * 4 * n + n;
    const float* const from = tanh_c + row * n;
    float* __restrict const to = h + row * n;
    for (std::int64_t j = 0; j < n; ++j) to[j] = o[j] * from[j];
  }
}

NNQ_CLONES void lstm_gradient(const float* gates, const float* before, const float* tanh_c, const float* dh, float* dc,
                              float* d, std::int64_t rows, std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const a = gates + row * 4 * n;
    const float* const old = before + row * n;
    const float* const tc = tanh_c + row * n;
    const float* const gh = dh + row * n;
    float* __restrict const gc = dc + row * n;
    float* __restrict const to = d + row * 4 * n;
    for (std::int64_t j = 0; j < n; ++j) {
      const float i = a[j], o = a[n + j], f = a[2 * n + j], g = a[3 * n + j];
      const float cell = gc[j] + gh[j] * o * (1 - tc[j] * tc[j]);
      to[j] = cell * g * i * (1 - i);
      to[n + j] = gh[j] * tc[j] * o * (1 - o);
      to[2 * n + j] = cell * old[j] * f * (1 - f);
      to[3 * n + j] = cell * i * (1 - g * g);
      gc[j] = cell * f;
    }
  }
}

NNQ_CLONES void gru_candidate(const float* input, const float* product, float* gates, std::int64_t rows,
                              std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const x = input + row * 3 * n + 2 * n;
    const float* const p = product + row * 3 * n + 2 * n;
    const float* const r = gates + row * 3 * n + n;
    float* const to = gates + row * 3 * n + 2 * n;
    for (std::int64_t j = 0; j < n; ++j) to[j] = x[j] + r[j] * p[j];
  }
}

NNQ_CLONES void gru_output(const float* gates, const float* before, float* now, std::int64_t rows, std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const a = gates + row * 3 * n;
    const float* const old = before + row * n;
    float* __restrict const to = now + row * n;
    for (std::int64_t j = 0; j < n; ++j) to[j] = (1 - a[j]) * a[2 * n + j] + a[j] * old[j];
  }
}

NNQ_CLONES void gru_gradient(const float* gates, const float* product, const float* before, float* dh, float* d,
                             float* dp, std::int64_t rows, std::int64_t n) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const a = gates + row * 3 * n;
    const float* const p = product + row * 3 * n + 2 * n;
    const float* const old = before + row * n;
    float* __restrict const gh = dh + row * n;
    float* __restrict const to = d + row * 3 * n;
    float* __restrict const to_product = dp + row * 3 * n;
    for (std::int64_t j = 0; j < n; ++j) {
      const float z = a[j], r = a[n + j], c = a[2 * n + j];
      const float candidate = gh[j] * (1 - z) * (1 - c * c);
      const float of_z = gh[j] * (old[j] - c) * z * (1 - z);
      const float of_r = candidate * p[j] * r * (1 - r);
      to[j] = to_product[j] = of_z;
      to[n + j] = to_product[n + j] = of_r;
      to[2 * n + j] = candidate;
      to_product[2 * n + j] = candidate * r;
      gh[j] *= z;
    }
  }
}

}  // namespace nnq::train
