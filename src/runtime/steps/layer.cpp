// Convolutions and fully connected layers: rows of input bytes times packed panels, then the epilogue.
#include "runtime/steps/layer.h"

#include <algorithm>
#include <cstring>

#include "kernels/direct/packed_panels.h"
#include "runtime/autotune.h"
#include "runtime/steps/layer_choice.h"
#include "runtime/steps/layer_starts.h"
#include "runtime/steps/matvec.h"

namespace nnq {

LayerBlocks::LayerBlocks(std::int64_t positions, std::int64_t most, int threads) : positions_(positions) {
  // Enough blocks to balance threads, all of about one size.
  const std::int64_t at_least = threads == 1 ? 1 : threads * 4,
                     blocks = std::max((positions + most - 1) / most, std::min(at_least, positions));
  rows_ = std::max<std::int64_t>(1, (positions + blocks - 1) / std::max<std::int64_t>(blocks, 1));
  blocks_ = (positions + rows_ - 1) / rows_;
  parts_ = threads == 1 ? std::min<std::int64_t>(blocks_, 1) : std::min<std::int64_t>(blocks_, threads * 4);
}

namespace {

class DirectLayer final : public PreparedStep {
 public:
  DirectLayer(const PlanContext& plan, const Step& step, const LayerWeights& weights, const LayerChoice& choice)
      : step_(step),
        geometry_(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step),
        choice_(choice),
        group_out_(step.out_channels / step.groups),
        panels_((group_out_ + choice.panel - 1) / choice.panel),
        stride_(panels_ * choice.panel * step.groups),
        input_(geometry_, plan.slot(step.inputs[0]), choice.form, step.groups, choice.unit, choice.border,
               direct_kernels(plan.isa)),
        blocks_(geometry_.positions(), choice.most_rows(stride_), plan.threads),
        epilogue_(plan, step) {
    operations = 2 * geometry_.positions() * step.weights.count;
    if (geometry_.positions() > 0) pack(weights, plan.code(step.inputs[0]));
    if (choice_.narrow != nullptr) choose_narrow();
    if (choice_.packed_bits != 0 && geometry_.positions() > 0) pack_panels(weights, plan.isa);
    kernel = std::string(step.kind == StepKind::convolution ? "conv_" : "dense_") + choice_.name;
    if (unpack_ == nullptr) weight_bytes = weights_.size() + tables_.size();
    ceiling = choice_.ceiling;
    ceiling_share = choice_.ceiling_share;
    input_bytes_ = (input_.scratch_bytes() + 63) / 64 * 64;
    sums_bytes_ = static_cast<std::size_t>(blocks_.rows()) *
                      (static_cast<std::size_t>(stride_) * 4 + sizeof(DirectRow)) / 64 * 64 +
                  128;
    part_bytes_ = sums_bytes_ + (unpack_ == nullptr ? 0 : static_cast<std::size_t>(form_.weights + form_.room()));
    scratch_bytes = input_bytes_ + part_bytes_ * static_cast<std::size_t>(blocks_.parts());
  }

  Status run(ThreadPool& pool) override {
    input_.prepare(pool, scratch);
    pool.parallel(blocks_.parts(), [this](std::int64_t part) {
      std::byte* const own = scratch + input_bytes_ + part_bytes_ * static_cast<std::size_t>(part);
      auto* const rows = reinterpret_cast<DirectRow*>(own);
      auto* const sums = reinterpret_cast<std::int32_t*>(
          own + (static_cast<std::size_t>(blocks_.rows()) * sizeof(DirectRow) + 63) / 64 * 64);
      blocks_.each(part, [&](std::int64_t first, std::int64_t count) { block(first, count, rows, sums); });
    });
    return {};
  }

 private:
  void block(std::int64_t first, std::int64_t count, DirectRow* rows, std::int32_t* sums) const {
    DirectCall call{rows, count,   input_.offsets().data(), input_.steps(), weights_.data(), panels_,
                    sums, stride_, narrow_steps_,           &lookup_};
    const std::int64_t group_columns = panels_ * choice_.panel;
    for (std::int64_t g = 0; g < step_.groups; ++g) {
      fill_rows(geometry_, input_, starts_, scratch, first, count, g, g * group_columns, rows);
      call.sums = sums + g * group_columns;
      call.panels = weights_.data() + g * group_bytes_;
      if (choice_.form == LayerInput::Form::split) add_high_bits(call, rows);
      if (unpack_ == nullptr)
        choice_.kernel(call);
      else
        packed_panels(call, rows, g);
    }
    // Groups are padded to whole panels: close the gaps.
    for (std::int64_t r = 0; group_columns != group_out_ && r < count; ++r) {
      std::int32_t* row = sums + r * stride_;
      for (std::int64_t g = 1; g < step_.groups; ++g)
        std::memmove(row + g * group_out_, row + g * group_columns, static_cast<std::size_t>(group_out_) * 4);
    }
    epilogue_.write(sums, stride_, first, count);
  }

  /// Four times the sums of the codes' high two bits; the low bits' sums then start from these.
  void add_high_bits(const DirectCall& call, DirectRow* rows) const {
    LookupTables shifted = lookup_;
    shifted.shift = 2;
    DirectCall high = call;
    high.lookup = &shifted;
    for (std::int64_t r = 0; r < call.row_count; ++r) rows[r].data += input_.high_bits();
    choice_.kernel(high);
    for (std::int64_t r = 0; r < call.row_count; ++r)
      rows[r] = {rows[r].data - input_.high_bits(), call.sums + r * call.stride};
  }

  /// Panel after panel (two for AVX-512's tiles) is unpacked next to the sums, then multiplied with all rows.
  void packed_panels(DirectCall call, DirectRow* rows, std::int64_t group) const {
    auto* const room = reinterpret_cast<std::int8_t*>(reinterpret_cast<std::byte*>(rows) + sums_bytes_);
    const std::uint8_t* packed = weights_.data() + group * panels_ * form_.bytes();
    call.panels = reinterpret_cast<const std::uint8_t*>(room);
    for (std::int64_t p = 0; p < panels_; p += call.panel_count) {
      call.panel_count = std::min(together_, panels_ - p);
      for (std::int64_t i = 0; i < call.panel_count; ++i)
        unpack_(form_, packed + (p + i) * form_.bytes(), zero_, room + i * form_.weights);
      choice_.kernel(call);
      call.sums += call.panel_count * direct_panel;
      for (std::int64_t r = 0; r < call.row_count; ++r) rows[r].start += call.panel_count * direct_panel;
    }
  }

  /// From bytes to `packed_bits`, panel by panel.
  void pack_panels(const LayerWeights& weights, Isa isa) {
    form_ = {choice_.packed_bits, input_.steps() * 64};
    zero_ = -weights.levels.front();
    unpack_ = unpack_panel(isa);
    together_ = isa >= Isa::avx512 ? 2 : 1;
    AlignedBytes packed;
    packed.assign(static_cast<std::size_t>(step_.groups * panels_ * form_.bytes()));
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(form_.weights));
    for (std::int64_t p = 0; p < step_.groups * panels_; ++p) {
      for (std::int64_t e = 0; e < form_.weights; ++e)
        codes[static_cast<std::size_t>(e)] =
            static_cast<std::uint8_t>(static_cast<std::int8_t>(weights_.data()[p * form_.weights + e]) + zero_);
      pack_panel(form_, codes.data(), packed.data() + p * form_.bytes());
    }
    std::swap(weights_, packed);
    weight_bytes = weights_.size();
    choice_.name += "_w" + std::to_string(form_.bits);
  }

  void choose_narrow() {
    if (narrow_steps_ == 0) {
      refused.push_back(std::string(choice_.narrow_name) + ": a pair of products could leave 16 bits");
      return;
    }
    choice_.kernel = choice_.narrow;
    choice_.name = choice_.narrow_name;
    choice_.ceiling = CeilingKind::narrow;
  }

  std::size_t column(std::int64_t o) const {
    return static_cast<std::size_t>(o / group_out_ * panels_ * choice_.panel + o % group_out_);
  }

  void pack(const LayerWeights& weights, const CodeType& code) {
    const std::int64_t taps = geometry_.taps();
    const auto stride = static_cast<std::size_t>(stride_);
    std::vector<std::int32_t> tap_sums(static_cast<std::size_t>(taps) * stride, 0), base(stride, 0);
    for (std::int64_t o = 0; o < step_.out_channels; ++o) {
      for (std::int64_t t = 0; t < taps; ++t) {
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < weights.tap; ++i) sum += weights.at(o, t, i);
        tap_sums[static_cast<std::size_t>(t) * stride + column(o)] = sum;
        // Bytes hold code - min; bits hold codes as they are.
        if (choice_.form != LayerInput::Form::words) base[column(o)] += sum * code.min;
      }
    }
    if (choice_.lookups != 0)
      pack_lookup(weights, base);
    else if (choice_.form == LayerInput::Form::words)
      pack_bits(weights, base);
    else
      pack_bytes(weights, code);
    starts_.make(geometry_, base, tap_sums, choice_.difference);
  }

  void pack_bytes(const LayerWeights& weights, const CodeType& code) {
    const std::int64_t steps = input_.steps(), bytes = choice_.form == LayerInput::Form::wide ? 2 : 1, unit = 4 / bytes;
    group_bytes_ = panels_ * steps * 16 * unit;
    weights_.assign(static_cast<std::size_t>(step_.groups * group_bytes_));
    weights.each([&](std::int64_t o, std::int64_t t, std::int64_t i, std::int8_t v) {
      const std::int64_t k = input_.place(t, i * bytes) / bytes, in_group = o % group_out_;
      weights_.data()[o / group_out_ * group_bytes_ + ((in_group / 16 * steps + k / unit) * 16 + in_group % 16) * unit +
                      k % unit] = static_cast<std::uint8_t>(v);
    });
    if (choice_.narrow == nullptr) return;
    const std::int32_t largest = std::max<std::int32_t>(code.max - code.min, choice_.border);
    narrow_steps_ =
        narrow_steps(reinterpret_cast<const std::int8_t*>(weights_.data()), step_.groups * panels_, steps, largest);
  }

  /// 32-bit words of sign bits: sums = K - 2 * mismatches. Unused bits are 0 on both sides and match.
  void pack_bits(const LayerWeights& weights, std::vector<std::int32_t>& base) {
    const std::int64_t steps = input_.steps();
    weights_.assign(static_cast<std::size_t>(panels_ * steps * 64));
    weights.each([&](std::int64_t o, std::int64_t t, std::int64_t i, std::int8_t v) {
      const std::int64_t k = input_.place(t, i / 8);
      if (v > 0) {
        std::uint8_t& byte = weights_.data()[((o / 16 * steps + k / 4) * 16 + o % 16) * 4 + k % 4];
        byte = static_cast<std::uint8_t>(byte | 1u << (i % 8));
      }
    });
    std::fill(base.begin(), base.end(), static_cast<std::int32_t>(geometry_.taps() * weights.tap));
  }

  void pack_lookup(const LayerWeights& weights, std::vector<std::int32_t>& base) {
    const bool bits = choice_.form == LayerInput::Form::words;
    const int lookups = choice_.lookups, per_lookup = 4 / choice_.weight_bits, per_byte = per_lookup * lookups;
    const std::int64_t steps = input_.steps(), unit_bytes = 2 * lookups * lookup_panel;
    weights_.assign(static_cast<std::size_t>(panels_ * steps * unit_bytes));
    weights.each([&](std::int64_t o, std::int64_t t, std::int64_t i, std::int8_t v) {
      const std::int64_t k = input_.place(t, i / per_byte), in_byte = i % per_byte;
      std::uint8_t& nibble =
          weights_.data()[(o / lookup_panel * steps + k / 2) * unit_bytes +
                          (k % 2 * lookups + in_byte / per_lookup) * lookup_panel + o % lookup_panel];
      // Sign bits are not levels: a layer of nothing but +1 has one level, number 0.
      const unsigned level = bits ? (v > 0 ? 1u : 0u) : weights.level(v);
      nibble = static_cast<std::uint8_t>(nibble | level << (in_byte % per_lookup * choice_.weight_bits));
    });
    tables_.assign(static_cast<std::size_t>(256 * lookups * 16));
    const std::int64_t total = steps * 2 * lookups;
    std::int32_t largest = 4, shift = 0;
    if (bits) {
      // Entries count matches: sum = 2 * matches - K, where unused bits match.
      shift = 1;
      for (int byte = 0; byte < 256; ++byte) {
        for (int w = 0; w < 16; ++w) {
          for (int l = 0; l < 2; ++l)
            tables_.data()[(byte * 2 + l) * 16 + w] =
                static_cast<std::uint8_t>(4 - __builtin_popcount(static_cast<unsigned>((byte >> (4 * l) & 15) ^ w)));
        }
      }
      const std::int64_t used = geometry_.taps() * weights.tap;
      std::fill(base.begin(), base.end(), static_cast<std::int32_t>(-used - 2 * (total * 4 - used)));
    } else {
      const std::int32_t lowest = fill_tables(weights, largest);
      const std::int32_t times = choice_.form == LayerInput::Form::split ? 1 + 4 : 1;
      for (std::int32_t& b : base) b += static_cast<std::int32_t>(total) * lowest * times;
    }
    lookup_.tables = tables_.data();
    lookup_.lookups = lookups;
    lookup_.shift = shift;
    lookup_.byte_units = 255 / (largest * 2 * lookups);
    lookup_.word_units = 65535 / (largest * 2 * lookups) / lookup_.byte_units * lookup_.byte_units;
  }

  /// Sums of products of 2-bit codes with weight levels, minus the lowest of them, which is returned.
  std::int32_t fill_tables(const LayerWeights& weights, std::int32_t& largest) {
    const int lookups = choice_.lookups, bits = choice_.weight_bits, per_lookup = 4 / bits;
    const auto entry = [&](int byte, int l, int w) {
      std::int32_t sum = 0;
      for (int i = 0; i < per_lookup; ++i)
        sum += (byte >> (2 * (l * per_lookup + i)) & 3) * weights.value(w >> (i * bits) & ((1 << bits) - 1));
      return sum;
    };
    std::int32_t low = 0, high = 0;
    for (int pass = 0; pass < 2; ++pass) {
      for (int byte = 0; byte < 256; ++byte) {
        for (int l = 0; l < lookups; ++l) {
          for (int w = 0; w < 16; ++w) {
            const std::int32_t sum = entry(byte, l, w);
            low = std::min(low, sum), high = std::max(high, sum);
            if (pass == 1) tables_.data()[(byte * lookups + l) * 16 + w] = static_cast<std::uint8_t>(sum - low);
          }
        }
      }
    }
    largest = std::max(high - low, 1);
    return low;
  }

  const Step& step_;
  LayerGeometry geometry_;
  LayerChoice choice_;
  std::int64_t group_out_, panels_, stride_, group_bytes_ = 0, narrow_steps_ = 1;
  LayerInput input_;
  LayerBlocks blocks_;
  EpilogueWriter epilogue_;
  std::size_t input_bytes_ = 0, part_bytes_ = 0, sums_bytes_ = 0;
  AlignedBytes weights_, tables_;
  UnpackPanel unpack_ = nullptr;  // weights are packed panels
  PackedPanel form_{};
  int zero_ = 0;
  std::int64_t together_ = 1;  // panels unpacked at a time
  LookupTables lookup_{};
  LayerStarts starts_;
};

/// Microseconds with one decimal; the runtime's text() prints all digits.
std::string rounded(double microseconds) {
  const auto tenths = static_cast<std::int64_t>(microseconds * 10 + 0.5);
  return text(tenths / 10, ".", tenths % 10);
}

/// What a layer is to the tuning cache: everything that a kernel's time depends on.
std::string signature(const PlanContext& plan, const Step& step, const LayerWeights& weights) {
  const LayerGeometry g(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step);
  const Window& w = g.window;
  const CodeType& code = plan.code(step.inputs[0]);
  return text(g.n, "x", g.in_h, "x", g.in_w, "x", g.in_c, " to ", step.out_channels, ", window ", w.kernel_h, "x",
              w.kernel_w, " stride ", w.stride_h, "x", w.stride_w, " dilation ", w.dilation_h, "x", w.dilation_w,
              " pad ", w.pad_top, " ", w.pad_left, " ", w.pad_bottom, " ", w.pad_right, ", groups ", step.groups,
              ", codes ", code.min, " to ", code.max, ", levels ", weights.levels.front(), " to ",
              weights.levels.back(), " (", weights.levels.size(), "), epilogue ", static_cast<int>(step.epilogue.kind),
              " levels ", step.epilogue.levels);
}

/// The layer with the fastest of its kernels, by measurement or estimate; the others are refused with the reason.
std::unique_ptr<PreparedStep> make_fastest(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                           const std::vector<LayerChoice>& choices, std::vector<std::string>& refused) {
  std::size_t best = 0;
  std::vector<double> measured;
  if (plan.tuner != nullptr && choices.size() > 1 && !weights.levels.empty()) {
    std::vector<std::string> names;
    for (const LayerChoice& c : choices) names.push_back(c.name);
    best = plan.tuner->fastest(
        signature(plan, step, weights), names, plan, step,
        [&](std::size_t i) { return std::make_unique<DirectLayer>(plan, step, weights, choices[i]); }, measured);
  }
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i == best) continue;
    if (measured.empty())
      refused.push_back(choices[i].name + ": estimated slower");
    else
      refused.push_back(text(choices[i].name, ": measured slower, ", rounded(measured[i]), " against ",
                             rounded(measured[best]), " us"));
  }
  return std::make_unique<DirectLayer>(plan, step, weights, choices[best]);
}

/// A layer on codes in bytes: few rows of a fully connected layer with their weights packed, others directly.
std::unique_ptr<PreparedStep> make_bytes(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                         std::vector<std::string>& refused) {
  const std::vector<LayerChoice> choices = choose_bytes(plan, step, weights, refused);
  std::string why;
  // A lookup does four times the products of an AVX2 multiplication, on twice the bytes; VNNI makes up for it.
  std::unique_ptr<PreparedStep> made;
  if (choices[0].lookups == 0 || direct_kernels(plan.isa).isa != Isa::avx2)
    made = make_matvec(plan, step, weights, why);
  if (made != nullptr) return made;
  if (!why.empty()) refused.push_back("matvec: " + why);
  return make_fastest(plan, step, weights, choices, refused);
}

}  // namespace

LayerWeights::LayerWeights(const Step& step) : values(step.weights.unpack()), outputs(step.out_channels) {
  std::vector<bool> seen(256, false);
  for (const std::int8_t v : values) seen[static_cast<std::size_t>(v + 128)] = true;
  for (int v = -128; v < 128; ++v) {
    if (!seen[static_cast<std::size_t>(v + 128)]) continue;
    index_[static_cast<std::size_t>(v + 128)] = static_cast<std::uint8_t>(levels.size());
    levels.push_back(static_cast<std::int8_t>(v));
  }
}

std::int64_t narrow_steps(const std::int8_t* panels, std::int64_t panel_count, std::int64_t steps,
                          std::int32_t largest) {
  const std::int64_t lanes = 32;  // pairs of products of 16 channels
  const auto fits = [&](std::int64_t n) {
    for (std::int64_t p = 0; p < panel_count; ++p) {
      for (std::int64_t first = 0; first < steps; first += n) {
        std::int32_t low[lanes] = {}, high[lanes] = {};
        for (std::int64_t k = first; k < std::min(steps, first + n); ++k) {
          const std::int8_t* w = panels + (p * steps + k) * 64;
          for (std::int64_t i = 0; i < lanes; ++i) {
            for (std::int64_t h = 0; h < 2; ++h) {
              low[i] += std::min<std::int32_t>(w[2 * i + h], 0) * largest;
              high[i] += std::max<std::int32_t>(w[2 * i + h], 0) * largest;
            }
          }
          for (std::int64_t i = 0; i < lanes; ++i) {
            if (low[i] < -32768 || high[i] > 32767) return false;
          }
        }
      }
    }
    return true;
  };
  std::int64_t best = 0;
  for (std::int64_t n = 1; best < steps && fits(n); n *= 2) best = n;
  return std::min(best, steps);
}

std::unique_ptr<PreparedStep> make_layer(const PlanContext& plan, const Step& step) {
  std::unique_ptr<PreparedStep> made;
  std::vector<std::string> refused;
  LayerWeights weights(step);
  const Slot& in = plan.slot(step.inputs[0]);
  if (in.storage == Storage::bits) {
    made = make_binary_matvec(plan, step, weights);
    weights.set_taps(LayerGeometry(in, plan.slot(step.outputs[0]), step).taps());
    if (made == nullptr) made = make_fastest(plan, step, weights, choose_bits(plan, step), refused);
  } else if (step.kind == StepKind::convolution && step.groups > 1 && step.groups == step.in_channels &&
             step.groups == step.out_channels) {
    made = make_depthwise(plan, step);
  } else {
    weights.set_taps(LayerGeometry(in, plan.slot(step.outputs[0]), step).taps());
    made = make_bytes(plan, step, weights, refused);
    if (!plan.code(step.inputs[0]).sign)
      refused.push_back("binary: activations are not one bit");
    else if (!step.weights.binary())
      refused.push_back("binary: weights are not one bit");
    else if (step.groups > 1)
      refused.push_back("binary: grouped convolution");
    else
      refused.push_back("binary: another reader of the activations needs bytes");
  }
  std::size_t rows = 0;
  const DirectKernels* table = direct_table(rows);
  for (std::size_t i = 0; i < rows && table[i].isa > plan.isa; ++i) {
    refused.push_back(std::string(name_of(table[i].isa)) + ": " +
                      (table[i].isa > hardware_isa() ? "the CPU lacks it" : "held down by NNQ_ISA"));
  }
  made->refused.insert(made->refused.end(), refused.begin(), refused.end());
  return made;
}

}  // namespace nnq
