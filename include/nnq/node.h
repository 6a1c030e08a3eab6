// One operator application of a graph: operator, inputs, outputs, attributes. Shared by graph and runtime.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "nnq/tensor.h"

namespace nnq {

using Attribute = std::variant<std::int64_t, float, std::string, Tensor, std::vector<std::int64_t>, std::vector<float>,
                               std::vector<std::string>>;

/// The domain of nnq's own operators; "" is the standard ONNX domain.
inline constexpr const char* kNnqDomain = "ai.nnq";

struct Node {
  std::string name;                  // unique in its graph; made from the first output when a file has none
  std::string op;                    // "Conv", "Quantize", ...
  std::string domain;                // "" or "ai.nnq"
  std::vector<std::string> inputs;   // value names; "" = optional input left out
  std::vector<std::string> outputs;  // value names; "" = optional output not wanted
  std::map<std::string, Attribute> attributes;

  bool is(const char* op_name, const char* op_domain = "") const { return op == op_name && domain == op_domain; }
  bool has(const std::string& key) const { return attributes.contains(key); }

  /// The attribute if it is there and of type T, otherwise the fallback.
  template <class T>
  T get(const std::string& key, T fallback) const {
    const auto it = attributes.find(key);
    if (it == attributes.end()) return fallback;
    const T* value = std::get_if<T>(&it->second);
    return value != nullptr ? *value : fallback;
  }
  std::int64_t get_int(const std::string& key, std::int64_t fallback) const { return get<std::int64_t>(key, fallback); }
  float get_float(const std::string& key, float fallback) const { return get<float>(key, fallback); }
  std::string get_string(const std::string& key, const char* fallback) const {
    return get<std::string>(key, std::string(fallback));
  }
  std::vector<std::int64_t> get_ints(const std::string& key, std::vector<std::int64_t> fallback = {}) const {
    return get<std::vector<std::int64_t>>(key, std::move(fallback));
  }
};

}  // namespace nnq
