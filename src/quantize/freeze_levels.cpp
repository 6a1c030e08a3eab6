// Freezing activation quantizers: uniform codes, sign codes, and codes with thresholds and levels of their own.
#include "nnq/error.h"
#include "quantize/activation_code.h"
#include "quantize/freezer.h"

namespace nnq::quantize {

namespace {

bool shifts(const ActivationCode& code) { return !code.sign && code.thresholds.empty() && code.offset != 0; }

}  // namespace

/// The real input; an offset is subtracted in the Affine that is pending before it, or in one of its own.
std::string Freezer::quantizer_input(const Node& node, const ActivationCode& code) {
  if (!shifts(code)) return real(node.inputs[0]);
  const auto plain = [&] {
    Form form;
    form.value = real(node.inputs[0]);
    return form;
  };
  // One reader of a pending Affine gets it with the offset inside: two roundings in all, as without an offset.
  const FormPtr x = form(node.inputs[0]);
  const bool pending = x->real.empty() && old_.consumers(node.inputs[0]).size() == 1;
  FormPtr shifted = pending ? compose(*x, {1}, {-static_cast<double>(code.offset)}, x->axis) : nullptr;
  if (shifted == nullptr) shifted = compose(plain(), {1}, {-static_cast<double>(code.offset)}, 1);
  const std::string name = unique(node.inputs[0] + ".shifted");
  forms_[name] = shifted;
  return real(name);
}

void Freezer::activation_quantizer(const Node& node) {
  const ActivationCode code = code_of(node);
  const std::string key = (shifts(code) ? node.inputs[0] : real(node.inputs[0])) + '\n' + key_of(code);
  if (const auto it = codes_.find(key); it != codes_.end()) return set(node, it->second);
  Node quantize;
  quantize.name = node.name;
  quantize.domain = kNnqDomain;
  quantize.op = code.sign ? "Sign" : code.thresholds.empty() ? "Quantize" : "Bucketize";
  quantize.inputs = {quantizer_input(node, code)};
  if (quantize.op == "Bucketize") {
    quantize.inputs.push_back(add_vector(node.name + ".thresholds", {code.thresholds.begin(), code.thresholds.end()}));
    quantize.attributes = {{"bits", std::int64_t{code.bits}}};
  } else if (quantize.op == "Quantize") {
    quantize.inputs.push_back(add_vector(node.name + ".scale", {static_cast<double>(code.scale)}));
    quantize.attributes = {
        {"min", std::int64_t{code.min}}, {"max", std::int64_t{code.max}}, {"bits", std::int64_t{code.bits}}};
  }
  auto made = std::make_shared<Form>();
  made->value = add(std::move(quantize), unique(node.outputs[0] + ".codes"));
  made->levels = code.levels;
  if (!has_real_levels(code)) {
    made->a = {static_cast<double>(code.step)};
    made->integer = made->code = true;
    made->lo = code.sign ? -1 : code.min;
    made->hi = code.sign ? 1 : code.max;
  }
  codes_[key] = made;
  set(node, std::move(made));
}

std::string Freezer::add_levels(const Form& codes, const std::string& output) {
  Node levels;
  levels.op = "Levels";
  levels.domain = kNnqDomain;
  levels.name = unique(output + ".levels");
  levels.inputs = {codes.value, add_vector(output + ".table", {codes.levels.begin(), codes.levels.end()})};
  return add(std::move(levels), output);
}

}  // namespace nnq::quantize
