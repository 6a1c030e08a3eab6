#include "quantize/state.h"

#include "nnq/error.h"
#include "pack/vector_code.h"

namespace nnq::quantize {

void check_state(const Node& recurrent, const QuantizerSpec& spec) {
  const std::string where = "layer '" + recurrent.name + "' (" + recurrent.op + ")";
  const bool uniform = spec.method == "uniform" && spec.bits == uniform_vector_bits;
  NNQ_CHECK(uniform || spec.method == "alternating",
            "method '" + spec.method + "' at " + std::to_string(spec.bits) + (spec.bits == 1 ? " bit" : " bits") +
                " cannot quantize a recurrent state",
            where, "its activations take method \"alternating\", \"uniform\" with 8 bits, or \"float\"");
  for (const auto& [key, value] : spec.parameters)
    NNQ_CHECK(key == "cycles" && !uniform, "'" + key + "' is no parameter of a recurrent state", where,
              uniform ? "a uniform state has none" : "known: cycles");
  NNQ_CHECK(recurrent.get_string("direction", "forward") == "forward" && recurrent.get_int("layout", 0) == 0 &&
                !recurrent.has("activations") && !recurrent.has("clip") && !recurrent.has("input_forget") &&
                (recurrent.op != "GRU" || recurrent.get_int("linear_before_reset", 0) != 0) &&
                (recurrent.inputs.size() < 5 || recurrent.inputs[4].empty()) &&
                (recurrent.inputs.size() < 8 || recurrent.inputs[7].empty()),
            "only plain forward layers take a quantized state", where,
            "no peepholes, lengths, clip or other activations; a GRU with linear_before_reset = 1");
}

void set_vector_code(Node& quantizes, const std::string& prefix, const QuantizerSpec& spec) {
  for (const char* attribute : {"bits", "uniform", "cycles"}) quantizes.attributes.erase(prefix + attribute);
  quantizes.attributes[prefix + "bits"] = std::int64_t{spec.bits};
  if (spec.method == "uniform") quantizes.attributes[prefix + "uniform"] = std::int64_t{1};
  for (const auto& [key, value] : spec.parameters) quantizes.attributes[prefix + key] = value;
}

}  // namespace nnq::quantize
