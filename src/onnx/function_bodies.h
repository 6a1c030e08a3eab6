// What a function body of an ai.nnq operator is before it is parsed.
#pragma once

#include <string>
#include <vector>

namespace nnq::onnx_format {

/// A body in ONNX's text form; `signature` holds its attributes, inputs and outputs.
struct Body {
  const char* name;
  const char* signature;
  const char* text;
};

/// `text` with every `what` replaced by `with`.
std::string replaced(std::string text, const std::string& what, const std::string& with);

/// LSTM and GRU with a state that is quantized at every time step, QuantizeVectors (recurrent_functions.cpp); their
/// texts live on.
std::vector<Body> recurrent_bodies();

}  // namespace nnq::onnx_format
