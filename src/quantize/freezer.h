// The work of freeze(): reads the trained graph node by node and writes the deployable one.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "nnq/quantize.h"
#include "quantize/form.h"
#include "quantize/weights.h"

namespace nnq::quantize {

/// Largest magnitude up to which float32 holds every integer; sums of integer layers stay below it.
inline constexpr double kExactIntegers = 1 << 24;

class Freezer {
 public:
  Freezer(Graph graph, const FreezeCallbacks& callbacks);
  Graph run() &&;

 private:
  using Handler = void (Freezer::*)(const Node&);
  static const std::map<std::string, Handler>& handlers();

  // freezer.cpp: values and names
  void read(const Node& node);
  FormPtr form(const std::string& value) const { return forms_.at(value); }
  void set(const Node& node, FormPtr form) { forms_[node.outputs[0]] = std::move(form); }
  /// The real value in the new graph; adds the Affine that is still pending.
  std::string real(const std::string& value);
  std::string unique(const std::string& stem);
  std::string add(Node node, const std::string& output);
  std::string add_levels(const Form& codes, const std::string& output);  // freeze_levels.cpp
  std::string add_vector(const std::string& stem, const std::vector<double>& values);
  const Tensor* constant(const std::string& value) const;  // float32 initializer of the old graph
  std::int64_t rank_of(const std::string& value) const;    // -1: unknown
  void copy(const Node& node);                             // as it is, on real values
  /// `node` on the raw value of its first input (other inputs real); the new form is the input's with that value.
  FormPtr apply_to_codes(const Node& node);
  void finish_outputs();
  ActivationCode code_of(const Node& quantizer) const;

  // freeze_layers.cpp
  void weight_quantizer(const Node& node);
  void activation_quantizer(const Node& node);  // freeze_levels.cpp
  std::string quantizer_input(const Node& node, const ActivationCode& code);
  void quantizer(const Node& node);
  void layer(const Node& node);
  bool quantized_layer(const Node& node);
  void normalization(const Node& node);
  void arithmetic(const Node& node);
  bool add_codes(const Node& node);
  bool fold_constant(const Node& node, std::size_t which);

  // freeze_movement.cpp
  void identity(const Node& node);
  void move(const Node& node);
  void max_pool(const Node& node);
  void average_pool(const Node& node);
  void relu(const Node& node);
  void pad(const Node& node);
  void concat(const Node& node);

  Graph old_, new_;
  const FreezeCallbacks& callbacks_;
  std::map<std::string, Node> owners_;  // activation quantizers by name, as they were trained
  std::map<std::string, ValueType> types_;
  std::map<std::string, FormPtr> forms_;         // by value of the old graph
  std::map<std::string, FrozenWeight> weights_;  // by output of the weight quantizer
  std::map<std::string, FormPtr> codes_;         // quantized once for each value and code
  std::set<std::string> names_;
};

}  // namespace nnq::quantize
