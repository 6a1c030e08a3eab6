// The plain CIFAR-10 networks of Polino, Pascanu, Alistarh 2018 (arXiv:1802.05668): a teacher and students of falling
// size. Each layer is followed by ReLU and then batch norm; some by 2x2 max pooling and dropout. The authors' code also
// has a ReLU on the logits, which is left out.
#include <algorithm>
#include <map>

#include "zoo/registry.h"
#include "zoo/support/builder.h"

namespace nnq::zoo {
namespace {

/// One row of the paper's table; layers count from 0, convolutions first.
struct Plan {
  const char *name, *about;
  std::vector<std::int64_t> filters;
  std::int64_t kernel;
  std::vector<std::size_t> pooled;
  std::map<std::size_t, float> dropped;  // share of values zeroed behind a layer
  std::vector<std::int64_t> hidden;
};

const std::vector<Plan>& plans() {
  static const std::map<std::size_t, float> of_students{{1, 0.2F}, {3, 0.3F}, {4, 0.4F}};
  static const std::vector<Plan> rows{
      {"distillation_teacher",
       "teacher of quantized distillation (arXiv:1802.05668): 8 convolutions, 5.3M",
       {76, 76, 126, 126, 148, 148, 148, 148},
       3,
       {1, 3, 7},
       {{1, 0.2F}, {3, 0.3F}, {7, 0.35F}, {8, 0.4F}, {9, 0.4F}},
       {1200, 1200}},
      {"distillation_student1",
       "student 1 of quantized distillation (arXiv:1802.05668): 1M",
       {75, 50, 50, 25},
       5,
       {1, 3},
       of_students,
       {500}},
      {"distillation_student2",
       "student 2 of quantized distillation (arXiv:1802.05668): 0.3M",
       {50, 25, 25, 10},
       5,
       {1, 3},
       of_students,
       {400}},
      {"distillation_student3",
       "student 3 of quantized distillation (arXiv:1802.05668): 0.1M",
       {25, 10, 10, 5},
       5,
       {1, 3},
       of_students,
       {300}},
      {"distillation_deep",
       "deeper student of quantized distillation (arXiv:1802.05668): 11 convolutions, 5.8M",
       {76, 76, 76, 126, 126, 126, 148, 148, 148, 148, 148},
       3,
       {2, 5, 10},
       {{2, 0.2F}, {5, 0.3F}, {10, 0.35F}, {11, 0.4F}, {12, 0.4F}},
       {1000, 1000, 1000}},
  };
  return rows;
}

Graph build(const Plan& plan, const Values& values, std::uint64_t seed) {
  const std::int64_t channels = values.integer("channels", 1, 1024), size = values.integer("size", 8, 1024),
                     classes = values.integer("classes", 1, 1000000);
  const bool drops = values.choice("dropout", {"yes", "no"}) == "yes";
  Builder b({channels, size, size}, seed);
  std::string x = b.input;
  std::int64_t in = channels, side = size;
  const auto behind = [&](std::size_t layer, std::int64_t width) {
    const std::string n = std::to_string(layer);
    x = b.batch_norm("bn" + n, b.relu("act" + n, x), width);
    if (std::find(plan.pooled.begin(), plan.pooled.end(), layer) != plan.pooled.end()) {
      x = b.max_pool("pool" + n, x, 2, 2);
      side /= 2;
    }
    const auto share = plan.dropped.find(layer);
    if (drops && share != plan.dropped.end()) x = b.dropout("dropout" + n, x, share->second);
    in = width;
  };
  std::size_t layer = 0;
  for (const std::int64_t out : plan.filters) {
    x = b.conv("conv" + std::to_string(layer), x, in, out,
               {.kernel = plan.kernel, .pad = plan.kernel / 2, .bias = true});
    behind(layer++, out);
  }
  x = b.flatten("flatten", x);
  in *= side * side;
  for (const std::int64_t units : plan.hidden) {
    x = b.linear("fc" + std::to_string(layer), x, in, units);
    behind(layer++, units);
  }
  return b.finish(b.linear("fc" + std::to_string(layer), x, in, classes));
}

}  // namespace
}  // namespace nnq::zoo

NNQ_ZOO(distillation) {
  std::vector<Network> networks;
  for (const Plan& plan : plans()) {
    networks.push_back(
        {.entry = {plan.name,
                   plan.about,
                   {{"dropout", "yes", "yes, no", "dropout in training; a distilled student has none"},
                    {"channels", "3", "1..1024", "input channels"},
                    {"size", "32", "8..1024", "input height and width"},
                    {"classes", "10", "1..", "outputs"}}},
         .build = [&plan](const Values& values, std::uint64_t seed) { return build(plan, values, seed); }});
  }
  return networks;
}
