// Packing: each output's weights become one row of bytes in the kernel's order, the rows of a panel are then
// interleaved. Both go through memory once, whole taps and words at a time: loading a network is mostly this.
#include "runtime/steps/layer_pack.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/steps/sign_bits.h"

namespace nnq {
namespace {

/// [lanes][row] to [row / Chunk][lanes][Chunk].
template <std::int64_t Chunk, std::int64_t Lanes>
void interleave(const std::uint8_t* rows, std::int64_t row_stride, std::int64_t row, std::uint8_t* panel) {
  for (std::int64_t k = 0; k < row; k += Chunk) {
    for (std::int64_t lane = 0; lane < Lanes; ++lane, panel += Chunk)
      std::memcpy(panel, rows + lane * row_stride + k, Chunk);
  }
}

class Packer {
 public:
  Packer(const Step& step, const LayerWeights& weights, const LayerChoice& choice, const LayerRuns& runs,
         const CodeType& code, PackedLayer& packed)
      : step_(step),
        weights_(weights),
        choice_(choice),
        runs_(runs),
        code_(code),
        packed_(packed),
        group_out_(step.out_channels / step.groups),
        panels_((group_out_ + choice.panel - 1) / choice.panel),
        stride_(panels_ * choice.panel * step.groups),
        row_(runs.runs * weight_bytes(runs.run_bytes)) {}

  void run() {
    sum_taps();
    pack_panels();
    const std::int64_t inputs = weights_.taps * weights_.tap;
    if (choice_.lookups != 0) {
      fill_lookup(inputs);
    } else if (choice_.form == LayerInput::Form::words) {
      // Sums = K - 2 * mismatches. Unused bits are 0 on both sides and match. Ternary: sum_taps() counted the K weights
      // that are not 0.
      if (!choice_.ternary) std::fill(packed_.base.begin(), packed_.base.end(), static_cast<std::int32_t>(inputs));
    } else {
      const std::int32_t largest = std::max<std::int32_t>(code_.max - code_.min, choice_.border);
      const auto* const panels = reinterpret_cast<const std::int8_t*>(packed_.weights.data());
      if (choice_.narrow != nullptr || choice_.winograd_run != 0)
        packed_.narrow_steps.assign(static_cast<std::size_t>(step_.groups * panels_), 0);
      if (choice_.narrow != nullptr)
        narrow_steps(panels, row_ / 4, largest, {packed_.narrow_steps.begin(), packed_.narrow_steps.end()});
      for (std::int64_t p = 0; choice_.winograd_run != 0 && p < panels_; ++p)
        packed_.narrow_steps[static_cast<std::size_t>(p)] = static_cast<std::int32_t>(
            winograd_narrow_steps(panels + p * row_ * direct_panel, row_ / (9 * 4), choice_.largest));
      if (choice_.packed_bits != 0) narrow_panels();
    }
  }

 private:
  /// Bytes of weights that belong to bytes of the input.
  std::int64_t weight_bytes(std::int64_t input_bytes) const {
    if (choice_.form == LayerInput::Form::wide) return input_bytes / 2;
    if (choice_.triples) return input_bytes / 2 * 3;
    return choice_.lookups == 0 ? input_bytes : input_bytes * choice_.lookups;
  }

  std::size_t column(std::int64_t o) const {
    return static_cast<std::size_t>(o / group_out_ * panels_ * choice_.panel + o % group_out_);
  }

  void sum_taps() {
    const auto stride = static_cast<std::size_t>(stride_);
    packed_.base.assign(stride, 0);
    packed_.tap_sums.assign(static_cast<std::size_t>(weights_.taps) * stride, 0);
    const std::int8_t* values = weights_.values().data();
    for (std::int64_t o = 0; o < step_.out_channels; ++o) {
      for (std::int64_t t = 0; t < weights_.taps; ++t, values += weights_.tap) {
        const std::int32_t sum = std::accumulate(values, values + weights_.tap, std::int32_t{0});
        packed_.tap_sums[static_cast<std::size_t>(t) * stride + column(o)] = sum;
        // Bytes hold code - min; bits hold codes as they are.
        if (choice_.form != LayerInput::Form::words) packed_.base[column(o)] += sum * code_.min;
        if (choice_.ternary)
          packed_.base[column(o)] +=
              static_cast<std::int32_t>(weights_.tap - std::count(values, values + weights_.tap, 0));
      }
    }
  }

  void pack_panels() {
    const std::int64_t planes = choice_.ternary ? 2 : 1, panel_bytes = planes * row_ * choice_.panel;
    packed_.group_bytes = panels_ * panel_bytes;
    packed_.weights.assign(static_cast<std::size_t>(step_.groups * packed_.group_bytes));
    // A cache line more, so that rows of 2^n bytes do not lie in one cache set.
    const std::int64_t row_stride = (row_ + 63) / 64 * 64 + 64;
    std::vector<std::uint8_t> rows(static_cast<std::size_t>(choice_.panel * row_stride));
    for (std::int64_t p = 0; p < step_.groups * panels_; ++p) {
      const std::int64_t first = p % panels_ * choice_.panel, used = std::min(choice_.panel, group_out_ - first);
      if (used < choice_.panel) std::fill(rows.begin(), rows.end(), std::uint8_t{0});
      const auto fill = [&](bool which_are_not_0) {
        for (std::int64_t i = 0; i < used; ++i)
          fill_row(p / panels_ * group_out_ + first + i, which_are_not_0, rows.data() + i * row_stride);
      };
      std::uint8_t* const panel = packed_.weights.data() + p * panel_bytes;
      if (choice_.ternary) {
        fill(true);
        interleave<4, direct_panel>(rows.data(), row_stride, row_, panel + row_ * direct_panel);
      }
      fill(false);
      if (choice_.winograd)
        choice_.winograd_run == 0 ? interleave_taps<2>(rows.data(), row_stride, panel)
                                  : interleave_taps<4>(rows.data(), row_stride, panel);
      else if (choice_.lookups != 0)
        choice_.panel == 64 ? interleave<1, 64>(rows.data(), row_stride, row_, panel)
                            : interleave<1, 32>(rows.data(), row_stride, row_, panel);
      else if (choice_.form == LayerInput::Form::wide)
        interleave<2, direct_panel>(rows.data(), row_stride, row_, panel);
      else
        interleave<4, direct_panel>(rows.data(), row_stride, row_, panel);
    }
  }

  /// Winograd: steps of `Together` channels, all taps of a step together.
  template <std::int64_t Together>
  void interleave_taps(const std::uint8_t* rows, std::int64_t row_stride, std::uint8_t* panel) const {
    const std::int64_t tap = row_ / runs_.runs;
    for (std::int64_t k = 0; k < tap; k += Together) {
      for (std::int64_t t = 0; t < runs_.runs; ++t, panel += Together * direct_panel)
        interleave<Together, direct_panel>(rows + t * tap + k, row_stride, Together, panel);
    }
  }

  /// All weights of output o; what lies between the taps' bytes stays 0.
  void fill_row(std::int64_t o, bool which_are_not_0, std::uint8_t* row) const {
    const std::int8_t* values = weights_.values().data() + o * weights_.taps * weights_.tap;
    for (std::int64_t run = 0; run < runs_.runs; ++run, row += weight_bytes(runs_.run_bytes)) {
      for (std::int64_t t = 0; t < runs_.run_taps; ++t, values += weights_.tap)
        which_are_not_0 ? bits_of(values, row + t * weight_bytes(runs_.tap_bytes), [](int w) { return w != 0; })
                        : fill_tap(values, row + t * weight_bytes(runs_.tap_bytes));
    }
  }

  /// The weights of a tap for which `is` holds, eight a byte; unused bits are 0.
  template <class Is>
  void bits_of(const std::int8_t* values, std::uint8_t* to, Is&& is) const {
    for (std::int64_t i = 0; i < weights_.tap; i += 8) {
      unsigned byte = 0;
      for (std::int64_t j = 0; j < std::min<std::int64_t>(8, weights_.tap - i); ++j)
        byte |= static_cast<unsigned>(is(values[i + j])) << j;
      to[i / 8] = static_cast<std::uint8_t>(byte);
    }
  }

  void fill_tap(const std::int8_t* values, std::uint8_t* to) const {
    const bool words = choice_.form == LayerInput::Form::words;
    if (choice_.ternary)
      bits_of(values, to, [](int w) { return w > 0; });
    else if (choice_.lookups != 0)
      words             ? nibbles_of_signs(values, to)
      : choice_.triples ? triples_of_levels(values, to)
                        : nibbles_of_levels(values, to);
    else if (words)
      sign_bits(values, weights_.tap, to);
    else if (weights_.tap > 0)
      std::memcpy(to, values, static_cast<std::size_t>(weights_.tap));
  }

  /// Sign bits are not levels: a layer of nothing but +1 has one level, number 0.
  void nibbles_of_signs(const std::int8_t* values, std::uint8_t* to) const {
    for (std::int64_t i = 0; i < weights_.tap; i += 8) {
      std::uint8_t byte = 0;
      sign_bits(values + i, std::min<std::int64_t>(8, weights_.tap - i), &byte);
      to[i / 4] = byte & 15;
      to[i / 4 + 1] = byte >> 4;
    }
  }

  /// The numbers of `count` weights' levels, the first in the lowest bits.
  std::uint8_t levels_of(const std::int8_t* values, std::int64_t count) const {
    unsigned entry = 0;
    for (std::int64_t j = 0; j < count; ++j) entry |= weights_.level(values[j]) << (j * choice_.weight_bits);
    return static_cast<std::uint8_t>(entry);
  }

  void nibbles_of_levels(const std::int8_t* values, std::uint8_t* to) const {
    const std::int64_t each = 4 / choice_.weight_bits;
    for (std::int64_t i = 0; i < weights_.tap; i += each, ++to)
      *to = levels_of(values + i, std::min(each, weights_.tap - i));
  }

  /// Eight weights are three entries: of 3, 3 and 2.
  void triples_of_levels(const std::int8_t* values, std::uint8_t* to) const {
    for (std::int64_t i = 0; i < weights_.tap; i += 8, to += 3) {
      const std::int64_t left = weights_.tap - i;
      to[0] = levels_of(values + i, std::min<std::int64_t>(left, 3));
      to[1] = levels_of(values + i + 3, std::clamp<std::int64_t>(left - 3, 0, 3));
      to[2] = levels_of(values + i + 6, std::clamp<std::int64_t>(left - 6, 0, 2));
    }
  }

  void fill_lookup(std::int64_t inputs) {
    const int lookups = choice_.lookups, unit = choice_.triples ? lookups : 2 * lookups;
    packed_.tables.assign(static_cast<std::size_t>(choice_.triples ? 64 * 64 : 256 * lookups * 16));
    std::int32_t largest = 4, shift = 0;
    if (choice_.form == LayerInput::Form::words) {
      // Entries count matches: sum = 2 * matches - K, where unused bits match.
      shift = 1;
      for (int byte = 0; byte < 256; ++byte) {
        for (int w = 0; w < 16; ++w) {
          for (int l = 0; l < 2; ++l)
            packed_.tables.data()[(byte * 2 + l) * 16 + w] =
                static_cast<std::uint8_t>(4 - __builtin_popcount(static_cast<unsigned>((byte >> (4 * l) & 15) ^ w)));
        }
      }
      std::fill(packed_.base.begin(), packed_.base.end(), static_cast<std::int32_t>(-inputs - 2 * (row_ * 4 - inputs)));
    } else {
      if (halved()) shift = 1;
      const std::int32_t lowest = fill_tables(largest, 1 << shift);
      const std::int32_t times = choice_.form == LayerInput::Form::split ? 1 + 4 : 1;
      for (std::int32_t& b : packed_.base) b += static_cast<std::int32_t>(row_) * lowest * times;
    }
    LookupTables& lookup = packed_.lookup;
    lookup.lookups = lookups;
    lookup.shift = shift;
    lookup.byte_units = 255 / (largest * unit);
    lookup.word_units = 65535 / (largest * unit) / lookup.byte_units * lookup.byte_units;
  }

  /// Signs are codes 0 and 2, and twos are all that their products differ by: entries of halves are small enough for
  /// kernels that look two rows up at once.
  bool halved() const { return code_.sign && choice_.form == LayerInput::Form::packed && choice_.border % 2 == 0; }

  /// Sums of products of 2-bit codes with weight levels, minus the lowest of them, which is returned, over `step`, the
  /// distance of codes; entries of codes between are not used.
  std::int32_t fill_tables(std::int32_t& largest, std::int32_t step) {
    const int bits = choice_.weight_bits, together = choice_.triples ? 3 : 4 / bits, weights = 1 << (bits * together),
              codes = 1 << (2 * together);
    const auto entry = [&](int c, int w) {
      std::int32_t sum = 0;
      for (int i = 0; i < together; ++i)
        sum += (c >> (2 * i) & 3) * weights_.value(w >> (i * bits) & ((1 << bits) - 1));
      return sum;
    };
    const auto used = [&](int c) { return step == 1 || (c & 0x55) == 0; };
    std::int32_t low = 0, high = 0;
    for (int c = 0; c < codes; ++c) {
      for (int w = 0; used(c) && w < weights; ++w) low = std::min(low, entry(c, w)), high = std::max(high, entry(c, w));
    }
    // A byte's value is the number of its tables; those of its second half come behind those of its first.
    const int rows = static_cast<int>(packed_.tables.size()) / weights, each = choice_.triples ? 1 : choice_.lookups;
    for (int row = 0; row < rows; ++row) {
      for (int w = 0; w < weights; ++w) {
        const int c = row / each >> (2 * together * (row % each)) & (codes - 1);
        if (used(c)) packed_.tables.data()[row * weights + w] = static_cast<std::uint8_t>((entry(c, w) - low) / step);
      }
    }
    largest = std::max((high - low) / step, 1);
    return low;
  }

  /// From bytes to `packed_bits`, panel by panel.
  void narrow_panels() {
    PackedPanel& form = packed_.form;
    form = {choice_.packed_bits, row_ * direct_panel};
    packed_.zero = -weights_.levels.front();
    AlignedBytes narrow;
    narrow.assign(static_cast<std::size_t>(step_.groups * panels_ * form.bytes()));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(form.weights));
    for (std::int64_t p = 0; p < step_.groups * panels_; ++p) {
      const std::uint8_t* const panel = packed_.weights.data() + p * form.weights;
      for (std::size_t e = 0; e < codes.size(); ++e) codes[e] = static_cast<std::uint8_t>(panel[e] + packed_.zero);
      pack_panel(form, codes.data(), narrow.data() + p * form.bytes());
    }
    std::swap(packed_.weights, narrow);
  }

  const Step& step_;
  const LayerWeights& weights_;
  const LayerChoice& choice_;
  const LayerRuns& runs_;
  const CodeType& code_;
  PackedLayer& packed_;
  std::int64_t group_out_, panels_, stride_, row_;  // row_: bytes of an output's weights
};

}  // namespace

std::shared_ptr<const PackedLayer> shared_layer(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                                const LayerChoice& choice, const LayerRuns& runs) {
  const std::string form = text(choice.winograd_run != 0 ? "narrow winograd "
                                : choice.winograd        ? "winograd "
                                : choice.ternary         ? "ternary "
                                                         : "direct ",
                                static_cast<int>(choice.form), choice.narrow != nullptr ? " narrow " : " ",
                                choice.lookups, choice.triples ? " triples " : " ", choice.weight_bits, " ",
                                choice.packed_bits, " ", choice.panel, " ", static_cast<int>(choice.border), " ",
                                runs.runs, " ", runs.run_bytes, " ", runs.run_taps, " ", runs.tap_bytes);
  return plan.shared<PackedLayer>(step, form, [&] {
    auto packed = std::make_shared<PackedLayer>();
    Packer(step, weights, choice, runs, plan.code(step.inputs[0]), *packed).run();
    return packed;
  });
}

}  // namespace nnq
