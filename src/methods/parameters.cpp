#include "methods/parameters.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "core/text.h"
#include "nnq/error.h"

namespace nnq::methods {
namespace {

std::string as_text(const Attribute& attribute) {
  if (const auto* i = std::get_if<std::int64_t>(&attribute)) return std::to_string(*i);
  if (const auto* s = std::get_if<std::string>(&attribute)) return *s;
  if (const auto* f = std::get_if<float>(&attribute)) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, *f).ptr};
  }
  return "a list";
}

}  // namespace

const char* name_of(train::Role role) {
  return role == train::Role::weight ? "weights" : role == train::Role::activation ? "activations" : "gradients";
}

Parameters::Parameters(const train::QuantizerContext& context, const MethodInfo& info)
    : context_(context), info_(info) {
  static const std::set<std::string> contract{"method", "role", "bits", "signed", "state_names", "shared_with"};
  std::vector<std::string> known;
  for (const MethodParameter& parameter : info.parameters) known.push_back(parameter.name);
  for (const auto& [name, value] : context.node.attributes)
    if (!contract.contains(name) && std::find(known.begin(), known.end(), name) == known.end())
      throw Error("has no parameter '" + name + "'", "method '" + info.id + "'", suggestion(name, known));
}

std::string Parameters::text(const std::string& name) const {
  if (const auto it = context_.node.attributes.find(name); it != context_.node.attributes.end())
    return as_text(it->second);
  for (const MethodParameter& parameter : info_.parameters)
    if (parameter.name == name) return parameter.default_value;
  throw Error("parameter '" + name + "' is not in its table", "method '" + info_.id + "'", {}, true);
}

double Parameters::number(const std::string& name, double low, double high) const {
  const std::string value = text(name);
  double parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  if (!whole || !(parsed >= low && parsed <= high))
    throw Error("parameter '" + name + "' is " + value, "method '" + info_.id + "'",
                "it is a number from " + as_text(static_cast<float>(low)) + " to " + as_text(static_cast<float>(high)));
  return parsed;
}

bool Parameters::flag(const std::string& name) const {
  const std::string value = text(name);
  if (value == "0" || value == "false") return false;
  if (value == "1" || value == "true") return true;
  throw Error("parameter '" + name + "' is " + value, "method '" + info_.id + "'", "it is 0 or 1");
}

std::string Parameters::choice(const std::string& name, std::initializer_list<std::string_view> allowed) const {
  const std::string value = text(name);
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return value;
  throw Error("parameter '" + name + "' is '" + value + "'", "method '" + info_.id + "'",
              suggestion(value, {allowed.begin(), allowed.end()}));
}

void check_bits(const train::QuantizerContext& context, const MethodInfo& info, int low, int high) {
  if (context.bits >= low && context.bits <= high) return;
  const std::string range = low == high ? std::to_string(low) + (low == 1 ? " bit" : " bits")
                                        : std::to_string(low) + " to " + std::to_string(high) + " bits";
  throw Error(std::string(name_of(context.role)) + " take " + range + ", not " + std::to_string(context.bits),
              "method '" + info.id + "'", "serves " + info.roles);
}

void refuse_role(const train::QuantizerContext& context, const MethodInfo& info) {
  throw Error(std::string("does not quantize ") + name_of(context.role), "method '" + info.id + "'",
              "serves " + info.roles);
}

}  // namespace nnq::methods
