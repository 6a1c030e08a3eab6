// What a quantizer does unless its method says otherwise, and the table of methods.
#include "train/quantizer.h"

#include <algorithm>

#include "nnq/error.h"

namespace nnq::methods {
#define NNQ_ROW(stem) ::nnq::train::Method register_##stem();
#include "nnq_registry/quantizers.inc"
#undef NNQ_ROW
}  // namespace nnq::methods

namespace nnq::train {
namespace {

std::vector<Method> collect() {
  std::vector<Method> methods;
#define NNQ_ROW(stem) methods.push_back(::nnq::methods::register_##stem());
#include "nnq_registry/quantizers.inc"
#undef NNQ_ROW
  std::sort(methods.begin(), methods.end(), [](const Method& a, const Method& b) { return a.info.id < b.info.id; });
  return methods;
}

/// Insertions, deletions and replacements that turn a into b.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

void Quantizer::calibrate(const at::Tensor&) {}
void Quantizer::finish_calibration() {}

Encoding Quantizer::encode(const at::Tensor&) const {
  throw Error("this method does not encode weights", {}, "see `nnq methods` for the roles each method serves");
}

ActivationCode Quantizer::activation_code() const {
  throw Error("this method does not encode activations", {}, "see `nnq methods` for the roles each method serves");
}

std::vector<StateEntry> Quantizer::state() { return {}; }
void Quantizer::after_step(at::Tensor&) {}
at::Tensor Quantizer::penalty(const at::Tensor&) { return {}; }

void Quantizer::carry_state(int bits) {
  for (const StateEntry& entry : state())
    NNQ_CHECK(!entry.tensor->defined(),
              "its '" + entry.name + "' cannot be carried over from " + std::to_string(bits) + " bits", {},
              "start the method anew in a recipe of its own");
}

double Quantizer::learning_rate_scale(const at::Tensor&) const { return 1; }

const std::vector<Method>& all_methods() {
  static const std::vector<Method> methods = collect();
  return methods;
}

const Method& find_method(std::string_view id) {
  const Method* nearest = nullptr;
  std::size_t best = 0;
  for (const Method& method : all_methods()) {
    if (method.info.id == id) return method;
    const std::size_t distance = edit_distance(id, method.info.id);
    if (nearest == nullptr || distance < best) {
      nearest = &method;
      best = distance;
    }
  }
  throw Error("there is no quantization method '" + std::string(id.substr(0, 64)) + "'", {},
              nearest == nullptr ? "no methods are built in"
                                 : "did you mean '" + nearest->info.id + "'? `nnq methods` lists all");
}

}  // namespace nnq::train
