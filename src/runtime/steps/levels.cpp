// Steps between real values and codes that have levels of their own: bucketize, levels.
#include <algorithm>
#include <array>

#include "runtime/plan.h"

namespace nnq {
namespace {

constexpr std::int64_t tile = 64;  // positions turned from planes to channels-last at once

/// Parts for the pool, each of `each` units.
struct Split {
  std::int64_t parts, each;
  Split(std::int64_t units, int threads)
      : parts(0), each(std::max<std::int64_t>(1, units / (static_cast<std::int64_t>(threads) * 4))) {
    parts = (units + each - 1) / each;
  }
};

/// Float tensor -> codes. Images change from NCHW to NHWC on the way.
class Bucketize final : public PreparedStep {
 public:
  Bucketize(const PlanContext& plan, const Step& step)
      : in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])), thresholds_(step.planes.thresholds) {
    kernel = "bucketize";
    const bool image = out_.shape.size() == 4;
    channels_ = out_.channels();
    plane_ = image ? out_.shape[1] * out_.shape[2] : 1;
    tiles_ = (plane_ + tile - 1) / tile;
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t units = out_.positions() / std::max<std::int64_t>(plane_, 1) * tiles_;
    const Split split(units, pool.threads());
    pool.parallel(split.parts, [&](std::int64_t part) {
      for (std::int64_t u = part * split.each; u < std::min(units, (part + 1) * split.each); ++u) run_tile(u);
    });
    return {};
  }

 private:
  void run_tile(std::int64_t unit) const {
    const std::int64_t image = unit / tiles_, first = unit % tiles_ * tile, count = std::min(tile, plane_ - first);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const float* x = in_.as<float>() + (image * channels_ + c) * plane_ + first;
      std::uint8_t reached[tile] = {};
      for (const float t : thresholds_) {
        for (std::int64_t i = 0; i < count; ++i)
          reached[i] = static_cast<std::uint8_t>(reached[i] + (x[i] >= t ? 1 : 0));
      }
      std::uint8_t* to = out_.as<std::uint8_t>() + (image * plane_ + first) * channels_ + c;
      for (std::int64_t i = 0; i < count; ++i) to[i * channels_] = reached[i];
    }
  }

  const Slot& in_;
  const Slot& out_;
  const std::vector<float>& thresholds_;
  std::int64_t channels_ = 1, plane_ = 1, tiles_ = 1;
};

/// Codes -> float tensor by a table; images from NHWC to NCHW.
class Levels final : public PreparedStep {
 public:
  Levels(const PlanContext& plan, const Step& step) : in_(plan.slot(step.inputs[0])), out_(plan.slot(step.outputs[0])) {
    kernel = "levels";
    std::copy(step.planes.levels.begin(), step.planes.levels.end(), table_.begin());
    const Shape& s = in_.shape;
    const bool image = s.size() == 4;
    channels_ = image ? s[3] : 1;
    plane_ = image ? s[1] * s[2] : in_.positions() * in_.channels();
    rows_ = image ? s[0] * channels_ : 1;
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t tiles = (plane_ + 1023) / 1024, units = rows_ * tiles;
    const Split split(units, pool.threads());
    pool.parallel(split.parts, [&](std::int64_t part) {
      for (std::int64_t u = part * split.each; u < std::min(units, (part + 1) * split.each); ++u)
        run_row(u / tiles, u % tiles * 1024);
    });
    return {};
  }

 private:
  void run_row(std::int64_t row, std::int64_t first) const {
    const std::int64_t end = std::min<std::int64_t>(plane_, first + 1024);
    const std::uint8_t* from = in_.as<std::uint8_t>() + row / channels_ * plane_ * channels_ + row % channels_;
    float* to = out_.as<float>() + row * plane_;
    for (std::int64_t i = first; i < end; ++i) to[i] = table_[from[i * channels_]];
  }

  const Slot& in_;
  const Slot& out_;
  std::array<float, 256> table_ = {};
  std::int64_t channels_ = 1, plane_ = 1, rows_ = 1;
};

}  // namespace

std::unique_ptr<PreparedStep> make_levels(const PlanContext& plan, const Step& step) {
  if (step.kind == StepKind::bucketize) return std::make_unique<Bucketize>(plan, step);
  return std::make_unique<Levels>(plan, step);
}

}  // namespace nnq
