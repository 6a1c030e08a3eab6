// Lowers a graph and holds every value of its program against the value of the same name in the frozen graph.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "nnq/lower.h"
#include "nnq/program.h"
#include "quantize/support.h"

namespace nnq::test {

inline PlacementOptions bits(int weights, int activations, bool quantize_adds = false, bool per_channel = false) {
  QuantizerSpec w{"uniform", weights, {}}, a{activations == 1 ? "bnn" : "uniform", activations, {}};
  if (per_channel) w.parameters["per_channel"] = std::int64_t{1};
  return {{{"*", w, a, {}}}, quantize_adds};
}

inline Graph frozen(const Builder& b, const PlacementOptions& options) {
  return freeze(place_quantizers(b.graph, options), callbacks());
}

inline std::vector<const Step*> steps_of(const Program& program, StepKind kind) {
  std::vector<const Step*> found;
  for (const Step& step : program.steps) {
    if (step.kind == kind) found.push_back(&step);
  }
  return found;
}
inline const Step& step_named(const Program& program, const std::string& name) {
  for (const Step& step : program.steps) {
    if (step.name == name) return step;
  }
  ADD_FAILURE() << "no step '" << name << "'";
  static const Step none;
  return none;
}

/// Equal numbers; the graph's codes are floats, so its zeros may carry a sign.
inline bool same_numbers(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return false;
  const std::vector<float> x = a.to_float(), y = b.to_float();
  return std::equal(x.begin(), x.end(), y.begin(),
                    [](float p, float q) { return p == q || (std::isnan(p) && std::isnan(q)); });
}

struct Compared {
  Program program;
  int integers = 0;  // integer values that had a name in the graph
};

/// Runs graph and program on the feeds: every output and every value of the program that has a name in the graph must
/// be equal.
inline Compared compare(const Graph& graph, const std::map<std::string, Tensor>& feeds) {
  const auto parts = [] {
    return ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
  };
  const int failures_before = parts();
  std::map<std::string, Tensor> values;
  const std::vector<Tensor> expected =
      interpret(graph, feeds, [&](const std::string& name, const Tensor& value) { values[name] = value; });
  Compared result{lower(graph), 0};
  const Program& p = result.program;
  EXPECT_TRUE(check_program(p).ok()) << check_program(p).message();
  // A pool that moved behind its thresholds reads codes under the name of the sums.
  std::set<std::int32_t> moved;
  for (const Step& step : p.steps) {
    if (step.kind == StepKind::max_pool && step.note.find("moved in front") != std::string::npos)
      moved.insert(step.inputs[0]);
  }
  std::vector<Tensor> inputs, outputs;
  for (const std::int32_t i : p.inputs) inputs.push_back(feeds.at(p.values[static_cast<std::size_t>(i)].name));
  const Status status = interpret_program(p, inputs, outputs, [&](std::int32_t number, const Tensor& value) {
    const ProgramValue& v = p.values[static_cast<std::size_t>(number)];
    const auto it = values.find(v.name);
    if (it == values.end() || moved.contains(number)) return;
    EXPECT_TRUE(same_numbers(it->second, value)) << "value '" << v.name << "' differs";
    if (v.kind == ValueKind::tensor) return;
    ++result.integers;
    if (v.kind != ValueKind::codes) return;
    for (const std::int32_t code : value.values<std::int32_t>()) {
      const bool member = v.code.sign ? code == 1 || code == -1 : code >= v.code.min && code <= v.code.max;
      EXPECT_TRUE(member) << "value '" << v.name << "' holds " << code;
      if (!member) return;
    }
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(outputs.size(), expected.size());
  for (std::size_t i = 0; i < std::min(outputs.size(), expected.size()); ++i)
    EXPECT_TRUE(same_numbers(expected[i], outputs[i])) << "output " << i << " differs";
  if (parts() != failures_before) ADD_FAILURE() << to_text(graph);
  return result;
}
inline Compared compare(const Builder& b, const PlacementOptions& options) {
  return compare(frozen(b, options), b.feeds);
}

}  // namespace nnq::test
