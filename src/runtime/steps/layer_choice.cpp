#include "runtime/steps/layer_choice.h"

#include <algorithm>

namespace nnq {
namespace {

/// The entries of one kernel step, products of 8 codes 0 .. 3 with weights, must span at most 255.
bool fits_lookup(const LayerWeights& weights) {
  std::int32_t low = 0, high = 0;
  for (const std::int8_t v : weights.levels)
    low = std::min<std::int32_t>(low, v), high = std::max<std::int32_t>(high, v);
  return 8 * 3 * (high - low) <= 255;
}

/// Width that weights take in memory in front of the int8 kernels: unpacking a panel costs 8 to 10 operations for what
/// takes a row 5 (vpmaddubsw) or 1 (VNNI), so few rows are better off with bytes, unless they wait for memory.
int packed_bits(const PlanContext& plan, const Step& step, const LayerWeights& weights) {
  const LayerGeometry g(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step);
  const int low = weights.levels.front(), high = weights.levels.back(), span = high - low;
  const std::int64_t least = plan.isa >= Isa::avx512 ? 40 : step.kind == StepKind::dense ? 5 : 16;
  if (g.positions() < least || plan.isa == Isa::portable || low > 0 || high < 0 || span > 15) return 0;
  return span > 7 ? 4 : span > 3 ? 3 : 2;
}

}  // namespace

LayerChoice choose_bytes(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                         std::vector<std::string>& refused) {
  const DirectKernels& kernels = direct_kernels(plan.isa);
  const CodeType& code = plan.code(step.inputs[0]);
  LayerChoice choice;
  choice.kernel = kernels.int8;
  choice.name = kernels.int8_name;
  const std::int32_t border = step.pad_value - code.min, largest = code.max - code.min;
  const int bits = weights.levels.size() <= 2 ? 1 : 2;
  const std::int64_t out = step.out_channels;
  if (kernels.lookup != nullptr) {
    std::string why;
    // Two passes for codes of more than 2 bits: 1.3x int8_maddubs, but no more than VNNI.
    const std::int32_t most = bits == 1 && kernels.isa == Isa::avx2 ? 15 : 3;
    if (largest > most)
      why = std::string("activations have more than ") + (most > 3 ? "4" : "2") + " bits";
    else if (weights.levels.size() > 4)
      why = "weights have more than 4 levels";
    else if (step.groups > 1)
      why = "grouped convolution";
    else if (!fits_lookup(weights))
      why = "weight levels too far apart for entries of a byte";
    else if ((bits == 2 || largest > 3) && out % lookup_panel != 0 && out % lookup_panel <= 16 && out < 64)
      why = "too few output channels: half of its vectors would be empty";
    if (why.empty()) {
      choice.form = largest > 3 ? LayerInput::Form::split : LayerInput::Form::packed;
      choice.kernel = kernels.lookup;
      choice.name = std::string(bits == 2 ? "w2a2_" : largest > 3 ? "w1a4_" : "w1a2_") + kernels.lookup_name;
      choice.unit = 2;
      choice.panel = lookup_panel;
      choice.weight_bits = bits;
      choice.lookups = bits == 1 ? 1 : 2;
    } else {
      refused.push_back(std::string(kernels.lookup_name) + ": " + why);
    }
  }
  if (choice.lookups == 0) {
    choice.narrow = kernels.narrow, choice.narrow_name = kernels.narrow_name;
    choice.packed_bits = packed_bits(plan, step, weights);
  }
  const std::int32_t top = choice.form == LayerInput::Form::packed  ? 3
                           : choice.form == LayerInput::Form::split ? 15
                                                                    : 255;
  if (border >= 0 && border <= top)
    choice.border = static_cast<std::uint8_t>(border);
  else
    choice.difference = border;
  return choice;
}

LayerChoice choose_bits(const PlanContext& plan, const Step& step) {
  const DirectKernels& kernels = direct_kernels(plan.isa);
  LayerChoice choice;
  choice.form = LayerInput::Form::words;
  choice.kernel = kernels.binary;
  choice.name = kernels.binary_name;
  // Border bits are 0, which is -1.
  choice.difference = step.kind == StepKind::dense ? 0 : step.pad_value + 1;
  if (kernels.lookup_binary) {
    choice.kernel = kernels.lookup;
    choice.name = std::string("binary_") + kernels.lookup_name;
    choice.unit = 2;
    choice.panel = lookup_panel;
    choice.weight_bits = 1;
    choice.lookups = 2;
  }
  return choice;
}

}  // namespace nnq
