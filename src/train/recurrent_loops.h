// The arithmetic of one time step of an LSTM or GRU, one pass over memory each. Rows are samples; gate blocks of n
// columns stand in ONNX order (LSTM i, o, f, c; GRU z, r, h).
#pragma once

#include <cstdint>

namespace nnq::train {

/// now = f before + i g, from activated gates [rows, 4 n].
void lstm_cell(const float* gates, const float* before, float* now, std::int64_t rows, std::int64_t n);
/// h = o tanh_c.
void lstm_output(const float* gates, const float* tanh_c, float* h, std::int64_t rows, std::int64_t n);
/// From dh and dc (in: of the new cell, out: of the one before): d [rows, 4 n], the gradient of the gates' sums.
void lstm_gradient(const float* gates, const float* before, const float* tanh_c, const float* dh, float* dc, float* d,
                   std::int64_t rows, std::int64_t n);

/// Writes input_h + r product_h into the third block of `gates`, whose second block is r.
void gru_candidate(const float* input, const float* product, float* gates, std::int64_t rows, std::int64_t n);
/// now = (1 - z) candidate + z before.
void gru_output(const float* gates, const float* before, float* now, std::int64_t rows, std::int64_t n);
/// From dh: d, the gradient of the input's share of the gates' sums; dp, of the recurrent products; dh becomes z dh.
void gru_gradient(const float* gates, const float* product, const float* before, float* dh, float* d, float* dp,
                  std::int64_t rows, std::int64_t n);

}  // namespace nnq::train
