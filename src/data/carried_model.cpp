#include "data/carried_model.h"

#include <algorithm>

#include "nnq/error.h"
#include "nnq/recurrent.h"

namespace nnq {
namespace {

constexpr const char* kHint = "a language model takes int64 [time, batch] and carries its state; nnq train makes such";

}  // namespace

CarriedModel::CarriedModel(std::vector<GraphInput> inputs, std::vector<std::string> outputs,
                           const std::map<std::string, std::string>& metadata, const std::string& where)
    : inputs_(std::move(inputs)) {
  NNQ_CHECK(!inputs_.empty() && !outputs.empty() && inputs_[0].type.dtype == DType::i64, "is no language model", where,
            kHint);
  for (std::size_t i = 1; i < inputs_.size(); ++i) {
    const GraphInput& input = inputs_[i];
    const auto pair = metadata.find(kStateKey + input.name);
    NNQ_CHECK(pair != metadata.end(), "input '" + input.name + "' is no carried state", where, kHint);
    const auto output = std::find(outputs.begin(), outputs.end(), pair->second);
    NNQ_CHECK(
        output != outputs.end() && input.type.ranked && input.type.shape.size() == 3 && input.type.shape[2].known(),
        "state '" + input.name + "' is damaged", where, kHint);
    state_outputs_.push_back(static_cast<std::size_t>(output - outputs.begin()));
  }
}

std::vector<Tensor> CarriedModel::inputs(const Tensor& tokens, const std::vector<Tensor>& state) const {
  std::vector<Tensor> all = {tokens};
  for (std::size_t i = 1; i < inputs_.size(); ++i)
    all.push_back(state.empty() ? Tensor(DType::f32, {1, tokens.shape()[1], inputs_[i].type.shape[2].value})
                                : state[i - 1]);
  return all;
}

Tensor CarriedModel::take(const std::vector<Tensor>& outputs, std::vector<Tensor>& state) const {
  state.clear();
  for (const std::size_t output : state_outputs_) {  // copies: a runtime may use its output memory again
    const Tensor& from = outputs[output];
    state.push_back(Tensor::of<float>(from.shape(), {from.as<float>(), static_cast<std::size_t>(from.count())}));
  }
  return outputs[0];
}

}  // namespace nnq
