// Which kernel a convolution or fully connected layer gets, decided from the codes, the weights and the instruction
// set.
#pragma once

#include <string>
#include <vector>

#include "kernels/direct/direct.h"
#include "runtime/steps/layer.h"

namespace nnq {

struct LayerChoice {
  LayerInput::Form form = LayerInput::Form::bytes;
  DirectKernel kernel = nullptr;
  std::string name;
  std::int64_t unit = 4, panel = direct_panel;
  std::uint8_t border = 0;  // the byte (packed: code) under the window outside the image
  std::int32_t difference = 0;
  int lookups = 0, weight_bits = 0;  // lookup: a byte (triples: a unit)
  bool triples = false;              // lookup, by LookupForm::triples
  DirectKernel narrow = nullptr;     // taken instead where the weights allow it
  const char* narrow_name = nullptr;
  CeilingKind ceiling = CeilingKind::int8;
  double ceiling_share = 1, microseconds = 0;  // estimated
  bool ternary = false;                        // sign bits: the weights are -1, 0, +1
  int packed_bits = 0;                         // bytes: width of the weights in memory, 0: a byte
  bool winograd = false;                       // steps/winograd.h; form, unit and kernel are not used
  std::int64_t winograd_run = 0;               // of the narrow form; 0: the wide one
  std::int32_t largest = 255;                  // winograd: of the codes, with the border
  std::int64_t most_rows(std::int64_t stride) const {
    // Sums of a block stay in the first-level cache; packed panels are unpacked once a block and want many rows.
    return stride <= 64 || packed_bits != 0 ? 48 : 24;
  }
};

/// For codes in bytes: what can run, the fastest by the cost model first; `refused`: why others cannot.
std::vector<LayerChoice> choose_bytes(const PlanContext& plan, const Step& step, const LayerWeights& weights,
                                      std::vector<std::string>& refused);
/// Whether products of a layer's weights with codes of this kind are counted bits: binary ones, and ternary ones where
/// that beats bytes. Grouped layers have no such kernels.
bool counts_bits(Isa isa, const CodeType& code, const Step& step);
/// For sign bits, binary or ternary weights, the fastest first.
std::vector<LayerChoice> choose_bits(const PlanContext& plan, const Step& step);

}  // namespace nnq
