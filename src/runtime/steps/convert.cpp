// Steps between kinds of values: quantize, dequantize.
#include <algorithm>

#include "kernels/quantize/quantize.h"
#include "runtime/plan.h"

namespace nnq {
namespace {

constexpr std::int64_t tile = 64;  // positions turned from planes to channels-last at once

/// Float tensor -> codes. Images change from NCHW to NHWC on the way.
class Quantize final : public PreparedStep {
 public:
  Quantize(const PlanContext& plan, const Step& step)
      : in_(plan.slot(step.inputs[0])),
        out_(plan.slot(step.outputs[0])),
        code_(plan.code(step.outputs[0])),
        scale_(step.scale),
        kernels_(quantize_kernels(plan.isa)) {
    kernel = out_.storage == Storage::bits ? "quantize_bits" : "quantize_bytes";
    // Of one pixel both layouts are the same.
    image_ = out_.shape.size() == 4 && out_.shape[1] * out_.shape[2] > 1;
    channels_ = out_.channels();
    plane_ = image_ ? out_.shape[1] * out_.shape[2] : 1;
    positions_ = out_.positions();
    // The few channels of an input image are one group of bytes: long runs have fewer ends.
    tile_ = image_ && channels_ <= 4 && out_.storage == Storage::bytes ? 16 * tile : tile;
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t parts = (positions_ + tile_ - 1) / tile_;
    const std::int64_t each = std::max<std::int64_t>(1, parts / (pool.threads() * 4));
    pool.parallel((parts + each - 1) / each, [&](std::int64_t part) {
      for (std::int64_t t = part * each; t < std::min(parts, (part + 1) * each); ++t)
        run_tile(t * tile_, std::min(tile_, positions_ - t * tile_));
    });
    return {};
  }

 private:
  void run_tile(std::int64_t first, std::int64_t count) const {
    if (out_.storage == Storage::bits)
      to_bits(first, count);
    else
      to_bytes(first, count);
  }

  /// Where channel c of a position lies in the input, and how far the next position is.
  const float* source(std::int64_t position, std::int64_t c) const {
    const float* x = in_.as<float>();
    return image_ ? x + (position / plane_ * channels_ + c) * plane_ + position % plane_ : x + position * channels_ + c;
  }

  void to_bits(std::int64_t first, std::int64_t count) const {
    const std::int64_t words = out_.words();
    for (std::int64_t done = 0; done < count;) {  // runs of positions inside one image
      const std::int64_t p = first + done, run = image_ ? std::min(count - done, plane_ - p % plane_) : 1;
      for (std::int64_t w = 0; w < words; ++w) {
        std::uint32_t word[tile] = {};
        for (std::int64_t c = w * 32; c < std::min(channels_, w * 32 + 32); ++c) {
          const float* x = source(p, c);
          for (std::int64_t i = 0; i < run; ++i) word[i] |= (x[i] >= 0 ? 1u : 0u) << (c % 32);
        }
        for (std::int64_t i = 0; i < run; ++i) out_.as<std::uint32_t>()[(p + i) * words + w] = word[i];
      }
      done += run;
    }
  }

  void to_bytes(std::int64_t first, std::int64_t count) const {
    std::uint8_t* out = out_.as<std::uint8_t>();
    if (!image_) {
      convert(in_.as<float>() + first * channels_, out + first * channels_, count * channels_);
      return;
    }
    for (std::int64_t done = 0; done < count;) {  // runs of positions inside one image
      const std::int64_t p = first + done, run = std::min(count - done, plane_ - p % plane_);
      // The last channels first: what their four bytes reach over into is the next position's first, written later.
      for (std::int64_t c = (channels_ - 1) / 4 * 4; c >= 0; c -= 4) weave(p, c, run);
      done += run;
    }
  }

  /// Channels c .. c + 3 of `run` positions from p on; in the last ones, where four bytes might reach over the run's
  /// end, those that there are, one by one.
  void weave(std::int64_t p, std::int64_t c, std::int64_t run) const {
    const std::int64_t planes = std::min<std::int64_t>(4, channels_ - c), room = run * channels_ - c - 4,
                       whole = code_.sign || room < 0 ? 0 : room / channels_ + 1;
    const float* x = source(p, c);
    std::uint8_t* to = out_.as<std::uint8_t>() + p * channels_ + c;
    if (whole > 0) kernels_.weave({rounding(x, to, whole), plane_, planes, channels_});
    for (std::int64_t k = 0; k < planes; ++k)
      for (std::int64_t i = whole; i < run; ++i) convert(x + k * plane_ + i, to + i * channels_ + k, 1);
  }

  RoundCall rounding(const float* x, std::uint8_t* to, std::int64_t count) const {
    return {x, to, count, scale_, code_.min, code_.max, code_.min};
  }

  void convert(const float* x, std::uint8_t* to, std::int64_t count) const {
    if (!code_.sign) return kernels_.round(rounding(x, to, count));
    for (std::int64_t i = 0; i < count; ++i) to[i] = x[i] >= 0 ? 2 : 0;
  }

  const Slot& in_;
  const Slot& out_;
  CodeType code_;
  float scale_;
  const QuantizeKernels& kernels_;
  bool image_ = false;
  std::int64_t channels_ = 0, plane_ = 0, positions_ = 0, tile_ = tile;
};

/// Codes or accumulators -> float tensor: round(round(v * a) + b).
class Dequantize final : public PreparedStep {
 public:
  Dequantize(const PlanContext& plan, const Step& step)
      : in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])), min_(plan.code(step.inputs[0]).min) {
    kernel = "dequantize";
    image_ = in_.shape.size() == 4;
    // One value or one a channel; channels are the last axis of images and matrices, axis 1 of anything else.
    const Shape& s = out_.shape;
    channels_ = s.size() >= 2 ? s[1] : 1;
    inner_ = 1;
    for (std::size_t d = 2; d < s.size(); ++d) inner_ *= s[d];
    a_.assign(static_cast<std::size_t>(channels_), 0);
    b_ = a_;
    for (std::size_t c = 0; c < a_.size(); ++c) {
      a_[c] = step.epilogue.a[step.epilogue.a.size() == 1 ? 0 : c];
      b_[c] = step.epilogue.b[step.epilogue.b.size() == 1 ? 0 : c];
    }
  }

  Status run(ThreadPool& pool) override {
    // Images in tiles of positions, so that the channels-last side is read from the cache, channel after channel.
    const std::int64_t wide = image_ ? tile : std::max<std::int64_t>(inner_, 1), tiles = (inner_ + wide - 1) / wide,
                       all = s0() * (image_ ? tiles : channels_),
                       each = std::max<std::int64_t>(1, all / (pool.threads() * 8));
    pool.parallel((all + each - 1) / each, [&](std::int64_t part) {
      for (std::int64_t t = part * each; t < std::min(all, (part + 1) * each); ++t) {
        if (!image_) {
          row(t, 0, inner_);
          continue;
        }
        const std::int64_t first = t % tiles * tile;
        for (std::int64_t c = 0; c < channels_; ++c)
          row(t / tiles * channels_ + c, first, std::min(tile, inner_ - first));
      }
    });
    return {};
  }

 private:
  std::int64_t s0() const { return out_.shape.empty() ? 1 : out_.shape[0]; }

  /// Elements from .. from + count - 1 of row r: of one sample and channel.
  void row(std::int64_t r, std::int64_t from, std::int64_t count) const {
    const std::int64_t n = r / channels_, c = r % channels_;
    float* out = out_.as<float>() + r * inner_ + from;
    const float a = a_[static_cast<std::size_t>(c)], b = b_[static_cast<std::size_t>(c)];
    // Element i of the row: NHWC for images, row-major otherwise.
    const std::int64_t step = image_ ? channels_ : 1,
                       first = (image_ ? n * inner_ * channels_ + c : r * inner_) + from * step;
    const auto each = [&](auto value) {
      for (std::int64_t i = 0; i < count; ++i) {
        const float product = static_cast<float>(value(i)) * a;
        out[i] = product + b;
      }
    };
    if (in_.storage == Storage::sums) {
      each([v = in_.as<std::int32_t>() + first, step](std::int64_t i) { return v[i * step]; });
    } else if (in_.storage == Storage::bytes) {
      each([v = in_.as<std::uint8_t>() + first, step, min = min_](std::int64_t i) { return v[i * step] + min; });
    } else {
      const std::int64_t words = in_.words();
      const std::uint32_t* base = in_.as<std::uint32_t>() + (n * inner_ + from) * words + c / 32;
      each([=](std::int64_t i) { return (base[i * words] >> (c % 32) & 1u) != 0 ? 1 : -1; });
    }
  }

  const Slot& in_;
  const Slot& out_;
  std::int32_t min_;
  bool image_ = false;
  std::int64_t channels_ = 1, inner_ = 1;
  std::vector<float> a_, b_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_convert(const PlanContext& plan, const Step& step) {
  if (step.kind == StepKind::quantize) return std::make_unique<Quantize>(plan, step);
  return std::make_unique<Dequantize>(plan, step);
}

}  // namespace nnq
