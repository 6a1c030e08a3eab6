#include "runtime/steps/layer_choice.h"

#include <algorithm>

#include "kernels/winograd/winograd.h"
#include "runtime/cost_model.h"
#include "runtime/steps/winograd.h"

namespace nnq {
namespace {

/// The entries of one kernel step, products of 8 codes 0 .. 3 (triples: of 9) with weights, must span at most 255.
bool fits_lookup(const LayerWeights& weights, LookupForm form) {
  std::int32_t low = 0, high = 0;
  for (const std::int8_t v : weights.levels)
    low = std::min<std::int32_t>(low, v), high = std::max<std::int32_t>(high, v);
  return (form == LookupForm::triples ? 9 : 8) * 3 * (high - low) <= 255;
}

/// Why the lookup kernel cannot run; empty when it can.
std::string lookup_refuses(const DirectKernels& kernels, const LookupKernel& lookup, const Step& step,
                           const LayerWeights& weights, std::int32_t largest) {
  if (lookup.form == LookupForm::triples && weights.levels.size() <= 2) return "weights have one bit";
  // Two passes for codes of more than 2 bits: never more than Arm's dot product.
  const bool two_passes = weights.levels.size() <= 2 && (kernels.narrow != nullptr || kernels.isa == Isa::avx512);
  const std::int32_t most = two_passes ? 15 : 3;
  if (largest > most) return std::string("activations have more than ") + (most > 3 ? "4" : "2") + " bits";
  if (weights.levels.size() > (lookup.most_lookups == 1 ? 2 : 4))
    return std::string("weights have more than ") + (lookup.most_lookups == 1 ? "2" : "4") + " levels";
  if (step.groups > 1) return "grouped convolution";
  if (!fits_lookup(weights, lookup.form)) return "weight levels too far apart for entries of a byte";
  return {};
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// What the cost model says of a method on this layer; packed, run: see LayerCost.
double estimate(const PlanContext& plan, const Step& step, Method method, std::int64_t panel, std::int64_t packed,
                std::int64_t run = 0) {
  const LayerGeometry g(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step);
  return estimated_microseconds(plan.isa, method,
                                {g.positions(), g.taps() * g.in_c / step.groups,
                                 step.groups * round_up(step.out_channels / step.groups, panel), packed, run});
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

/// Whether two products that meet in a narrow kernel surely fit 16 bits, for codes 0 .. largest.
bool pairs_fit(const LayerWeights& weights, std::int32_t largest) {
  if (2 * weights.highest() * largest <= 32767) return true;
  // Odd taps are read one after the other: their pairs reach over into the next.
  if (weights.tap % 2 != 0) return false;
  const auto fit = [&](std::int32_t a, std::int32_t b) {
    return (std::max(a, 0) + std::max(b, 0)) * largest <= 32767 &&
           (std::min(a, 0) + std::min(b, 0)) * largest >= -32768;
  };
  // Most layers with a pair that does not fit have one early, and need not be unpacked to see it.
  const std::int64_t early = std::min<std::int64_t>(weights.count(), 8192);
  for (std::int64_t i = 0; i + 1 < early; i += 2) {
    if (!fit(weights.at(i), weights.at(i + 1))) return false;
  }
  const std::vector<std::int8_t>& values = weights.values();
  for (auto i = static_cast<std::size_t>(early); i + 1 < values.size(); i += 2) {
    if (!fit(values[i], values[i + 1])) return false;
  }
  return true;
}

/// The multiplying kernels, the fastest first.
std::vector<LayerChoice> choose_products(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                         std::int32_t largest, std::vector<std::string>& refused) {
  const DirectKernels& kernels = direct_kernels(plan.isa);
  std::vector<LayerChoice> choices(1);
  LayerChoice& bytes = choices[0];
  bytes.kernel = kernels.int8;
  bytes.name = kernels.int8_name;
  bytes.ceiling = CeilingKind::int8;
  bytes.microseconds = estimate(plan, step, Method::int8, direct_panel, 0);
  if (kernels.narrow != nullptr && pairs_fit(weights, largest)) {
    bytes.narrow = kernels.narrow, bytes.narrow_name = kernels.narrow_name;
    bytes.microseconds =
        estimate(plan, step, Method::narrow, direct_panel, 0, 32767 / std::max(2 * weights.highest() * largest, 1));
    return choices;
  }
  if (kernels.narrow != nullptr)
    refused.push_back(std::string(kernels.narrow_name) + ": a pair of products could leave 16 bits");
  if (kernels.wide == nullptr) return choices;
  LayerChoice wide = bytes;
  wide.form = LayerInput::Form::wide;
  wide.kernel = kernels.wide;
  wide.name = kernels.wide_name;
  wide.microseconds =
      estimate(plan, step, Method::wide, direct_panel, static_cast<std::int64_t>(plan.slot(step.inputs[0]).bytes));
  choices.insert(wide.microseconds < bytes.microseconds ? choices.begin() : choices.end(), wide);
  return choices;
}

/// Winograd's filtering next to the other multiplying kernels, in front where it is the fastest.
void add_winograd(const PlanContext& plan, const Step& step, const LayerWeights& weights, std::int32_t largest,
                  std::vector<LayerChoice>& choices, std::vector<std::string>& refused) {
  if (step.kind == StepKind::dense) return;
  const LayerGeometry g(plan.slot(step.inputs[0]), plan.slot(step.outputs[0]), step);
  LayerChoice winograd;
  winograd.winograd_run = winograd_run(weights.highest(), largest);
  winograd.name = winograd_kernels(plan.isa, winograd.winograd_run != 0).name;
  if (const std::string why = winograd_refuses(g, step, weights, largest); !why.empty()) {
    refused.push_back(winograd.name + ": " + why);
    return;
  }
  winograd.winograd = true;
  winograd.largest = largest;
  if (winograd.winograd_run != 0) winograd.ceiling = CeilingKind::narrow;
  winograd.ceiling_share = 36.0 / 16;
  // Transforming codes, sums and weights costs as much as a few channels, outputs and tiles more, and 60 ns a tile.
  const std::int64_t tiles = winograd_rows(g.n * ((g.out_h + 1) / 2) * ((g.out_w + 1) / 2)) + 2;
  const bool narrow = winograd.winograd_run != 0;
  winograd.microseconds =
      estimated_microseconds(plan.isa, narrow ? Method::winograd_narrow : Method::winograd,
                             {4 * tiles, 9 * (g.in_c + 3), round_up(step.out_channels, winograd_panel) + 2, tiles * 960,
                              winograd.winograd_run});
  choices.insert(winograd.microseconds < choices[0].microseconds ? choices.begin() : choices.end(), winograd);
}

/// Looked up products next to the other choices, in front where they are the fastest.
void add_lookup(const PlanContext& plan, const Step& step, const LayerWeights& weights, std::int32_t largest,
                const LookupKernel& kernel, std::vector<LayerChoice>& choices, std::vector<std::string>& refused) {
  if (const std::string why = lookup_refuses(direct_kernels(plan.isa), kernel, step, weights, largest); !why.empty()) {
    refused.push_back(std::string(kernel.name) + ": " + why);
    return;
  }
  const bool one_bit = weights.levels.size() <= 2, split = largest > 3, wide = kernel.panel == 64;
  LayerChoice lookup;
  lookup.form = split ? LayerInput::Form::split : LayerInput::Form::packed;
  lookup.kernel = kernel.kernel;
  lookup.name = std::string(!one_bit ? "w2a2_" : split ? "w1a4_" : "w1a2_") + kernel.name;
  lookup.unit = 2;
  lookup.panel = kernel.panel;
  lookup.weight_bits = one_bit ? 1 : 2;
  lookup.triples = kernel.form == LookupForm::triples;
  lookup.lookups = lookup.triples ? 3 : one_bit ? 1 : 2;
  lookup.ceiling = CeilingKind::lookup;
  lookup.ceiling_share = lookup.triples ? 2.0 / 3 : one_bit && !split ? 1 : 0.5;
  // Entries of signs times ternary weights, counted in twos: 0 .. 4.
  if (kernel.pairs && lookup.lookups == 2 && plan.code(step.inputs[0]).sign && step.weights.ternary())
    lookup.ceiling_share *= pair_share;
  const Method method = lookup.triples ? Method::w2a2_triples
                        : !one_bit     ? Method::w2a2_lookup
                        : split        ? (wide ? Method::w1a4_lookup_64 : Method::w1a4_lookup)
                                       : (wide ? Method::w1a2_lookup_64 : Method::w1a2_lookup);
  lookup.microseconds = estimate(plan, step, method, kernel.panel,
                                 static_cast<std::int64_t>(plan.slot(step.inputs[0]).bytes) * (split ? 2 : 1));
  choices.insert(lookup.microseconds < choices[0].microseconds ? choices.begin() : choices.end(), lookup);
}

}  // namespace

std::vector<LayerChoice> choose_bytes(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                      std::vector<std::string>& refused) {
  const CodeType& code = plan.code(step.inputs[0]);
  const std::int32_t border = step.pad_value - code.min, largest = code.max - code.min;
  std::vector<LayerChoice> choices = choose_products(plan, step, weights, std::max(largest, border), refused);
  add_winograd(plan, step, weights, std::max(largest, std::clamp(border, 0, 255)), choices, refused);
  for (const LookupKernel& kernel : lookup_kernels(plan.isa))
    add_lookup(plan, step, weights, largest, kernel, choices, refused);
  for (LayerChoice& choice : choices) {
    if (choice.lookups == 0) choice.packed_bits = packed_bits(plan, step, weights);
    const std::int32_t top = choice.form == LayerInput::Form::packed  ? 3
                             : choice.form == LayerInput::Form::split ? 15
                                                                      : 255;
    // Signs are codes 0 and 2. Entries for the code between would cost more than starts that know the border.
    if (border >= 0 && border <= top && !(code.sign && choice.lookups != 0 && border % 2 != 0))
      choice.border = static_cast<std::uint8_t>(border);
    else
      choice.difference = border;
  }
  return choices;
}

bool counts_bits(Isa isa, const CodeType& code, const Step& step) {
  return code.sign && step.groups == 1 &&
         (step.weights.binary() || (direct_kernels(isa).ternary != nullptr && step.weights.ternary()));
}

std::vector<LayerChoice> choose_bits(const PlanContext& plan, const Step& step) {
  const DirectKernels& kernels = direct_kernels(plan.isa);
  std::vector<LayerChoice> choices(1);
  choices[0].ternary = !step.weights.binary();
  choices[0].kernel = choices[0].ternary ? kernels.ternary : kernels.binary;
  choices[0].name = choices[0].ternary ? kernels.ternary_name : kernels.binary_name;
  choices[0].ceiling = CeilingKind::binary;
  choices[0].microseconds =
      estimate(plan, step, choices[0].ternary ? Method::ternary : Method::binary, direct_panel, 0);
  for (const LookupKernel& kernel : lookup_kernels(plan.isa)) {
    if (!kernels.lookup_binary || choices[0].ternary || kernel.most_lookups < 2) continue;
    LayerChoice& lookup = choices.emplace_back();
    lookup.kernel = kernel.kernel;
    lookup.name = std::string("binary_") + kernel.name;
    lookup.unit = 2;
    lookup.panel = kernel.panel;
    lookup.weight_bits = 1;
    lookup.lookups = 2;
    lookup.ceiling = CeilingKind::lookup;
    if (kernel.pairs) lookup.ceiling_share = pair_share;
    lookup.microseconds = estimate(plan, step, Method::binary_lookup, kernel.panel, 0);
    if (lookup.microseconds < choices[0].microseconds) std::swap(choices.front(), choices.back());
  }
  for (LayerChoice& choice : choices) {
    choice.form = LayerInput::Form::words;
    // Border bits are 0, which is -1.
    choice.difference = step.kind == StepKind::dense ? 0 : step.pad_value + 1;
  }
  return choices;
}

}  // namespace nnq
