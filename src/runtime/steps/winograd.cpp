// Blocks of tiles of 2 x 2 positions, tile row after tile row: transformed codes, panel after panel of sums, epilogue,
// while all of a block stays in the second-level cache.
#include "runtime/steps/winograd.h"

#include <algorithm>

#include "kernels/winograd/winograd.h"
#include "runtime/steps/layer_pack.h"
#include "runtime/steps/layer_starts.h"

namespace nnq {
namespace {

std::int64_t divided(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }
std::size_t lines(std::int64_t bytes) { return static_cast<std::size_t>(divided(bytes, 64) * 64); }

/// Tiles of a block at most: transformed codes of about 200 KB, and enough tiles to pay for transforming the weights.
std::int64_t most_tiles(std::int64_t channels) { return std::clamp<std::int64_t>(6144 / (channels + 1), 24, 96); }

class WinogradLayer final : public PreparedStep {
 public:
  WinogradLayer(const PlanContext& plan, const Step& step, const LayerWeights& weights, const LayerChoice& choice)
      : geometry_(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step),
        in_(plan.slot(step.inputs[0])),
        kernels_(winograd_kernels(plan.isa)),
        panels_(divided(step.out_channels, winograd_panel)),
        tiles_h_(divided(geometry_.out_h, 2)),
        tiles_w_(divided(geometry_.out_w, 2)),
        epilogue_(plan, step),
        border_(static_cast<std::size_t>(geometry_.in_c), choice.border) {
    operations = 2 * geometry_.positions() * step.weights.count;
    cut(plan.threads);
    pack(plan, step, weights, choice);
    kernel = "conv_" + choice.name;
    if (packed_->form.bits != 0) {
      kernel += "_w" + std::to_string(packed_->form.bits);
      unpack_ = unpack_panel(plan.isa);
    }
    weight_bytes = packed_->weights.size();
    ceiling = choice.ceiling;
    ceiling_share = choice.ceiling_share;
    v_bytes_ = lines(32 * winograd_plane(tiles_, geometry_.in_c));
    sums_bytes_ = lines(16 * tiles_ * panels_ * winograd_panel);
    starts_bytes_ = lines(4 * tiles_ * static_cast<std::int64_t>(sizeof(std::int32_t*)));
    panel_bytes_ = unpack_ == nullptr ? 0 : lines(packed_->form.room());
    part_bytes_ = v_bytes_ + sums_bytes_ + starts_bytes_ + panel_bytes_ + lines(winograd_room(tiles_));
    scratch_bytes = part_bytes_ * static_cast<std::size_t>(parts_);
  }

  Status run(ThreadPool& pool) override {
    pool.parallel(parts_, [this](std::int64_t part) {
      std::byte* const own = scratch + part_bytes_ * static_cast<std::size_t>(part);
      for (std::int64_t b = blocks_ * part / parts_; b < blocks_ * (part + 1) / parts_; ++b)
        block(b * tiles_, std::min(tiles_, all_tiles() - b * tiles_), own);
    });
    return {};
  }

 private:
  std::int64_t all_tiles() const { return geometry_.n * tiles_h_ * tiles_w_; }

  /// Blocks of one size, as many as threads share fairly.
  void cut(std::int64_t threads) {
    const std::int64_t all = all_tiles();
    blocks_ = std::min(all, std::max(divided(all, most_tiles(geometry_.in_c)), threads == 1 ? 1 : 2 * threads));
    tiles_ = blocks_ == 0 ? 1 : divided(all, blocks_);
    blocks_ = divided(all, tiles_);
    parts_ = threads == 1 ? std::min<std::int64_t>(blocks_, 1) : std::min(blocks_, 2 * threads);
  }

  /// No images, no weights: nothing will be computed.
  void pack(const PlanContext& plan, const Step& step, const LayerWeights& weights, const LayerChoice& choice) {
    if (all_tiles() == 0) {
      packed_ = std::make_shared<PackedLayer>();
      return;
    }
    const std::int64_t channels = geometry_.in_c;
    packed_ = plan.shared<PackedLayer>(
        step, text("winograd ", choice.packed_bits, " ", static_cast<int>(choice.border)), [&] {
          return pack_layer(step, weights, choice, {9, divided(channels, 2) * 4, 1, channels * 2},
                            plan.code(step.inputs[0]));
        });
    starts_.make(geometry_, packed_->base, packed_->tap_sums, choice.difference);
  }

  void block(std::int64_t first, std::int64_t count, std::byte* own) const {
    auto* const v = reinterpret_cast<std::int16_t*>(own);
    auto* const sums = reinterpret_cast<std::int32_t*>(own + v_bytes_);
    auto** const starts = reinterpret_cast<const std::int32_t**>(own + v_bytes_ + sums_bytes_);
    auto* const panel = reinterpret_cast<std::int8_t*>(own + v_bytes_ + sums_bytes_ + starts_bytes_);
    const std::int64_t stride = panels_ * winograd_panel, channels = geometry_.in_c;
    for (std::int64_t t = 0; t < count; ++t)
      tile(first + t, v + t * divided(channels, 16) * 16, winograd_plane(count, channels), starts + 4 * t);
    WinogradCall call{
        v, channels, count, nullptr, starts, 0, sums, stride, reinterpret_cast<std::byte*>(panel) + panel_bytes_};
    const PackedPanel& form = packed_->form;
    for (std::int64_t p = 0; p < panels_; ++p, call.column += winograd_panel) {
      if (unpack_ == nullptr) {
        call.weights = packed_->weights.data() + p * (packed_->weights.size() / panels_);
      } else {
        unpack_(form, packed_->weights.data() + p * form.bytes(), packed_->zero, panel);
        call.weights = reinterpret_cast<const std::uint8_t*>(panel);
      }
      kernels_.products(call);
    }
    write(first, count, sums, stride);
  }

  /// V of one tile, and what its sums start from.
  void tile(std::int64_t number, std::int16_t* v, std::int64_t plane, const std::int32_t** starts) const {
    const LayerGeometry& g = geometry_;
    const std::int64_t oy = number / tiles_w_ % tiles_h_ * 2, ox = number % tiles_w_ * 2,
                       image = number / tiles_w_ / tiles_h_;
    const std::uint8_t* pixels[16];
    for (std::int64_t i = 0; i < 16; ++i) {
      const std::int64_t y = g.in_y(oy, i / 4), x = g.in_x(ox, i % 4);
      const bool inside = y >= 0 && y < g.in_h && x >= 0 && x < g.in_w;
      pixels[i] = inside ? in_.as<std::uint8_t>() + ((image * g.in_h + y) * g.in_w + x) * g.in_c : border_.data();
    }
    kernels_.input(pixels, g.in_c, v, plane);
    for (std::int64_t i = 0; i < 4; ++i)  // of positions beyond an odd edge: any
      starts[i] = starts_.at(std::min(oy + i / 2, g.out_h - 1), std::min(ox + i % 2, g.out_w - 1));
  }

  /// Tiles of a row of tiles are two rows of positions.
  void write(std::int64_t first, std::int64_t count, const std::int32_t* sums, std::int64_t stride) const {
    const LayerGeometry& g = geometry_;
    for (std::int64_t t = 0; t < count;) {
      const std::int64_t row = (first + t) / tiles_w_, tx = (first + t) % tiles_w_,
                         run = std::min(count - t, tiles_w_ - tx), image = row / tiles_h_, oy = row % tiles_h_ * 2;
      for (std::int64_t i = 0; i < std::min<std::int64_t>(2, g.out_h - oy); ++i)
        epilogue_.write(sums + (i * count + t) * 2 * stride, stride, ((image * g.out_h + oy + i) * g.out_w) + tx * 2,
                        std::min(run * 2, g.out_w - tx * 2));
      t += run;
    }
  }

  LayerGeometry geometry_;
  const Slot& in_;
  const WinogradKernels& kernels_;
  std::int64_t panels_, tiles_h_, tiles_w_, tiles_ = 1, blocks_ = 0, parts_ = 0;  // tiles_: of a block
  EpilogueWriter epilogue_;
  std::vector<std::uint8_t> border_;  // a pixel
  std::size_t v_bytes_ = 0, sums_bytes_ = 0, starts_bytes_ = 0, panel_bytes_ = 0, part_bytes_ = 0;
  std::shared_ptr<const PackedLayer> packed_;
  UnpackPanel unpack_ = nullptr;  // weights are packed panels
  LayerStarts starts_;
};

}  // namespace

std::string winograd_refuses(const LayerGeometry& geometry, const Step& step, const LayerWeights& weights,
                             std::int32_t largest) {
  const Window& w = geometry.window;
  if (w.kernel_h != 3 || w.kernel_w != 3) return "window is not 3 x 3";
  if (w.stride_h != 1 || w.stride_w != 1 || w.dilation_h != 1 || w.dilation_w != 1) return "strided or dilated window";
  if (step.groups > 1) return "grouped convolution";
  std::int64_t highest = 0;
  for (const std::int8_t v : weights.levels) highest = std::max<std::int64_t>(highest, v < 0 ? -v : v);
  if (9 * geometry.in_c * highest * largest >= std::int64_t{1} << 29) return "four times a sum could leave 32 bits";
  return {};
}

std::unique_ptr<PreparedStep> make_winograd(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                            const LayerChoice& choice) {
  return std::make_unique<WinogradLayer>(plan, step, weights, choice);
}

}  // namespace nnq
