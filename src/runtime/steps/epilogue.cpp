#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/plan.h"
#include "runtime/steps/round.h"

namespace nnq {
namespace {

constexpr std::int64_t chunk = 64;  // channels done at once: two 32-bit words of sign bits

}  // namespace

EpilogueWriter::EpilogueWriter(const PlanContext& plan, const Step& step)
    : e_(step.epilogue),
      out_(plan.slot(step.outputs[0])),
      channels_(step.kind == StepKind::threshold ? out_.channels() : step.out_channels) {
  const CodeType& code = plan.code(step.outputs[0]);
  out_min_ = code.min;
  out_sign_ = code.sign;
  if (!e_.residual_a.empty()) {
    residual_ = &plan.slot(step.inputs[1]);
    residual_min_ = plan.code(step.inputs[1]).min;
    residual_sign_ = plan.code(step.inputs[1]).sign;
  }
  if (e_.kind != Epilogue::Kind::thresholds) return;
  const auto n = static_cast<std::size_t>(channels_), levels = static_cast<std::size_t>(e_.levels);
  // s <= t is -s >= -t: with sums and thresholds of falling channels negated one comparison serves all. "Never" is
  // INT32_MAX in both.
  turned_.resize(n * levels);
  direction_.assign(e_.direction.begin(), e_.direction.end());
  for (std::size_t c = 0; c < n; ++c) {
    for (std::size_t l = 0; l < levels; ++l) {
      const std::int32_t t = e_.thresholds[c * levels + l];
      turned_[l * n + c] = direction_[c] > 0                               ? t
                           : t == std::numeric_limits<std::int32_t>::min() ? std::numeric_limits<std::int32_t>::max()
                                                                           : -t;
    }
  }
}

void EpilogueWriter::thresholds(const std::int32_t* sums, std::int64_t position) const {
  for (std::int64_t c0 = 0; c0 < channels_; c0 += chunk) {
    const std::int64_t n = std::min(chunk, channels_ - c0);
    std::int32_t count[chunk] = {}, turned_sums[chunk];
    for (std::int64_t c = 0; c < n; ++c) turned_sums[c] = sums[c0 + c] * direction_[static_cast<std::size_t>(c0 + c)];
    for (std::int32_t l = 0; l < e_.levels; ++l) {
      const std::int32_t* t = turned_.data() + static_cast<std::int64_t>(l) * channels_ + c0;
      for (std::int64_t c = 0; c < n; ++c) count[c] += turned_sums[c] >= t[c] ? 1 : 0;
    }
    if (out_.storage == Storage::bits) {
      std::uint32_t* words = out_.as<std::uint32_t>() + position * out_.words() + c0 / 32;
      for (std::int64_t w = 0; w * 32 < n; ++w) {
        std::uint32_t word = 0;
        for (std::int64_t c = w * 32; c < std::min(n, w * 32 + 32); ++c)
          word |= static_cast<std::uint32_t>(count[c]) << (c - w * 32);
        words[w] = word;
      }
    } else {
      std::uint8_t* bytes = out_.as<std::uint8_t>() + position * channels_ + c0;
      const std::int32_t first = e_.first - out_min_;
      for (std::int64_t c = 0; c < n; ++c) bytes[c] = static_cast<std::uint8_t>(first + e_.step * count[c]);
    }
  }
}

void EpilogueWriter::residual(float* y, std::int64_t position, std::int64_t c0, std::int64_t n) const {
  const std::int64_t from = position * channels_ + c0;
  const float *a = e_.residual_a.data() + c0, *b = e_.residual_b.data() + c0;
  const auto add = [=](auto value) {
    for (std::int64_t c = 0; c < n; ++c) {
      const float product = static_cast<float>(value(c)) * a[c];
      y[c] += product + b[c];
    }
  };
  if (residual_->storage == Storage::sums) {
    add([v = residual_->as<std::int32_t>() + from](std::int64_t c) { return v[c]; });
  } else if (residual_->storage == Storage::bytes) {
    add([v = residual_->as<std::uint8_t>() + from, min = residual_min_](std::int64_t c) { return v[c] + min; });
  } else {
    const std::uint32_t* words = residual_->as<std::uint32_t>() + position * residual_->words() + c0 / 32;
    add([words](std::int64_t c) { return (words[c / 32] >> (c % 32) & 1u) != 0 ? 1 : -1; });
  }
}

void EpilogueWriter::real(const std::int32_t* sums, std::int64_t position) const {
  for (std::int64_t c0 = 0; c0 < channels_; c0 += chunk) {
    const std::int64_t n = std::min(chunk, channels_ - c0);
    const float *a = e_.a.data() + c0, *b = e_.b.data() + c0;
    float y[chunk];
    for (std::int64_t c = 0; c < n; ++c) {
      const float product = static_cast<float>(sums[c0 + c]) * a[c];
      y[c] = product + b[c];
    }
    if (residual_ != nullptr) residual(y, position, c0, n);
    if (e_.relu) {
      for (std::int64_t c = 0; c < n; ++c) y[c] = y[c] > 0 ? y[c] : 0.0f;
    }
    store(y, position, c0, n);
  }
}

void EpilogueWriter::store(const float* y, std::int64_t position, std::int64_t c0, std::int64_t n) const {
  if (e_.kind == Epilogue::Kind::affine) {
    const bool image = out_.shape.size() == 4;
    const std::int64_t plane = image ? out_.shape[2] * out_.shape[3] : 1;
    float* out = out_.as<float>() + (position / plane * channels_ + c0) * plane + position % plane;
    for (std::int64_t c = 0; c < n; ++c) out[c * plane] = y[c];
    return;
  }
  if (out_.storage == Storage::bits) {
    std::uint32_t* words = out_.as<std::uint32_t>() + position * out_.words() + c0 / 32;
    for (std::int64_t w = 0; w * 32 < n; ++w) {
      std::uint32_t word = 0;
      for (std::int64_t c = w * 32; c < std::min(n, w * 32 + 32); ++c) word |= (y[c] >= 0 ? 1u : 0u) << (c - w * 32);
      words[w] = word;
    }
    return;
  }
  std::uint8_t* bytes = out_.as<std::uint8_t>() + position * channels_ + c0;
  if (out_sign_) {
    for (std::int64_t c = 0; c < n; ++c) bytes[c] = y[c] >= 0 ? 2 : 0;
    return;
  }
  round_codes(y, bytes, n, e_.scale, e_.min, e_.max, out_min_);
}

void EpilogueWriter::write(const std::int32_t* sums, std::int64_t stride, std::int64_t first,
                           std::int64_t count) const {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t* row = sums + i * stride;
    switch (e_.kind) {
      case Epilogue::Kind::none:
        std::memcpy(out_.as<std::int32_t>() + (first + i) * channels_, row, static_cast<std::size_t>(channels_) * 4);
        break;
      case Epilogue::Kind::thresholds:
        thresholds(row, first + i);
        break;
      default:
        real(row, first + i);
    }
  }
}

}  // namespace nnq
