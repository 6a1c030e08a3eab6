// What of a quantizer can be judged before there is a network.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nnq/error.h"
#include "nnq/quantize.h"

namespace nnq::recipe {

struct QuantizerFault {
  std::string key;  // to blame: "method", "bits" or a parameter
  Error error;
};

/// The first fault of a quantizer as a rule's `role` (weights, activations, gradients): a method or parameter that does
/// not exist, a value of the wrong type or out of range, bits or a role that the method does not serve.
/// Training would otherwise go on for hours before the quantize stage finds it.
std::optional<QuantizerFault> find_fault(const QuantizerSpec& spec, std::string_view role);

/// The error of a method that does not exist.
std::optional<Error> find_method_fault(const std::string& method);

}  // namespace nnq::recipe
