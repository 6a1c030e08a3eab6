// What several methods compute: sums that do not depend on the number of threads, checks, codes.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "nnq/encoding.h"
#include "nnq/quantize.h"

namespace nnq::methods {

/// float32, row-major, without gradient.
at::Tensor plain(const at::Tensor& x);

/// Sum of |x| (or of a * b) in double over fixed chunks: the same bits for every number of threads.
double sum_of_magnitudes(const at::Tensor& x);
double sum_of_products(const at::Tensor& a, const at::Tensor& b);
/// Sum of each row of x [rows, n], as float32 [rows].
at::Tensor row_sums(const at::Tensor& x);
/// mean |x| of each of `groups` equal slices along axis 0; 0 for empty slices.
std::vector<float> mean_magnitudes(const at::Tensor& x, std::int64_t groups);

/// Throws nnq::Error when x holds a NaN or an infinity.
void check_finite(const at::Tensor& x, const char* method);

/// Groups of a weight: its output channels when they are the first axis and per_channel is set, else 1.
std::int64_t groups_of(const at::Tensor& weight, bool per_channel, std::int64_t channel_axis);

/// 1 where x >= 0, else 0; uint8, row-major.
at::Tensor sign_bits(const at::Tensor& x);
/// sign_bits as +1 / -1 float32 in the shape of x.
at::Tensor signs(const at::Tensor& x);

std::vector<std::uint8_t> to_codes(const at::Tensor& codes);  // from a uint8 tensor
Shape shape_of(const at::Tensor& x);

/// The code of activations that become sign(x).
ActivationCode sign_code();
/// Keeps the latent values of a binary weight in [-1, 1], where their gradient is: BNN's clipping after a step.
void clip_latent(at::Tensor& latent);

/// {-s, +s} of each group: one plane, bit 1 is +s.
Encoding binary_encoding(const at::Tensor& weight, const std::vector<float>& magnitude);

}  // namespace nnq::methods
