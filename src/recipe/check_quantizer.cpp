#include "recipe/check_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/text.h"
#include "quantize/rules.h"
#include "recipe/keys.h"
#include "train/quantizer.h"

namespace nnq::recipe {
namespace {

std::vector<std::string> parameter_names(const MethodInfo& info) {
  std::vector<std::string> names;
  for (const MethodParameter& parameter : info.parameters) names.push_back(parameter.name);
  return names;
}

bool is_one_of(const std::string& word, const std::vector<std::string>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// The error with which the method refuses to be made like this.
std::optional<Error> refusal_of(const train::Method& method, const QuantizerSpec& spec, std::string_view role) {
  train::QuantizerContext context;
  context.role = role == "weights"       ? train::Role::weight
                 : role == "activations" ? train::Role::activation
                                         : train::Role::gradient;
  context.bits = spec.bits;
  const std::vector<std::string> own = parameter_names(method.info);
  for (const auto& [name, value] : spec.parameters)
    if (is_one_of(name, own)) context.node.attributes[name] = value;  // others are of placement alone
  try {
    method.make(context);
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

/// The key whose value is to blame: with another one the method accepts the rest.
std::string key_to_blame(const train::Method& method, const QuantizerSpec& spec, std::string_view role) {
  for (const auto& [name, value] : spec.parameters) {
    QuantizerSpec without = spec;
    without.parameters.erase(name);
    if (!refusal_of(method, without, role)) return name;
  }
  for (int bits = 1; bits <= 8; ++bits) {
    QuantizerSpec other = spec;
    other.bits = bits;
    if (!refusal_of(method, other, role)) return "bits";
  }
  return "method";
}

}  // namespace

std::optional<Error> find_method_fault(const std::string& method) {
  try {
    train::find_method(method);
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

std::optional<QuantizerFault> find_fault(const QuantizerSpec& spec, std::string_view role) {
  if (const std::optional<Error> error = find_method_fault(spec.method)) return QuantizerFault{"method", *error};
  const train::Method& method = train::find_method(spec.method);
  const std::vector<std::string> own = parameter_names(method.info);
  for (const auto& [name, value] : spec.parameters) {
    if (quantize::is_placement_parameter(name)) {
      const std::int64_t* flag = std::get_if<std::int64_t>(&value);
      if (flag == nullptr || (*flag != 0 && *flag != 1)) return QuantizerFault{name, Error(name + " is true or false")};
    } else if (!is_one_of(name, own)) {
      std::vector<std::string> known = names_of(quantizer_keys());
      known.insert(known.end(), own.begin(), own.end());
      return QuantizerFault{
          name,
          Error(fmt::format("'{}' is neither a key of a quantizer nor a parameter of method '{}'", name, spec.method),
                {}, suggestion(name, known))};
    }
  }
  std::optional<Error> refusal = refusal_of(method, spec, role);
  if (!refusal) return std::nullopt;
  return QuantizerFault{key_to_blame(method, spec, role), std::move(*refusal)};
}

}  // namespace nnq::recipe
