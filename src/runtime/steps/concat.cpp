// Channels of several codes side by side.
#include <algorithm>
#include <cstring>

#include "runtime/plan.h"

namespace nnq {
namespace {

class Concat final : public PreparedStep {
 public:
  Concat(const PlanContext& plan, const Step& step) : out_(plan.slot(step.outputs[0])) {
    kernel = out_.storage == Storage::bits ? "concat_bits" : "concat_bytes";
    const std::int32_t low = plan.code(step.outputs[0]).min;
    std::int64_t channel = 0;
    for (const std::int32_t v : step.inputs) {
      inputs_.push_back({&plan.slot(v), channel, static_cast<std::uint8_t>(plan.code(v).min - low)});
      channel += plan.slot(v).channels();
    }
  }

  Status run(ThreadPool& pool) override {
    const std::int64_t positions = out_.positions(),
                       each = std::max<std::int64_t>(16, positions / (pool.threads() * 4));
    pool.parallel((positions + each - 1) / each, [&](std::int64_t part) {
      for (std::int64_t p = part * each; p < std::min(positions, (part + 1) * each); ++p) position(p);
    });
    return {};
  }

 private:
  struct Input {
    const Slot* slot;
    std::int64_t channel;  // where its channels begin
    std::uint8_t raise;    // from code - its min to code - the output's min
  };

  void position(std::int64_t p) const {
    if (out_.storage == Storage::bits) {
      std::uint32_t* to = out_.as<std::uint32_t>() + p * out_.words();
      std::memset(to, 0, static_cast<std::size_t>(out_.words()) * 4);
      for (const Input& in : inputs_) bits(in, p, to);
      return;
    }
    for (const Input& in : inputs_) {
      const std::int64_t n = in.slot->channels();
      const std::uint8_t* x = in.slot->as<std::uint8_t>() + p * n;
      std::uint8_t* to = out_.as<std::uint8_t>() + p * out_.channels() + in.channel;
      for (std::int64_t c = 0; c < n; ++c) to[c] = static_cast<std::uint8_t>(x[c] + in.raise);
    }
  }

  /// Whole words, shifted to where the input's channels begin; bits behind its last channel are 0.
  void bits(const Input& in, std::int64_t p, std::uint32_t* to) const {
    const std::int64_t words = in.slot->words(), first = in.channel / 32, all = out_.words();
    const auto shift = static_cast<std::uint32_t>(in.channel % 32);
    const std::uint32_t* x = in.slot->as<std::uint32_t>() + p * words;
    for (std::int64_t w = 0; w < words; ++w) {
      to[first + w] |= x[w] << shift;
      if (shift != 0 && first + w + 1 < all) to[first + w + 1] |= x[w] >> (32 - shift);
    }
  }

  const Slot& out_;
  std::vector<Input> inputs_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_concat(const PlanContext& plan, const Step& step) {
  return std::make_unique<Concat>(plan, step);
}

}  // namespace nnq
