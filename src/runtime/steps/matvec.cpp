#include "kernels/matvec/matvec.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/aligned.h"
#include "kernels/planes/planes.h"
#include "runtime/steps/matvec.h"
#include "runtime/steps/sign_bits.h"

namespace nnq {
namespace {

constexpr std::size_t lines(std::int64_t bytes) { return whole_lines(static_cast<std::size_t>(bytes)); }

/// From 5 rows on AVX2's direct kernel on panels that are unpacked once is faster; VNNI's products leave no room for
/// that.
bool few_rows(const PlanContext& plan, const Step& step) {
  const Shape& in = plan.slot(step.inputs[0]).shape;
  return step.kind == StepKind::dense && in[0] >= 1 && in[0] <= (plan.isa >= Isa::avx512 ? matvec_batch : 4);
}

/// Panels dealt to threads; small layers are not worth dealing.
std::int64_t parts_of(std::int64_t panels, std::int64_t bytes, int threads) {
  constexpr std::int64_t worth = 1 << 15;
  return std::clamp<std::int64_t>(bytes / worth, 1, std::min<std::int64_t>(panels, threads));
}

/// Weights as low + unit * code.
struct Grid {
  std::int32_t low = 0, unit = 1;
  int bits = 1;

  explicit Grid(const LayerWeights& weights) : low(weights.levels.front()) {
    unit = 0;
    for (const std::int8_t v : weights.levels) unit = std::gcd(unit, v - low);
    unit = std::max(unit, 1);
    while ((weights.levels.back() - low) / unit >> bits != 0) ++bits;
  }
};

/// start: all of a sum that does not depend on the input, modulo 2^32: the sums themselves are proven to fit.
struct PackedMatvec {
  MatvecPanels panels;
  PackedArray<std::uint32_t> start;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.panels, self.start);
  }
};

class MatvecLayer final : public PreparedStep {
 public:
  MatvecLayer(const PlanContext& plan, const Step& step, const LayerWeights& weights, const Grid& grid)
      : in_(plan.slot(step.inputs[0])),
        kernel_(matvec_kernel(plan.isa)),
        grid_(grid),
        rows_(in_.shape[0]),
        inputs_(step.in_channels),
        padded_((inputs_ + matvec_padding - 1) / matvec_padding * matvec_padding),
        epilogue_(plan, step) {
    packed_ =
        plan.shared<PackedMatvec>(step, "matvec", [&] { return pack(step, weights, plan.code(step.inputs[0]).min); });
    const MatvecPanels& panels = packed_->panels;
    kernel = std::string("dense_w") + std::to_string(panels.bits) + "_" + kernel_.name;
    operations = 2 * rows_ * step.weights.count;
    ceiling = matvec_ceiling(panels.bits, kernel_.isa);
    weight_bytes = panels.panels * panels.panel_bytes();
    stride_ = panels.panels * matvec_panel;
    parts_ = parts_of(panels.panels, weight_bytes, plan.threads);
    scratch_bytes = lines(rows_ * padded_) + lines(rows_ * stride_ * 4);
  }

  Status run(ThreadPool& pool) override {
    auto* const inputs = reinterpret_cast<std::int8_t*>(scratch);
    auto* const sums = reinterpret_cast<std::int32_t*>(scratch + lines(rows_ * padded_));
    std::uint32_t input_sums[matvec_batch];
    for (std::int64_t r = 0; r < rows_; ++r)
      input_sums[r] = static_cast<std::uint32_t>(
          matvec_inputs(in_.as<std::uint8_t>() + r * inputs_, inputs_, padded_, inputs + r * padded_));
    pool.parallel(parts_, [&](std::int64_t p) { part(inputs, input_sums, sums, p); });
    epilogue_.write(sums, stride_, 0, rows_);
    return {};
  }

 private:
  std::shared_ptr<const PackedMatvec> pack(const Step& step, const LayerWeights& weights, std::int32_t min) const {
    auto packed = std::make_shared<PackedMatvec>();
    std::uint8_t code_of[256] = {};
    for (const std::int8_t level : weights.levels)
      code_of[static_cast<std::uint8_t>(level)] = static_cast<std::uint8_t>((level - grid_.low) / grid_.unit);
    const std::vector<std::int8_t>& values = weights.values();
    std::vector<std::uint8_t> codes(values.size());
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = code_of[static_cast<std::uint8_t>(values[i])];
    packed->panels.pack(codes.data(), step.out_channels, inputs_, matvec_width(grid_.bits));
    packed->start.assign(static_cast<std::size_t>(packed->panels.panels * matvec_panel), 0);
    for (std::int64_t o = 0; o < step.out_channels; ++o) {
      const auto first = codes.begin() + o * inputs_;
      const std::int64_t sum = std::accumulate(first, first + inputs_, std::int64_t{0});
      packed->start[static_cast<std::size_t>(o)] = static_cast<std::uint32_t>(
          grid_.unit * (128 + min) * sum + static_cast<std::int64_t>(grid_.low) * min * inputs_);
    }
    return packed;
  }

  void part(const std::int8_t* inputs, const std::uint32_t* input_sums, std::int32_t* sums, std::int64_t p) const {
    const MatvecPanels& panels = packed_->panels;
    const std::int64_t first = panels.panels * p / parts_, end = panels.panels * (p + 1) / parts_;
    kernel_.run({inputs, padded_, rows_, panels.bits, panels.bytes.data() + first * panels.panel_bytes(), end - first,
                 panels.blocks, sums + first * matvec_panel, stride_});
    const auto unit = static_cast<std::uint32_t>(grid_.unit), low = static_cast<std::uint32_t>(grid_.low);
    for (std::int64_t r = 0; r < rows_; ++r) {
      const std::uint32_t of_inputs = low * input_sums[r];
      const std::uint32_t* const start = packed_->start.data();
      std::int32_t* const row = sums + r * stride_;
      for (std::int64_t o = first * matvec_panel; o < end * matvec_panel; ++o)
        row[o] = static_cast<std::int32_t>(start[o] + of_inputs + unit * static_cast<std::uint32_t>(row[o]));
    }
  }

  const Slot& in_;
  const Matvec& kernel_;
  Grid grid_;
  std::int64_t rows_, inputs_, padded_, stride_ = 0, parts_ = 1;
  EpilogueWriter epilogue_;
  std::shared_ptr<const PackedMatvec> packed_;
};

struct PackedSigns {
  AlignedBytes bytes;  // of 64-bit words [panel][words][plane_panel]
  PackedArray<std::int32_t> start;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.bytes, self.start);
  }
};

/// Signs times signs: counts of common bits of 64-bit words; sum = 4 common - 2 of the input - 2 of the weights + K.
class BinaryMatvec final : public PreparedStep {
 public:
  BinaryMatvec(const PlanContext& plan, const Step& step, const LayerWeights& weights)
      : in_(plan.slot(step.inputs[0])),
        kernel_(plane_kernel(plan.isa)),
        rows_(in_.shape[0]),
        inputs_(step.in_channels),
        halves_(in_.positions() / rows_ * in_.words()),
        words_((halves_ + 1) / 2),
        panels_((step.out_channels + plane_panel - 1) / plane_panel),
        epilogue_(plan, step) {
    packed_ = plan.shared<PackedSigns>(step, text("signs ", in_.channels(), " ", words_),
                                       [&] { return pack(step, weights); });
    kernel = std::string("dense_w1_") + kernel_.name;
    operations = 2 * rows_ * step.weights.count;
    ceiling = CeilingKind::binary;
    weight_bytes = panels_ * words_ * plane_panel * 8;
    parts_ = parts_of(panels_, weight_bytes, plan.threads);
    scratch_bytes = lines(words_ * 8) + lines(rows_ * panels_ * plane_panel * 4);
  }

  Status run(ThreadPool& pool) override {
    auto* const words = reinterpret_cast<std::uint64_t*>(scratch);
    auto* const sums = reinterpret_cast<std::int32_t*>(scratch + lines(words_ * 8));
    const std::int64_t stride = panels_ * plane_panel;
    for (std::int64_t r = 0; r < rows_; ++r) {
      words[words_ - 1] = 0;
      std::memcpy(words, in_.as<std::uint32_t>() + r * halves_, static_cast<std::size_t>(halves_ * 4));
      std::int64_t set = 0;
      for (std::int64_t k = 0; k < words_; ++k) set += __builtin_popcountll(words[k]);
      const auto constant = static_cast<std::int32_t>(inputs_ - 2 * set);
      pool.parallel(parts_, [&](std::int64_t p) { part(words, constant, sums + r * stride, p); });
    }
    epilogue_.write(sums, stride, 0, rows_);
    return {};
  }

 private:
  std::shared_ptr<const PackedSigns> pack(const Step& step, const LayerWeights& weights) const {
    auto packed = std::make_shared<PackedSigns>();
    const std::int64_t channels = in_.channels(), words = in_.words();
    packed->bytes.assign(static_cast<std::size_t>(panels_ * words_ * plane_panel * 8));
    packed->start.assign(static_cast<std::size_t>(panels_ * plane_panel), 0);
    auto* const to = reinterpret_cast<std::uint64_t*>(packed->bytes.data());
    std::vector<std::uint64_t> row(static_cast<std::size_t>(words_));
    for (std::int64_t o = 0; o < step.out_channels; ++o) {
      auto* bits = reinterpret_cast<std::uint8_t*>(row.data());
      const std::int8_t* const values = weights.values().data() + o * inputs_;
      for (std::int64_t i = 0; i < inputs_; i += channels, bits += words * 4) sign_bits(values + i, channels, bits);
      for (std::int64_t k = 0; k < words_; ++k) {
        const std::uint64_t word = row[static_cast<std::size_t>(k)];
        to[(o / plane_panel * words_ + k) * plane_panel + o % plane_panel] = word;
        packed->start[static_cast<std::size_t>(o)] -= 2 * __builtin_popcountll(word);
      }
    }
    return packed;
  }

  void part(const std::uint64_t* words, std::int32_t constant, std::int32_t* sums, std::int64_t p) const {
    const std::int64_t first = panels_ * p / parts_, end = panels_ * (p + 1) / parts_;
    kernel_.counts(words, 1,
                   reinterpret_cast<const std::uint64_t*>(packed_->bytes.data()) + first * words_ * plane_panel, 1,
                   words_, end - first, sums + first * plane_panel, panels_ * plane_panel);
    for (std::int64_t o = first * plane_panel; o < end * plane_panel; ++o)
      sums[o] = 4 * sums[o] + packed_->start[static_cast<std::size_t>(o)] + constant;
  }

  const Slot& in_;
  const PlaneKernel& kernel_;
  std::int64_t rows_, inputs_, halves_, words_, panels_, parts_ = 1;
  EpilogueWriter epilogue_;
  std::shared_ptr<const PackedSigns> packed_;
};

}  // namespace

std::unique_ptr<PreparedStep> make_matvec(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                          std::string& why) {
  if (step.kind != StepKind::dense) return nullptr;
  if (!few_rows(plan, step)) {
    why = "too many rows";
    return nullptr;
  }
  const Grid grid(weights);
  if (matvec_width(grid.bits) == 8 && plan.slot(step.inputs[0]).shape[0] > 1) {
    why = "8-bit weights gain nothing from 2 rows on";
    return nullptr;
  }
  return std::make_unique<MatvecLayer>(plan, step, weights, grid);
}

std::unique_ptr<PreparedStep> make_binary_matvec(const PlanContext& plan, const Step& step,
                                                 const LayerWeights& weights) {
  const Slot& in = plan.slot(step.inputs[0]);
  if (step.kind != StepKind::dense || in.shape[0] < 1 || in.shape[0] > 2)
    return nullptr;  // lookups take 4 rows at once
  return std::make_unique<BinaryMatvec>(plan, step, weights);
}

}  // namespace nnq
