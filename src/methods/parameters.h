// A method's parameters: read from the Quantizer node's attributes, checked against the method's own table.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "train/quantizer.h"

namespace nnq::methods {

/// Attributes of a Quantizer node, with the defaults of MethodInfo::parameters. Throws nnq::Error for an attribute that
/// is neither the contract's (method, role, bits, signed, state_names, shared_with) nor the method's, naming the
/// nearest.
class Parameters {
 public:
  Parameters(const train::QuantizerContext& context, const MethodInfo& info);

  /// Throws nnq::Error unless low <= value <= high.
  double number(const std::string& name, double low, double high) const;
  bool flag(const std::string& name) const;
  std::string choice(const std::string& name, std::initializer_list<std::string_view> allowed) const;

 private:
  std::string text(const std::string& name) const;  // the attribute, or the default, as text

  const train::QuantizerContext& context_;
  const MethodInfo& info_;
};

/// Throws nnq::Error unless the role's bits are in low .. high ("dorefa: gradients take 2 to 8 bits, not 1").
void check_bits(const train::QuantizerContext& context, const MethodInfo& info, int low, int high);
/// Throws the error for a role the method does not serve.
[[noreturn]] void refuse_role(const train::QuantizerContext& context, const MethodInfo& info);

const char* name_of(train::Role role);

}  // namespace nnq::methods
