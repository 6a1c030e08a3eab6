#include "train/run_graph.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

constexpr std::int64_t batch_size = 128;

/// Rows [first, first + count) of the first axis.
Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  Shape shape = t.shape();
  const std::size_t row = t.bytes() / static_cast<std::size_t>(std::max<std::int64_t>(shape[0], 1));
  shape[0] = count;
  Tensor part(t.dtype(), shape);
  std::memcpy(part.mutable_data(), t.data() + static_cast<std::size_t>(first) * row,
              static_cast<std::size_t>(count) * row);
  return part;
}

}  // namespace

std::vector<Tensor> run_graph(const Graph& graph, const Tensor& input,
                              const std::function<void(const std::string&, const Tensor&)>& observe) {
  NNQ_CHECK(graph.inputs.size() == 1, fmt::format("the network has {} inputs, expected one", graph.inputs.size()),
            graph.name);
  NNQ_CHECK(input.rank() >= 1 && input.shape()[0] > 0, "no input to run on", graph.inputs[0].name);
  const ValueType& type = graph.inputs[0].type;
  const bool fixed = type.ranked && !type.shape.empty() && type.shape[0].known();
  const std::int64_t count = input.shape()[0], batch = fixed ? type.shape[0].value : batch_size;
  NNQ_CHECK(!fixed || (batch > 0 && count % batch == 0),
            fmt::format("{} samples are no multiple of the network's fixed batch of {}", count, batch),
            graph.inputs[0].name, "export the network with a free batch dimension");
  const at::NoGradGuard no_gradient;
  Executor executor(graph, Executor::Options{});
  Executor::Observer watch;
  if (observe) watch = [&](const std::string& name, const at::Tensor& t) { observe(name, from_torch(t)); };
  std::vector<std::vector<at::Tensor>> parts(graph.outputs.size());
  for (std::int64_t first = 0; first < count; first += batch) {
    const std::int64_t n = std::min(batch, count - first);
    const std::vector<at::Tensor> outputs =
        executor.forward({{graph.inputs[0].name, to_torch(n == count ? input : rows(input, first, n))}}, false, watch);
    for (std::size_t i = 0; i < outputs.size(); ++i) parts[i].push_back(outputs[i]);
  }
  std::vector<Tensor> joined;
  for (std::vector<at::Tensor>& part : parts)
    joined.push_back(from_torch(part.size() == 1 || part[0].dim() == 0 ? part[0] : at::cat(part, 0)));
  return joined;
}

}  // namespace nnq::train
