#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/plan.h"

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

void EpilogueWriter::residual(float* y, std::int64_t position) const {
  const std::int64_t from = position * channels_;
  const auto add = [&](auto value) {
    for (std::int64_t c = 0; c < channels_; ++c) {
      const float product = static_cast<float>(value(c)) * e_.residual_a[static_cast<std::size_t>(c)];
      y[c] += product + e_.residual_b[static_cast<std::size_t>(c)];
    }
  };
  if (residual_->storage == Storage::sums) {
    add([v = residual_->as<std::int32_t>() + from](std::int64_t c) { return v[c]; });
  } else if (residual_->storage == Storage::bytes) {
    add([v = residual_->as<std::uint8_t>() + from, min = residual_min_](std::int64_t c) { return v[c] + min; });
  } else {
    const std::uint32_t* words = residual_->as<std::uint32_t>() + position * residual_->words();
    add([words](std::int64_t c) { return (words[c / 32] >> (c % 32) & 1u) != 0 ? 1 : -1; });
  }
}

void EpilogueWriter::real(const std::int32_t* sums, std::int64_t position) const {
  constexpr std::int64_t most = 4096;
  float small[most];
  std::vector<float> large;  // only layers of more than 4096 channels pay for memory here
  float* y = small;
  if (channels_ > most) {
    large.resize(static_cast<std::size_t>(channels_));
    y = large.data();
  }
  for (std::int64_t c = 0; c < channels_; ++c) {
    const float product = static_cast<float>(sums[c]) * e_.a[static_cast<std::size_t>(c)];
    y[c] = product + e_.b[static_cast<std::size_t>(c)];
  }
  if (residual_ != nullptr) residual(y, position);
  if (e_.relu) {
    for (std::int64_t c = 0; c < channels_; ++c) y[c] = y[c] > 0 ? y[c] : 0.0f;
  }
  if (e_.kind == Epilogue::Kind::affine) {
    const bool image = out_.shape.size() == 4;
    const std::int64_t plane = image ? out_.shape[2] * out_.shape[3] : 1;
    float* out = out_.as<float>() + (position / plane * channels_) * plane + position % plane;
    for (std::int64_t c = 0; c < channels_; ++c) out[c * plane] = y[c];
    return;
  }
  if (out_.storage == Storage::bits) {
    std::uint32_t* words = out_.as<std::uint32_t>() + position * out_.words();
    std::memset(words, 0, static_cast<std::size_t>(out_.words()) * 4);
    for (std::int64_t c = 0; c < channels_; ++c) words[c / 32] |= (y[c] >= 0 ? 1u : 0u) << (c % 32);
    return;
  }
  std::uint8_t* bytes = out_.as<std::uint8_t>() + position * channels_;
  if (out_sign_) {
    for (std::int64_t c = 0; c < channels_; ++c) bytes[c] = y[c] >= 0 ? 2 : 0;
    return;
  }
  const float low = static_cast<float>(e_.min), high = static_cast<float>(e_.max);
  for (std::int64_t c = 0; c < channels_; ++c) {
    float v = std::nearbyint(y[c] / e_.scale);
    v = v > low ? v : low;  // also NaN
    v = v < high ? v : high;
    bytes[c] = static_cast<std::uint8_t>(static_cast<std::int32_t>(v) - out_min_);
  }
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
