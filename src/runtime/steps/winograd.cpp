// Blocks of tiles of 2 x 2 positions, tile row after tile row: transformed codes, panel after panel of sums, epilogue,
// while all of a block stays in the second-level cache.
#include "runtime/steps/winograd.h"

#include <algorithm>
#include <atomic>

#include "kernels/aligned.h"
#include "kernels/winograd/winograd.h"
#include "runtime/steps/layer_pack.h"
#include "runtime/steps/layer_starts.h"

namespace nnq {
namespace {

std::int64_t divided(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }
std::size_t lines(std::int64_t bytes) { return whole_lines(static_cast<std::size_t>(bytes)); }

/// Tiles of a block at most: transformed codes of about 200 KB, and enough tiles to pay for transforming the weights.
std::int64_t most_tiles(std::int64_t channels, bool narrow) {
  return std::clamp<std::int64_t>((narrow ? 12900 : 6500) / (channels + 1), 24, 96);
}

class WinogradLayer final : public PreparedStep {
 public:
  WinogradLayer(const PlanContext& plan, const Step& step, const LayerWeights& weights, const LayerChoice& choice)
      : geometry_(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step),
        in_(plan.slot(step.inputs[0])),
        kernels_(winograd_kernels(plan.isa, choice.winograd_run != 0)),
        panels_(divided(step.out_channels, winograd_panel)),
        tiles_h_(divided(geometry_.out_h, 2)),
        tiles_w_(divided(geometry_.out_w, 2)),
        epilogue_(plan, step),
        border_(static_cast<std::size_t>(geometry_.in_c), choice.border),
        largest_(choice.largest) {
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
    v_bytes_ = lines(16 * kernels_.form.plane(tiles_, geometry_.in_c));
    sums_bytes_ = lines(16 * tiles_ * panels_ * winograd_panel);
    block_bytes_ = v_bytes_ + sums_bytes_ + lines(4 * tiles_ * static_cast<std::int64_t>(sizeof(std::int32_t*)));
    const PackedPanel part{packed_->form.bits, std::min(packed_->form.weights, winograd_steps * kernels_.form.step())};
    panel_bytes_ = unpack_ == nullptr ? 0 : lines(part.room());
    room_bytes_ = panel_bytes_ + lines(winograd_room(tiles_));
    scratch_bytes =
        block_bytes_ * places_.size() + room_bytes_ * std::max(places_.size(), static_cast<std::size_t>(shares_));
  }

  Status run(ThreadPool& pool) override {
    if (shares_ == 1) {
      pool.parallel(blocks_, [this](std::int64_t b) {
        // A place that no other thread is in: mostly the one that this thread left, which its cache knows.
        std::size_t place = 0;
        while (places_[place].test_and_set()) ++place;
        const Block block = cut_out(b, place);
        transform(block, 0, block.tiles);
        multiply(block, 0, panels_, static_cast<std::int64_t>(place));
        write(block, 0, block.tiles);
        places_[place].clear();
      });
      return {};
    }
    for (std::int64_t b = 0; b < blocks_; ++b) {
      const Block block = cut_out(b, 0);
      const auto parallel = [&](std::int64_t all, auto&& f) {
        pool.parallel(shares_, [&](std::int64_t s) { f(all * s / shares_, all * (s + 1) / shares_, s); });
      };
      parallel(block.tiles, [&](std::int64_t from, std::int64_t to, std::int64_t) { transform(block, from, to); });
      parallel(panels_, [&](std::int64_t from, std::int64_t to, std::int64_t s) { multiply(block, from, to, s); });
      parallel(block.tiles, [&](std::int64_t from, std::int64_t to, std::int64_t) { write(block, from, to); });
    }
    return {};
  }

 private:
  std::int64_t all_tiles() const { return geometry_.n * tiles_h_ * tiles_w_; }

  /// Blocks of one size. Threads share them, or, where they would be small, each block's tiles and panels.
  void cut(std::int64_t threads) {
    const std::int64_t all = all_tiles(), shared = 2 * threads;
    blocks_ = divided(all, most_tiles(geometry_.in_c, kernels_.form.narrow()));
    const bool small = threads == 1 || all < shared * 16;
    if (!small)
      blocks_ = shared * divided(blocks_, shared);
    else if (threads > 1)
      shares_ = std::min(shared, std::max<std::int64_t>(panels_, 2));
    places_ = std::vector<std::atomic_flag>(small ? 1 : static_cast<std::size_t>(threads));
    tiles_ = blocks_ == 0 ? 1 : divided(all, blocks_);
    blocks_ = divided(all, tiles_);
  }

  /// No images, no weights: nothing will be computed.
  void pack(const PlanContext& plan, const Step& step, const LayerWeights& weights, const LayerChoice& choice) {
    if (all_tiles() == 0) {
      packed_ = std::make_shared<PackedLayer>();
      return;
    }
    const std::int64_t channels = geometry_.in_c;
    // Bytes of weights of a tap: whole steps of channels.
    const std::int64_t tap = kernels_.form.steps(channels) * kernels_.form.together;
    packed_ = shared_layer(plan, step, weights, choice, {9, tap, 1, channels});
    if (kernels_.form.narrow()) sum_too_much();
    starts_.make(geometry_, packed_->base, packed_->tap_sums, choice.difference);
  }

  /// Narrow codes get an offset; what it adds to four times the sums (kernels/winograd/winograd.h).
  void sum_too_much() {
    const auto stride = static_cast<std::size_t>(packed_->base.size());
    too_much_.resize(4 * stride);
    for (std::size_t o = 0; o < stride; ++o) {
      // All of A^T u A, u = 2 G s (2 G)^T, where s are a tap's weights, summed: rows, then columns. Element (1, 1) of u
      // is the sum of s and goes into each of the four.
      std::int64_t tap[9], all = 0;
      for (std::size_t t = 0; t < 9; ++t) all += tap[t] = packed_->tap_sums[t * stride + o];
      const auto both = [](std::int64_t a, std::int64_t b, std::int64_t c, std::size_t i) {
        return i == 0 ? 2 * a + (a + b + c) + (a - b + c) : (a + b + c) - (a - b + c) - 2 * c;
      };
      for (std::size_t i = 0; i < 2; ++i) {
        std::int64_t half[3];
        for (std::size_t x = 0; x < 3; ++x) half[x] = both(tap[x], tap[3 + x], tap[6 + x], i);
        for (std::size_t j = 0; j < 2; ++j)
          too_much_[(i * 2 + j) * stride + o] =
              static_cast<std::int32_t>(2 * largest_ * (both(half[0], half[1], half[2], j) - all));
      }
    }
  }

  /// Tiles first .. first + tiles - 1, and where what is made of them lies.
  struct Block {
    std::int64_t first, tiles;
    std::byte* v;
    std::int32_t* sums;
    const std::int32_t** starts;
  };
  Block cut_out(std::int64_t number, std::size_t place) const {
    const std::int64_t first = number * tiles_;
    std::byte* const own = scratch + block_bytes_ * place;
    return {first, std::min(tiles_, all_tiles() - first), own, reinterpret_cast<std::int32_t*>(own + v_bytes_),
            reinterpret_cast<const std::int32_t**>(own + v_bytes_ + sums_bytes_)};
  }

  /// V of some tiles of a block, and what their sums start from.
  void transform(const Block& block, std::int64_t from, std::int64_t to) const {
    const LayerGeometry& g = geometry_;
    for (std::int64_t t = from; t < to; ++t) {
      const std::int64_t row = (block.first + t) / tiles_w_, image = row / tiles_h_, oy = row % tiles_h_ * 2,
                         ox = (block.first + t) % tiles_w_ * 2;
      const std::uint8_t* pixels[16];
      for (std::int64_t i = 0; i < 4; ++i) {
        const std::int64_t y = g.in_y(oy, i), in_row = (image * g.in_h + y) * g.in_w;
        for (std::int64_t j = 0; j < 4; ++j) {
          const std::int64_t x = g.in_x(ox, j);
          const bool inside = y >= 0 && y < g.in_h && x >= 0 && x < g.in_w;
          pixels[i * 4 + j] = inside ? in_.as<std::uint8_t>() + (in_row + x) * g.in_c : border_.data();
        }
      }
      kernels_.input(pixels, g.in_c, largest_, block.v + t * kernels_.form.row(g.in_c),
                     kernels_.form.plane(block.tiles, g.in_c));
      for (std::int64_t i = 0; i < 4; ++i)  // of positions beyond an odd edge: any
        block.starts[4 * t + i] = starts_.at(std::min(oy + i / 2, g.out_h - 1), std::min(ox + i % 2, g.out_w - 1));
    }
  }

  /// Sums of some panels of a block; number: of the room.
  void multiply(const Block& block, std::int64_t from, std::int64_t to, std::int64_t number) const {
    std::byte* const room = scratch + block_bytes_ * places_.size() + room_bytes_ * static_cast<std::size_t>(number);
    WinogradCall call{.v = block.v, .channels = geometry_.in_c, .tiles = block.tiles};
    call.starts = block.starts, call.sums = block.sums, call.stride = panels_ * winograd_panel;
    call.room = room + panel_bytes_;
    call.too_much = too_much_.data();
    for (std::int64_t p = from; p < to; ++p) {
      call.column = p * winograd_panel;
      if (kernels_.form.narrow()) call.run = packed_->narrow_steps[static_cast<std::size_t>(p)];
      call.weights = packed_->weights.data() + p * (packed_->weights.size() / panels_);
      if (unpack_ == nullptr)
        winograd_products(kernels_, call);
      else
        multiply_packed(call, reinterpret_cast<std::int8_t*>(room));
    }
  }

  /// A panel at its width in memory, unpacked a call at a time.
  void multiply_packed(WinogradCall call, std::int8_t* room) const {
    const std::uint8_t* packed = call.weights;
    const std::int64_t all = kernels_.form.steps(call.channels);
    call.weights = reinterpret_cast<const std::uint8_t*>(room);
    for (call.first = 0; call.first < all; call.first += call.steps) {
      call.steps = std::min(all - call.first, winograd_steps);
      const PackedPanel part{packed_->form.bits, call.steps * kernels_.form.step()};
      unpack_(part, packed, packed_->zero, room);
      packed += part.bytes();
      call.next = packed, call.next_bytes = part.bytes();
      kernels_.products(call);
    }
  }

  /// The epilogue of some tiles of a block. Those of a row of tiles are two rows of positions.
  void write(const Block& block, std::int64_t from, std::int64_t to) const {
    const LayerGeometry& g = geometry_;
    const std::int64_t stride = panels_ * winograd_panel;
    for (std::int64_t t = from; t < to;) {
      const std::int64_t row = (block.first + t) / tiles_w_, tx = (block.first + t) % tiles_w_,
                         run = std::min(to - t, tiles_w_ - tx), image = row / tiles_h_, oy = row % tiles_h_ * 2;
      for (std::int64_t i = 0; i < std::min<std::int64_t>(2, g.out_h - oy); ++i)
        epilogue_.write(block.sums + (i * block.tiles + t) * 2 * stride, stride,
                        (image * g.out_h + oy + i) * g.out_w + tx * 2, std::min(run * 2, g.out_w - tx * 2));
      t += run;
    }
  }

  LayerGeometry geometry_;
  const Slot& in_;
  const WinogradKernels& kernels_;
  std::int64_t panels_, tiles_h_, tiles_w_;
  // Tiles of a block; blocks, which run at the same time, or shares of a block that do.
  std::int64_t tiles_ = 1, blocks_ = 0, shares_ = 1;
  std::vector<std::atomic_flag> places_;  // of scratch for a block, one a thread: is it in use
  EpilogueWriter epilogue_;
  std::vector<std::uint8_t> border_;    // a pixel
  std::int32_t largest_;                // of the codes, with the border
  std::vector<std::int32_t> too_much_;  // [2][2][outputs] of whole panels
  std::size_t v_bytes_ = 0, sums_bytes_ = 0, block_bytes_ = 0, panel_bytes_ = 0, room_bytes_ = 0;
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
  if (geometry.in_c < winograd_least_channels) return "fewer than 16 channels";
  if (9 * geometry.in_c * weights.highest() * largest >= std::int64_t{1} << 29)
    return "four times a sum could leave 32 bits";
  return {};
}

std::unique_ptr<PreparedStep> make_winograd(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                            const LayerChoice& choice) {
  return std::make_unique<WinogradLayer>(plan, step, weights, choice);
}

}  // namespace nnq
