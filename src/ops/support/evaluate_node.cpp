// Runs one node on owned tensors: the step that the reference interpreter and constant folding repeat.
#include "core/guard.h"
#include "nnq/op.h"
#include "ops/support/check.h"

namespace nnq {
namespace {

/// More than any sensible layer, less than what makes a hostile file hurt.
constexpr std::int64_t kMaxOutputBytes = std::int64_t{4} << 30;

Status infer_outputs(const Op& op, const Node& node, std::int64_t opset, std::span<const Tensor> inputs,
                     std::vector<ValueType>& types) {
  std::vector<ValueType> input_types(inputs.size());
  InferContext ctx{node, opset, {}, {}, {}};
  ctx.outputs.resize(node.outputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool given = inputs[i].defined();
    if (given) input_types[i] = ValueType::of(inputs[i].dtype(), inputs[i].shape());
    ctx.inputs.push_back(given ? &input_types[i] : nullptr);
    ctx.constants.push_back(given ? &inputs[i] : nullptr);
  }
  NNQ_TRY(op.infer(ctx));
  types = std::move(ctx.outputs);
  return {};
}

Status allocate(const Node& node, const std::vector<ValueType>& types, std::vector<Tensor>& outputs) {
  std::int64_t total = 0;
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (node.outputs[i].empty() && i > 0) continue;
    NNQ_REQUIRE(types[i].fully_known(), ops::title(node), ": the shape of output ", i,
                " cannot be told from the inputs: ", types[i].to_string());
    const auto count = checked_count(types[i].static_shape());
    std::int64_t bytes = 0;
    const bool fits = count &&
                      !__builtin_mul_overflow(*count, static_cast<std::int64_t>(size_of(types[i].dtype)), &bytes) &&
                      !__builtin_add_overflow(total, bytes, &total) && total <= kMaxOutputBytes;
    if (!fits) {
      return {StatusCode::out_of_memory,
              text(ops::title(node), ": output ", types[i].to_string(), " is larger than the limit of 4 GiB")};
    }
  }
  outputs.assign(types.size(), Tensor());
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (!node.outputs[i].empty() || i == 0) outputs[i] = Tensor(types[i].dtype, types[i].static_shape());
  }
  return {};
}

Status run(const Op& op, const Node& node, std::int64_t opset, std::span<const Tensor> inputs,
           std::vector<Tensor>& outputs) {
  std::vector<TensorView> in(inputs.size());
  std::vector<TensorView> out(outputs.size());
  std::vector<ValueType> types(inputs.size());
  EvalContext ctx{node, opset, {}, {}, {}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) {
      in[i] = inputs[i].view();
      types[i] = ValueType::of(in[i].dtype, in[i].shape);
    }
    ctx.inputs.push_back(inputs[i].defined() ? &in[i] : nullptr);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].defined()) out[i] = outputs[i].mutable_view();
    ctx.outputs.push_back(outputs[i].defined() ? &out[i] : nullptr);
  }
  Tensor scratch;
  if (op.scratch) {
    const std::size_t bytes = op.scratch(node, types);
    if (bytes > static_cast<std::size_t>(kMaxOutputBytes)) {
      return {StatusCode::out_of_memory,
              text(ops::title(node), ": needs ", bytes, " bytes of scratch memory, more than the limit of 4 GiB")};
    }
    scratch = Tensor(DType::u8, {static_cast<std::int64_t>(bytes)});
    ctx.scratch = {scratch.mutable_data(), bytes};
  }
  return op.evaluate(ctx);
}

}  // namespace

Status evaluate_node(const Node& node, std::int64_t opset, std::span<const Tensor> inputs,
                     std::vector<Tensor>& outputs) {
  const Op* op = find_op(node.domain, node.op);
  if (op == nullptr)
    return Status::unsupported(
        text("operator ", node.domain.empty() ? "" : node.domain + ".", node.op, " is not known"));
  NNQ_REQUIRE(!node.outputs.empty(), ops::title(node), ": has no outputs");
  for (const Tensor& t : inputs) {
    if (t.defined() && t.dtype() == DType::string)
      return Status::unsupported(text(ops::title(node), ": string tensors are not computed on"));
  }
  constexpr const char* no_memory = "out of memory";
  Status status = guarded(no_memory, [&]() -> Status {
    std::vector<ValueType> types;
    NNQ_TRY(infer_outputs(*op, node, opset, inputs, types));
    NNQ_TRY(allocate(node, types, outputs));
    return run(*op, node, opset, inputs, outputs);
  });
  if (status.message() == no_memory) return {status.code(), text(ops::title(node), ": ", no_memory)};
  return status;
}

}  // namespace nnq
