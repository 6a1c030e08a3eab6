// What freezing knows about the codes of an activation quantizer.
#pragma once

#include <string>

#include "nnq/quantize.h"

namespace nnq::quantize {

/// Throws nnq::Error (naming `where`) when bits, scale, offset, thresholds or levels cannot be.
void check_code(const ActivationCode& code, const std::string& where);

/// The same code in the form that deploys best: levels {-s, +s} about a threshold of 0 are sign codes, and levels that
/// are multiples of one step are integers. Values and codes stay what they were.
ActivationCode simplest(ActivationCode code);

/// True for levels that are no multiples of a step, so that layers behind them see real values.
bool has_real_levels(const ActivationCode& code);

/// The quantized value of x.
float quantized_value(const ActivationCode& code, float x);

/// A text equal for equal codes.
std::string key_of(const ActivationCode& code);

}  // namespace nnq::quantize
