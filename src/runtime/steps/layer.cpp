// Convolutions and fully connected layers: rows of input bytes times packed panels, then the epilogue.
#include "runtime/steps/layer.h"

#include <algorithm>
#include <cstring>

#include "kernels/aligned.h"
#include "runtime/autotune.h"
#include "runtime/steps/layer_choice.h"
#include "runtime/steps/layer_pack.h"
#include "runtime/steps/layer_starts.h"
#include "runtime/steps/matvec.h"
#include "runtime/steps/winograd.h"

namespace nnq {

LayerBlocks::LayerBlocks(std::int64_t positions, std::int64_t most, int threads) : positions_(positions) {
  // Enough blocks to balance threads, all of about one size; one row too many (49 of a 7 x 7 image) makes none of its
  // own.
  const std::int64_t at_least = threads == 1 ? 1 : threads * 4,
                     blocks = std::max((positions + most - 2) / most, std::min(at_least, positions));
  rows_ = std::max<std::int64_t>(1, (positions + blocks - 1) / std::max<std::int64_t>(blocks, 1));
  // Whole tiles, which have 4 or 6 rows: rows that are left over take one of their own each.
  if (const std::int64_t whole = (rows_ + 11) / 12 * 12; threads == 1 && blocks > 1 && whole <= most) rows_ = whole;
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
    pack(plan, weights);
    if (choice_.narrow != nullptr) choose_narrow();
    if (packed_->form.bits != 0) unpack_panels(plan.isa);
    kernel = std::string(step.kind == StepKind::convolution ? "conv_" : "dense_") + choice_.name;
    weight_bytes = packed_->weights.size() + packed_->tables.size();
    ceiling = choice_.ceiling;
    ceiling_share = choice_.ceiling_share;
    input_bytes_ = whole_lines(input_.scratch_bytes());
    sums_bytes_ = static_cast<std::size_t>(blocks_.rows()) *
                      (static_cast<std::size_t>(stride_) * 4 + sizeof(DirectRow)) / 64 * 64 +
                  128;
    part_bytes_ =
        sums_bytes_ + (unpack_ == nullptr ? 0 : static_cast<std::size_t>(packed_->form.weights + packed_->form.room()));
    scratch_bytes = input_bytes_ + part_bytes_ * static_cast<std::size_t>(blocks_.parts());
  }

  Status run(ThreadPool& pool) override {
    input_.prepare(pool, scratch);
    pool.parallel(blocks_.parts(), [this](std::int64_t part) {
      std::byte* const own = scratch + input_bytes_ + part_bytes_ * static_cast<std::size_t>(part);
      auto* const rows = reinterpret_cast<DirectRow*>(own);
      auto* const sums = reinterpret_cast<std::int32_t*>(
          own + whole_lines(static_cast<std::size_t>(blocks_.rows()) * sizeof(DirectRow)));
      blocks_.each(part, [&](std::int64_t first, std::int64_t count) { block(first, count, rows, sums); });
    });
    return {};
  }

 private:
  void block(std::int64_t first, std::int64_t count, DirectRow* rows, std::int32_t* sums) const {
    const PackedLayer& packed = *packed_;
    DirectCall call{
        rows, count,   input_.offsets().data(), input_.steps(), packed.weights.data(), panels_, sums, stride_,
        1,    &lookup_};
    const std::int64_t group_columns = panels_ * choice_.panel;
    for (std::int64_t g = 0; g < step_.groups; ++g) {
      fill_rows(geometry_, input_, starts_, scratch, first, count, g, g * group_columns, rows);
      call.sums = sums + g * group_columns;
      call.panels = packed.weights.data() + g * packed.group_bytes;
      if (choice_.form == LayerInput::Form::split) add_high_bits(call, rows);
      if (unpack_ != nullptr)
        packed_panels(call, rows, g);
      else if (narrow_)
        narrow_panels(call, rows, g);
      else
        choice_.kernel(call);
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
    const PackedPanel& form = packed_->form;
    const std::uint8_t* packed = packed_->weights.data() + group * panels_ * form.bytes();
    call.panels = reinterpret_cast<const std::uint8_t*>(room);
    for (std::int64_t p = 0; p < panels_; p += call.panel_count) {
      call.panel_count = std::min(together_, panels_ - p);
      for (std::int64_t i = 0; i < call.panel_count; ++i)
        unpack_(form, packed + (p + i) * form.bytes(), packed_->zero, room + i * form.weights);
      // One panel at a time: AVX-512, which takes two, has no narrow kernel.
      if (narrow_) call.narrow_steps = run_of(group * panels_ + p);
      choice_.kernel(call);
      go_on(call, rows);
    }
  }

  /// Panels that stay in 16 bits for as many steps, together.
  void narrow_panels(DirectCall call, DirectRow* rows, std::int64_t group) const {
    const std::int64_t panel_bytes = packed_->group_bytes / panels_;
    for (std::int64_t p = 0; p < panels_; p += call.panel_count) {
      call.narrow_steps = run_of(group * panels_ + p);
      call.panel_count = 1;
      while (p + call.panel_count < panels_ && run_of(group * panels_ + p + call.panel_count) == call.narrow_steps)
        ++call.panel_count;
      choice_.kernel(call);
      call.panels += call.panel_count * panel_bytes;
      go_on(call, rows);
    }
  }
  std::int64_t run_of(std::int64_t panel) const { return packed_->narrow_steps[static_cast<std::size_t>(panel)]; }

  /// To the columns behind a call's panels.
  static void go_on(DirectCall& call, DirectRow* rows) {
    call.sums += call.panel_count * direct_panel;
    for (std::int64_t r = 0; r < call.row_count; ++r) rows[r].start += call.panel_count * direct_panel;
  }

  /// No images, no weights: nothing will be computed.
  void pack(const PlanContext& plan, const LayerWeights& weights) {
    if (geometry_.positions() == 0) {
      packed_ = std::make_shared<PackedLayer>();
      return;
    }
    packed_ = shared_layer(plan, step_, weights, choice_, input_.runs());
    lookup_ = packed_->lookup_tables();
    starts_.make(geometry_, packed_->base, packed_->tap_sums, choice_.difference);
  }

  void unpack_panels(Isa isa) {
    unpack_ = unpack_panel(isa);
    together_ = isa >= Isa::avx512 ? 2 : 1;
    choice_.name += "_w" + std::to_string(packed_->form.bits);
  }

  void choose_narrow() {
    const auto& steps = packed_->narrow_steps;
    narrow_ = std::find(steps.begin(), steps.end(), 0) == steps.end();
    if (!narrow_) {
      refused.push_back(std::string(choice_.narrow_name) + ": a pair of products could leave 16 bits");
      return;
    }
    choice_.kernel = choice_.narrow;
    choice_.name = choice_.narrow_name;
    choice_.ceiling = CeilingKind::narrow;
  }

  const Step& step_;
  LayerGeometry geometry_;
  LayerChoice choice_;
  std::int64_t group_out_, panels_, stride_;
  LayerInput input_;
  LayerBlocks blocks_;
  EpilogueWriter epilogue_;
  std::size_t input_bytes_ = 0, part_bytes_ = 0, sums_bytes_ = 0;
  std::shared_ptr<const PackedLayer> packed_;
  LookupTables lookup_{};         // of packed_
  UnpackPanel unpack_ = nullptr;  // weights are packed panels
  std::int64_t together_ = 1;     // panels unpacked at a time
  bool narrow_ = false;           // sums of panels stay in 16 bits for a while
  LayerStarts starts_;
};

/// The distinct values of a layer's weights, for which all of them have to be read.
struct WeightLevels {
  PackedArray<std::int8_t> values;
  template <class Self, class F>
  static void fields(Self& self, F& f) {
    f(self.values);
  }
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

std::unique_ptr<PreparedStep> make_chosen(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                          const LayerChoice& choice) {
  if (choice.winograd) return make_winograd(plan, step, weights, choice);
  return std::make_unique<DirectLayer>(plan, step, weights, choice);
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
        [&](std::size_t i) { return make_chosen(plan, step, weights, choices[i]); }, measured);
  }
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i == best) continue;
    if (measured.empty())
      refused.push_back(choices[i].name + ": estimated slower");
    else
      refused.push_back(text(choices[i].name, ": measured slower, ", rounded(measured[i]), " against ",
                             rounded(measured[best]), " us"));
  }
  return make_chosen(plan, step, weights, choices[best]);
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

LayerWeights::LayerWeights(const PlanContext& plan, const Step& step)
    : outputs(step.out_channels), packed_(step.weights) {
  const auto shared = plan.shared<WeightLevels>(step, "levels", [&] {
    auto made = std::make_shared<WeightLevels>();
    made->values.assign(std::span<const std::int8_t>(step.weights.levels()));
    return made;
  });
  levels.assign(shared->values.begin(), shared->values.end());
  shared_ = shared;
  for (std::size_t i = 0; i < levels.size(); ++i)
    index_[static_cast<std::size_t>(levels[i] + 128)] = static_cast<std::uint8_t>(i);
}

std::unique_ptr<PreparedStep> make_layer(const PlanContext& plan, const Step& step) {
  std::unique_ptr<PreparedStep> made;
  std::vector<std::string> refused;
  LayerWeights weights(plan, step);
  const Slot& in = plan.slot(step.inputs[0]);
  if (in.storage == Storage::bits) {
    if (step.weights.binary()) made = make_binary_matvec(plan, step, weights);
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
    else if (step.groups > 1)
      refused.push_back("binary: grouped convolution");
    else if (!counts_bits(plan.isa, plan.code(step.inputs[0]), step))
      refused.push_back("binary: weights are not one bit (or ternary, where that has kernels)");
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
  made->held = weights.shared();
  return made;
}

}  // namespace nnq
