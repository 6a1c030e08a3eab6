// Makes a plan: shapes of all values, constants evaluated ahead, memory in one arena, one prepared step each.
#include "runtime/plan.h"

#include <algorithm>
#include <limits>
#include <new>

#include "core/guard.h"
#include "kernels/aligned.h"
#include "runtime/before_quantizers.h"
#include "runtime/float_chains.h"
#include "runtime/real_planes_steps.h"
#include "runtime/relus_behind.h"
#include "runtime/shapes.h"
#include "runtime/steps/layer_choice.h"
#include "runtime/vector_steps.h"

namespace nnq {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t no_place = std::numeric_limits<std::size_t>::max();

/// A piece of the arena and the steps during which it is in use, both ends included.
struct Piece {
  std::size_t bytes = 0;
  std::size_t first = 0, last = 0;
  std::size_t offset = no_place;
};

/// Gives every piece the lowest place that is free while it lives, largest pieces first. Returns the arena's bytes.
std::size_t place(std::vector<Piece>& pieces) {
  std::vector<Piece*> order;
  for (Piece& p : pieces) {
    if (p.bytes > 0) order.push_back(&p);
  }
  std::stable_sort(order.begin(), order.end(), [](const Piece* a, const Piece* b) { return a->bytes > b->bytes; });
  std::vector<Piece*> placed;  // by offset
  std::size_t total = 0;
  for (Piece* piece : order) {
    std::size_t offset = 0;
    for (const Piece* other : placed) {
      if (other->last < piece->first || piece->last < other->first) continue;
      if (offset + piece->bytes <= other->offset) break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    piece->offset = offset;
    total = std::max(total, offset + piece->bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), piece,
                                   [](const Piece* a, const Piece* b) { return a->offset < b->offset; }),
                  piece);
  }
  return total;
}

class Planner {
 public:
  Planner(const Program& program, SharedWeights& weights, const PlanOptions& options, Plan& plan)
      : program_(program), weights_(weights), options_(options), plan_(plan) {}

  Status run() {
    plan_.slots.assign(program_.values.size(), {});
    plan_.constants.reserve(program_.values.size());  // slots point into it
    for (const auto& [number, tensor] : program_.constants) set_constant(number, tensor);
    for (std::size_t i = 0; i < program_.inputs.size(); ++i) {
      const ProgramValue& declared = value(program_.inputs[i]);
      NNQ_TRY(check_input(declared, declared.type.dtype, plan_.input_shapes[i]));
      NNQ_TRY(set_tensor(program_.inputs[i], declared.type.dtype, plan_.input_shapes[i]));
    }
    choose_bits();
    for (const ProgramValue& v : program_.values) {
      // A byte holds 256 codes; wider sets (no lowering makes them) are left to the interpreter.
      if (v.kind == ValueKind::codes && v.code.max - v.code.min > 255) plan_.interpreted = true;
    }
    for (const Step& step : program_.steps) {
      if (Status status = shape_of(step); !status.ok())
        return {status.code(), text("step '", step.name, "': ", status.message())};
      if (plan_.interpreted) return {};
    }
    return prepare();
  }

 private:
  const ProgramValue& value(std::int32_t v) const { return program_.values[static_cast<std::size_t>(v)]; }
  Slot& slot(std::int32_t v) { return plan_.slots[static_cast<std::size_t>(v)]; }

  void set_constant(std::int32_t number, const Tensor& tensor) {
    plan_.constants.push_back(tensor);
    Slot& s = slot(number);
    s.constant = &plan_.constants.back();
    s.shape = tensor.shape();
    s.dtype = tensor.dtype();
    s.bytes = tensor.bytes();
    s.data = const_cast<std::byte*>(tensor.data());  // steps only read their inputs
  }

  Status set_tensor(std::int32_t number, DType dtype, Shape shape) {
    const auto count = checked_count(shape);
    NNQ_REQUIRE(count && *count <= std::numeric_limits<std::int64_t>::max() / 16, "a tensor of shape ",
                to_string(shape), " is too large");
    Slot& s = slot(number);
    s.dtype = dtype;
    s.storage = Storage::tensor;
    s.bytes = static_cast<std::size_t>(*count) * size_of(dtype);
    s.shape = std::move(shape);
    return {};
  }

  /// Shape in program order (NHWC).
  Status set_integers(std::int32_t number, const Shape& shape) {
    const auto count = checked_count(shape);
    NNQ_REQUIRE(count && *count <= std::numeric_limits<std::int64_t>::max() / 16, "a value of shape ", to_string(shape),
                " is too large");
    const ProgramValue& v = value(number);
    Slot& s = slot(number);
    s.shape = shape;
    s.storage = v.kind == ValueKind::accumulator          ? Storage::sums
                : bits_[static_cast<std::size_t>(number)] ? Storage::bits
                                                          : Storage::bytes;
    s.bytes = s.storage == Storage::sums    ? static_cast<std::size_t>(*count) * 4
              : s.storage == Storage::bytes ? static_cast<std::size_t>(*count)
                                            : static_cast<std::size_t>(s.positions() * s.words()) * 4;
    return {};
  }

  /// Sign codes lie as bits unless a layer reads them that has no form for that.
  void choose_bits() {
    bits_.assign(program_.values.size(), false);
    for (std::size_t v = 0; v < bits_.size(); ++v) {
      const ProgramValue& p = program_.values[v];
      bits_[v] = p.kind == ValueKind::codes && p.code.sign && p.type.ranked &&
                 (p.type.shape.size() == 2 || p.type.shape.size() == 4);
    }
    const Isa isa = active_isa();
    const auto never = [&](std::int32_t v) { bits_[static_cast<std::size_t>(v)] = false; };
    for (const Step& step : program_.steps) {
      const bool layer = step.kind == StepKind::convolution || step.kind == StepKind::dense;
      if (layer && !counts_bits(isa, value(step.inputs[0]).code, step)) never(step.inputs[0]);
      if (has_real_planes(step.kind)) never(step.inputs[0]);
    }
    // Pools, subsampling and concat keep the form of their input: all of a chain is bits or none of it.
    for (bool changed = true; changed;) {
      changed = false;
      for (const Step& step : program_.steps) {
        if (step.kind != StepKind::max_pool && step.kind != StepKind::subsample && step.kind != StepKind::concat)
          continue;
        for (const std::int32_t v : step.inputs) {
          const auto in = static_cast<std::size_t>(v), out = static_cast<std::size_t>(step.outputs[0]);
          if (bits_[in] == bits_[out]) continue;
          bits_[in] = bits_[out] = false;
          changed = true;
        }
      }
    }
  }

  Status shape_of(const Step& step) {
    if (step.kind == StepKind::float_op) return float_shape(step);
    if (has_vectors(step.kind)) return vector_shape(step);
    const Slot& in = slot(step.inputs[0]);
    Shape shape = in.shape;
    switch (step.kind) {
      case StepKind::quantize:
        NNQ_REQUIRE(in.dtype == DType::f32, "quantize expects float32, got ", name_of(in.dtype));
        shape = channels_last(in.shape);
        break;
      case StepKind::bucketize:
        NNQ_REQUIRE(in.dtype == DType::f32, "bucketize expects float32, got ", name_of(in.dtype));
        shape = channels_last(in.shape);
        break;
      case StepKind::dequantize:
        NNQ_TRY(check_channels(step, in.shape));
        return set_tensor(step.outputs[0], DType::f32, channels_first(in.shape));
      case StepKind::levels:
        return set_tensor(step.outputs[0], DType::f32, channels_first(in.shape));
      case StepKind::convolution:
      case StepKind::plane_convolution:
        NNQ_TRY(convolution_shape(step, in.shape, shape));
        break;
      case StepKind::dense:
      case StepKind::plane_dense: {
        const auto count = checked_count(in.shape);
        NNQ_REQUIRE(!in.shape.empty() && count && *count == in.shape[0] * step.in_channels, "expected ",
                    step.in_channels, " inputs a row, got shape ", to_string(in.shape));
        shape = {in.shape[0], step.out_channels};
        break;
      }
      case StepKind::max_pool:
        NNQ_TRY(pool_shape(step, in.shape, shape));
        NNQ_TRY(check_channels(step, in.shape));
        break;
      case StepKind::sum_pool:
        NNQ_TRY(pool_shape(step, in.shape, shape));
        NNQ_TRY(check_channels(step, in.shape));
        return set_tensor(step.outputs[0], DType::f32, channels_first(shape));
      case StepKind::subsample:
        NNQ_TRY(subsample_shape(step, in.shape, shape));
        break;
      case StepKind::add:
        NNQ_TRY(add_shape(step, in.shape, slot(step.inputs[1]).shape));
        NNQ_TRY(check_channels(step, in.shape));
        break;
      case StepKind::threshold:
        NNQ_TRY(check_channels(step, in.shape));
        break;
      case StepKind::concat: {
        std::vector<Shape> shapes;
        for (const std::int32_t v : step.inputs) shapes.push_back(slot(v).shape);
        NNQ_TRY(concat_shape(shapes, shape));
        break;
      }
      default:
        break;
    }
    if (!step.epilogue.residual_a.empty()) {
      NNQ_REQUIRE(slot(step.inputs[1]).shape == shape, "the residual has shape ", to_string(slot(step.inputs[1]).shape),
                  ", the layer ", to_string(shape));
    }
    if (has_real_planes(step.kind) && step.inputs.size() > 1) {
      const Slot& residual = slot(step.inputs[1]);
      NNQ_REQUIRE(residual.dtype == DType::f32 && residual.shape == channels_first(shape),
                  "the residual does not have the shape of the layer, ", to_string(channels_first(shape)));
    }
    if (value(step.outputs[0]).kind == ValueKind::tensor)
      return set_tensor(step.outputs[0], DType::f32, channels_first(shape));
    return set_integers(step.outputs[0], shape);
  }

  Status vector_shape(const Step& step) {
    std::vector<Shape> shapes;
    for (const std::int32_t v : step.inputs) {
      shapes.push_back(v < 0 ? Shape() : slot(v).shape);
      const DType expected = step.kind == StepKind::vector_lookup ? DType::i64 : DType::f32;
      NNQ_REQUIRE(v < 0 || value(v).kind == ValueKind::codes || slot(v).dtype == expected, name_of(step.kind),
                  " expects ", name_of(expected), ", got ", name_of(slot(v).dtype));
    }
    VectorShapes made;
    NNQ_TRY(vector_shapes(program_, step, shapes, made));
    if (value(step.outputs[0]).kind == ValueKind::tensor) return set_tensor(step.outputs[0], DType::f32, made.codes);
    NNQ_TRY(set_integers(step.outputs[0], made.codes));
    NNQ_TRY(set_tensor(step.outputs[1], DType::f32, made.scales));
    for (std::size_t i = 2; i < step.outputs.size(); ++i)
      if (step.outputs[i] >= 0) NNQ_TRY(set_tensor(step.outputs[i], DType::f32, made.state));
    return {};
  }

  /// Infers a float operator's outputs; evaluates it at once when everything it reads is known.
  Status float_shape(const Step& step) {
    const Op* op = find_op(step.node.domain, step.node.op);
    NNQ_REQUIRE(op != nullptr, "operator ", step.node.op, " is not known");
    if (step.node.is("Shape") && step.inputs.size() == 1 && step.inputs[0] >= 0) return shape_constant(step);
    bool known = true;
    std::vector<ValueType> types(step.inputs.size());
    InferContext ctx{step.node, step.opset, {}, {}, {}};
    ctx.outputs.resize(step.outputs.size());
    for (std::size_t i = 0; i < step.inputs.size(); ++i) {
      const std::int32_t v = step.inputs[i];
      if (v >= 0) types[i] = ValueType::of(slot(v).dtype, slot(v).shape);
      ctx.inputs.push_back(v >= 0 ? &types[i] : nullptr);
      ctx.constants.push_back(v >= 0 ? slot(v).constant : nullptr);
      known = known && (v < 0 || slot(v).constant != nullptr);
    }
    if (known) return evaluate_ahead(step);
    NNQ_TRY(op->infer(ctx));
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      if (step.outputs[i] < 0) continue;
      if (!ctx.outputs[i].fully_known() || ctx.outputs[i].dtype == DType::string) {
        plan_.interpreted = true;
        return {};
      }
      NNQ_TRY(set_tensor(step.outputs[i], ctx.outputs[i].dtype, ctx.outputs[i].static_shape()));
    }
    return {};
  }

  Status shape_constant(const Step& step) {
    // Only the shape matters: a stand-in of the right shape would have to be allocated for evaluate_node.
    const Shape& shape = slot(step.inputs[0]).shape;
    const auto rank = static_cast<std::int64_t>(shape.size());
    const auto clip = [&](std::int64_t v) { return std::clamp<std::int64_t>(v < 0 ? v + rank : v, 0, rank); };
    const std::int64_t start = clip(step.node.get_int("start", 0)), end = clip(step.node.get_int("end", rank));
    const Shape part(shape.begin() + start, shape.begin() + std::max(start, end));
    if (step.outputs[0] >= 0)
      set_constant(step.outputs[0], Tensor::of<std::int64_t>({static_cast<std::int64_t>(part.size())}, part));
    return {};
  }

  Status evaluate_ahead(const Step& step) {
    std::vector<Tensor> inputs, outputs;
    for (const std::int32_t v : step.inputs) inputs.push_back(v < 0 ? Tensor() : *slot(v).constant);
    NNQ_TRY(evaluate_node(step.node, step.opset, inputs, outputs));
    for (std::size_t i = 0; i < step.outputs.size() && i < outputs.size(); ++i) {
      if (step.outputs[i] >= 0 && outputs[i].defined()) set_constant(step.outputs[i], outputs[i]);
    }
    return {};
  }

  bool is_constant(const Step& step) {
    return std::all_of(step.outputs.begin(), step.outputs.end(),
                       [&](std::int32_t v) { return v < 0 || slot(v).constant != nullptr; });
  }

  Status prepare() {
    const Isa isa = active_isa();
    const std::vector<bool> rounded_once = before_quantizers(program_);
    const std::vector<const Step*> relus = relus_behind(program_);
    const PlanContext context{program_,     plan_.slots, gemm_kernels(isa), isa,           options_.threads, weights_,
                              rounded_once, relus,       options_.tuner,    options_.cache};
    const FloatChains chains(program_, plan_.slots);
    std::vector<bool> done(program_.steps.size(), false);
    for (std::size_t i = 0; i < program_.steps.size(); ++i) {
      const Step& step = program_.steps[i];
      const FloatChain* chain = chains.at(i);
      if (is_constant(step) || done[i] || (chain == nullptr && chains.swallows(i))) continue;
      plan_.steps.push_back(chain != nullptr ? make_float_chain(context, *chain) : make(context, step));
      plan_.sources.push_back(&step);
      if (const Step* also = plan_.steps.back()->also)
        done[static_cast<std::size_t>(also - program_.steps.data())] = true;
    }
    return place_all();
  }

  static std::unique_ptr<PreparedStep> make(const PlanContext& context, const Step& step) {
    switch (step.kind) {
      case StepKind::convolution:
      case StepKind::dense:
        return make_layer(context, step);
      case StepKind::max_pool:
      case StepKind::sum_pool:
      case StepKind::subsample:
        return make_pool(context, step);
      case StepKind::add:
      case StepKind::threshold:
        return make_add(context, step);
      case StepKind::concat:
        return make_concat(context, step);
      case StepKind::float_op:
        return make_float(context, step);
      case StepKind::bucketize:
      case StepKind::levels:
        return make_levels(context, step);
      case StepKind::plane_convolution:
      case StepKind::plane_dense:
        return make_planes(context, step);
      case StepKind::vector_lookup:
      case StepKind::vector_levels:
      case StepKind::vector_dense:
      case StepKind::recurrent:
      case StepKind::vector_quantize:
        return make_vectors(context, step);
      default:
        return make_convert(context, step);
    }
  }

  /// Lifetimes of values and scratch, their places, and the pointers. Model inputs and outputs are the caller's memory.
  Status place_all() {
    const std::size_t values = plan_.slots.size(), steps = plan_.steps.size();
    std::vector<Piece> pieces(values + steps);
    std::vector<bool> outside(values, false);
    for (const std::int32_t v : program_.inputs) outside[static_cast<std::size_t>(v)] = true;
    for (const std::int32_t v : program_.outputs) outside[static_cast<std::size_t>(v)] = true;
    for (std::size_t i = 0; i < steps; ++i) {
      for (const std::int32_t v : plan_.writes(i)) {
        if (v < 0 || outside[static_cast<std::size_t>(v)] || slot(v).constant != nullptr) continue;
        pieces[static_cast<std::size_t>(v)] = {whole_lines(slot(v).bytes), i, i, no_place};
      }
      for (const std::int32_t v : plan_.reads(i)) {
        if (v >= 0) pieces[static_cast<std::size_t>(v)].last = i;
      }
      pieces[values + i] = {whole_lines(plan_.steps[i]->scratch_bytes), i, i, no_place};
    }
    plan_.peak_bytes = place(pieces);
    if (options_.memory_cap > 0 && plan_.peak_bytes > options_.memory_cap) {
      return {StatusCode::out_of_memory,
              text("the plan needs ", plan_.peak_bytes, " bytes, the cap is ", options_.memory_cap)};
    }
    // Zeroed: padding bits and rows are read before they matter, and first touches happen here, not in the first run.
    plan_.memory.reset(new (std::nothrow) std::byte[plan_.peak_bytes + alignment]());
    if (plan_.memory == nullptr)
      return {StatusCode::out_of_memory, text("the plan needs ", plan_.peak_bytes, " bytes")};
    const auto address = reinterpret_cast<std::uintptr_t>(plan_.memory.get());
    std::byte* base = plan_.memory.get() + (alignment - address % alignment) % alignment;
    for (std::size_t v = 0; v < values; ++v) {
      if (pieces[v].offset != no_place) plan_.slots[v].data = base + pieces[v].offset;
    }
    for (std::size_t i = 0; i < steps; ++i) {
      if (pieces[values + i].offset != no_place) plan_.steps[i]->scratch = base + pieces[values + i].offset;
    }
    return {};
  }

  const Program& program_;
  SharedWeights& weights_;
  const PlanOptions& options_;
  Plan& plan_;
  std::vector<bool> bits_;  // by value
};

}  // namespace

std::int64_t Slot::positions() const {
  std::int64_t n = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
  return n;
}

Status make_plan(const Program& program, SharedWeights& weights, const std::vector<Shape>& input_shapes,
                 const PlanOptions& options, Plan& plan) {
  NNQ_REQUIRE(input_shapes.size() == program.inputs.size(), "the model has ", program.inputs.size(), " inputs, got ",
              input_shapes.size());
  const std::vector<std::unique_ptr<PreparedStep>> before = std::move(plan.steps);
  plan = {};
  plan.input_shapes = input_shapes;
  return guarded("out of memory while planning", [&] { return Planner(program, weights, options, plan).run(); });
}

}  // namespace nnq
