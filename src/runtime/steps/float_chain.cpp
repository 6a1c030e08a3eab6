// A chain of float steps behind integer sums (runtime/float_chains.h), strip by strip: the floats of a strip stay in
// the first-level cache while they are added, rounded to codes and turned to planes.
#include <algorithm>

#include "kernels/quantize/quantize.h"
#include "runtime/float_chains.h"

namespace nnq {
namespace {

constexpr std::int64_t strip_floats = 4096;

std::vector<float> per_channel(const std::vector<float>& values, std::int64_t channels) {
  return values.size() == 1 ? std::vector<float>(static_cast<std::size_t>(channels), values[0]) : values;
}

class Chain final : public PreparedStep {
 public:
  Chain(const PlanContext& plan, const FloatChain& chain)
      : sums_(plan.slot(chain.sums->inputs[0])),
        result_(plan.slot(chain.result)),
        keep_(chain.keep),
        channels_(sums_.channels()),
        positions_(sums_.positions()),
        plane_(sums_.shape[1] * sums_.shape[2]),
        real_(epilogue_kernels(plan.isa).real),
        quantize_(quantize_kernels(plan.isa)) {
    kernel = "dequantize";
    reads = {chain.sums->inputs[0]};
    set_affine(*chain.sums, a_, b_);
    call_.a = a_.data(), call_.b = b_.data();
    if (chain.other_sums != nullptr || chain.residual >= 0) set_residual(plan, chain);
    // With signs of what is before the Relu these do it on their way.
    call_.relu = call_.float_relu = chain.relu && chain.signs == nullptr;
    if (chain.signs != nullptr) {
      signs_ = &plan.slot(chain.signs->outputs[0]);
      writes.push_back(chain.signs->outputs[0]);
      kernel += "_bits";
    }
    if (chain.relu) kernel += "_relu";
    if (keep_ != FloatChain::Keep::nothing) writes.push_back(chain.result);
    for (const Step* step : chain.quantizers) {
      const Slot& out = plan.slot(step->outputs[0]);
      codes_.push_back({&out, plan.code(step->outputs[0]), step->scale});
      kernel += out.storage == Storage::bits ? "_bits" : "_bytes";
      writes.push_back(step->outputs[0]);
    }
    (kernel += '_') += quantize_.name;
    split(plan.threads);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(tasks_, [this](std::int64_t task) {
      const std::int64_t end = std::min(positions_, (task + 1) * each_);
      float* const own = scratch_bytes == 0 ? nullptr : reinterpret_cast<float*>(scratch) + task * rows_ * channels_;
      for (std::int64_t first = task * each_; first < end; first += rows_)
        strip(first, std::min(rows_, end - first), own);
    });
    return {};
  }

 private:
  struct Codes {
    const Slot* out;
    CodeType code;
    float scale;
  };

  void set_affine(const Step& step, std::vector<float>& a, std::vector<float>& b) const {
    a = per_channel(step.epilogue.a, channels_);
    b = per_channel(step.epilogue.b, channels_);
  }

  void set_residual(const PlanContext& plan, const FloatChain& chain) {
    kernel += "_add";
    const bool sums = chain.other_sums != nullptr;
    reads.push_back(sums ? chain.other_sums->inputs[0] : chain.residual);
    added_ = &plan.slot(reads.back());
    call_.residual = sums ? RealCall::Residual::sums : RealCall::Residual::floats;
    if (sums) set_affine(*chain.other_sums, added_a_, added_b_);
    call_.residual_a = added_a_.data(), call_.residual_b = added_b_.data();
  }

  /// Strips of whole positions; as many tasks as keep the threads busy, each with a strip of scratch where the floats
  /// do not go to the result.
  void split(int threads) {
    rows_ = std::clamp<std::int64_t>(strip_floats / std::max<std::int64_t>(channels_, 1), 1, 64);
    const std::int64_t strips = (positions_ + rows_ - 1) / rows_, wanted = threads == 1 ? 1 : threads * 4;
    each_ = std::max<std::int64_t>(1, (strips + wanted - 1) / wanted) * rows_;
    tasks_ = (positions_ + each_ - 1) / each_;
    call_.channels = channels_;
    call_.stride = channels_;
    call_.output = RealCall::Output::floats;
    call_.position_stride = channels_;
    if (keep_ != FloatChain::Keep::channels_last)
      scratch_bytes = static_cast<std::size_t>(tasks_ * rows_ * channels_) * 4;
  }

  void strip(std::int64_t first, std::int64_t count, float* own) const {
    const std::int64_t from = first * channels_;
    float* y = keep_ == FloatChain::Keep::channels_last ? result_.as<float>() + from : own;
    RealCall call = call_;
    call.sums = sums_.as<std::int32_t>() + from;
    call.count = count;
    if (added_ != nullptr) call.residual_data = added_->as<std::int32_t>() + from;  // floats are as wide
    call.out = y;
    real_(call);
    if (signs_ != nullptr) signs(*signs_, y, first, count, /*relu=*/true);
    for (const Codes& codes : codes_) quantize(codes, y, first, count);
    if (keep_ == FloatChain::Keep::planes) to_planes(y, first, count);
  }

  void signs(const Slot& out, float* y, std::int64_t first, std::int64_t count, bool relu) const {
    quantize_.signs({y, out.as<std::uint32_t>() + first * out.words(), count, channels_, relu});
  }

  void quantize(const Codes& codes, float* y, std::int64_t first, std::int64_t count) const {
    const std::int64_t n = count * channels_;
    if (codes.out->storage == Storage::bits) return signs(*codes.out, y, first, count, /*relu=*/false);
    std::uint8_t* to = codes.out->as<std::uint8_t>() + first * channels_;
    if (codes.code.sign) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = y[i] >= 0 ? 2 : 0;
    } else {
      quantize_.round({y, to, n, codes.scale, codes.code.min, codes.code.max, codes.code.min});
    }
  }

  /// Runs of positions inside one image, four channels at a time: a line of the strip is read once for all of them.
  void to_planes(const float* y, std::int64_t first, std::int64_t count) const {
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t p = first + done, run = std::min(count - done, plane_ - p % plane_);
      const float* from = y + done * channels_;
      float* to = result_.as<float>() + p / plane_ * plane_ * channels_ + p % plane_;
      std::int64_t c = 0;
      for (; c + 4 <= channels_; c += 4) {
        float* out = to + c * plane_;
        for (std::int64_t i = 0; i < run; ++i) {
          const float* x = from + i * channels_ + c;
          out[i] = x[0], out[plane_ + i] = x[1], out[2 * plane_ + i] = x[2], out[3 * plane_ + i] = x[3];
        }
      }
      for (; c < channels_; ++c)
        for (std::int64_t i = 0; i < run; ++i) to[c * plane_ + i] = from[i * channels_ + c];
      done += run;
    }
  }

  const Slot& sums_;
  const Slot* added_ = nullptr;
  const Slot* signs_ = nullptr;
  const Slot& result_;
  FloatChain::Keep keep_;
  std::int64_t channels_, positions_, plane_, rows_ = 1, each_ = 1, tasks_ = 1;
  RealKernel real_;
  const QuantizeKernels& quantize_;
  RealCall call_{};
  std::vector<float> a_, b_, added_a_, added_b_;
  std::vector<Codes> codes_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_float_chain(const PlanContext& plan, const FloatChain& chain) {
  return std::make_unique<Chain>(plan, chain);
}

}  // namespace nnq
