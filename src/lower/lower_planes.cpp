// Convolutions and fully connected layers with real-valued levels, of codes or weights: as sums over bit planes with
// real scales.
#include <algorithm>
#include <cmath>

#include "lower/lowering.h"
#include "lower/plane_weights.h"

namespace nnq::lower_room {
namespace {

/// Why the weight has no planes, or nullptr and `weights`.
const char* read_weights(const Lowering& l, const Node& node, PlaneWeights& weights) {
  const auto packed = l.unpacked.find(node.inputs[1]);
  if (packed == l.unpacked.end()) return "weights are float";
  if (packed->second.values.shape().size() != (node.is("Conv") ? 4U : 2U)) return "no form of bit planes";
  if (const char* why = read_planes(l, packed->second, weights)) return why;
  const bool rows_are_outputs = node.is("Conv") || (node.is("Gemm") && node.get_int("transB", 0) != 0);
  return weights.forms.size() > 1 && !rows_are_outputs ? "weight scales along the inputs" : nullptr;
}

/// The codes' planes; nullopt when their levels have none.
std::optional<PlaneForm> code_planes(const Lowering& l, const Integers& x) {
  const CodeType& code = l.code(x.value);
  std::optional<PlaneForm> form;
  if (!x.levels.empty()) {
    form = planes_of_levels(x.levels);
  } else if (code.sign) {
    form = PlaneForm{.offset = x.b[0] - x.a[0], .scale = {2 * x.a[0]}, .pattern = {0, 0, 1}, .signs = false};
  } else {
    form = planes_of_integers(code.min, code.max, x.a[0], x.b[0]);
  }
  if (!form || form->planes() > 8) return std::nullopt;
  drop_offsets({&*form, 1});
  return form;
}

/// Bits in the program's order: [out][kernel_h][kernel_w][in / groups], or [out][in] with the inputs of a flattened
/// image as (h, w, c).
std::vector<std::uint8_t> in_program_order(const PlaneWeights& w, const Node& node, const Shape& image) {
  std::vector<std::uint8_t> to(w.bits.size());
  const Shape& s = w.shape;
  if (node.is("Conv")) {
    std::size_t from = 0;
    for (std::int64_t o = 0; o < s[0]; ++o) {
      for (std::int64_t i = 0; i < s[1]; ++i) {
        for (std::int64_t k = 0; k < s[2] * s[3]; ++k)
          to[static_cast<std::size_t>((o * s[2] * s[3] + k) * s[1] + i)] = w.bits[from++];
      }
    }
    return to;
  }
  const bool transposed = node.is("Gemm") && node.get_int("transB", 0) != 0;
  const std::int64_t out = s[transposed ? 0 : 1], in = s[transposed ? 1 : 0];
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      const std::int64_t plane = image.empty() ? 1 : image[1] * image[2], channels = image.empty() ? in : image[0];
      to[static_cast<std::size_t>(o * in + i % plane * channels + i / plane)] =
          w.bits[static_cast<std::size_t>(transposed ? o * in + i : i * out + o)];
    }
  }
  return to;
}

void fill(Step& step, const PlaneWeights& w, const PlaneForm& codes, const std::vector<std::uint8_t>& bits) {
  fill_planes(w, bits, step.out_channels, step.weights, step.planes);
  RealPlanes& p = step.planes;
  p.code_scale = codes.scale;
  p.code_offset = codes.offset;
  p.code_signs = codes.signs;
  p.patterns = codes.pattern;
}

/// What stands behind the sums: [MaxPool] -> [Affine] -> [Add of a tensor] -> [Relu] -> [quantizer], as far as it goes.
class PlaneTailReader {
 public:
  PlaneTailReader(Lowering& l, std::string sums) : l_(l), end_(std::move(sums)) {
    const std::string start = end_;
    std::string x = end_;
    for (const Node* node = l_.only_reader(x); node != nullptr && !code_ && take(*node, x); node = l_.only_reader(x)) {
      nodes_.push_back(node);
      x = node->outputs[0];
      if (pool_ != nullptr && !code_) continue;  // only codes may be pooled behind the layer
      end_ = x;
      taken_ = nodes_.size();
    }
    if (pool_ != nullptr && !code_) {  // nothing made codes: the pool stays in float
      pool_ = nullptr;
      epilogue_ = {};
      end_ = start;
      taken_ = 0;
    }
    epilogue_.kind = code_ && thresholds_.empty() ? Epilogue::Kind::requantize : Epilogue::Kind::affine;
    nodes_.resize(taken_);
  }

  /// Completes the step and adds it, with a pool of codes behind it.
  void emit(Step step) {
    for (const Node* node : nodes_) l_.take(*node);
    step.epilogue = epilogue_;
    step.planes.thresholds = thresholds_;
    if (residual_ >= 0) step.inputs.push_back(residual_);
    const std::string& made = pool_ == nullptr ? end_ : pool_->inputs[0];
    const std::int32_t output =
        code_ ? l_.new_value(made, ValueKind::codes, *code_) : l_.new_value(made, ValueKind::tensor);
    step.outputs = {output};
    l_.program.steps.push_back(std::move(step));
    if (!code_) return l_.set_tensor(end_, output);
    if (pool_ == nullptr) return l_.set_integers(end_, {.value = output});
    l_.program.values[static_cast<std::size_t>(output)].name = end_ + ".before_pool";  // the graph pools real values
    Step pool;
    pool.kind = StepKind::max_pool;
    pool.name = pool_->name;
    read_window(l_, *pool_, false, pool.window);
    if (std::any_of(epilogue_.a.begin(), epilogue_.a.end(), [](float a) { return a < 0; }))
      for (const float a : epilogue_.a) pool.min_channels.push_back(a < 0 ? 1 : 0);
    pool.note = "pools codes: batch norm and quantizer moved in front";
    const std::int32_t after = l_.new_value(end_, ValueKind::codes, *code_);
    pool.inputs = {output};
    pool.outputs = {after};
    l_.program.steps.push_back(std::move(pool));
    l_.set_integers(end_, {.value = after});
  }

 private:
  bool take(const Node& node, const std::string& x) {
    Window window;
    if (node.is("MaxPool")) {
      if (!nodes_.empty() || !read_window(l_, node, false, window)) return false;
      pool_ = &node;
      return true;
    }
    if (node.is("Affine", kNnqDomain)) return take_affine(node);
    if (node.is("Add")) return pool_ == nullptr && take_residual(node, x);
    if (node.is("Relu")) return !epilogue_.relu && (epilogue_.relu = true);
    return take_quantizer(node);
  }

  bool take_affine(const Node& node) {
    const Tensor *a = l_.constant(node, 1), *b = l_.constant(node, 2);
    const ValueType* type = l_.type(node.inputs[0]);
    if (!epilogue_.a.empty() || residual_ >= 0 || epilogue_.relu || a == nullptr || b == nullptr || type == nullptr ||
        !type->ranked || type->shape.size() < 2 || !type->shape[1].known() || node.get_int("axis", 1) != 1)
      return false;
    const auto channels = static_cast<std::size_t>(type->shape[1].value);
    const auto per_channel = [&](std::vector<float> values) {
      if (values.size() == 1) values.resize(channels, values[0]);
      return values;
    };
    epilogue_.a = per_channel(a->to_float());
    epilogue_.b = per_channel(b->to_float());
    return true;
  }

  bool take_residual(const Node& node, const std::string& x) {
    const std::string& other = node.inputs[node.inputs[0] == x ? 1 : 0];
    const ValueType *tx = l_.type(x), *other_type = l_.type(other);
    if (residual_ >= 0 || epilogue_.relu || node.inputs[0] == node.inputs[1] || !l_.made(other) || tx == nullptr ||
        other_type == nullptr || !(*tx == *other_type) || !tx->ranked)
      return false;
    residual_ = l_.tensor(other);
    return true;
  }

  bool take_quantizer(const Node& node) {
    CodeType code;
    float scale = 1;
    if (read_bucketize(l_, node, code, thresholds_)) {
      code_ = code;
      return true;
    }
    thresholds_.clear();
    if (!read_quantizer(l_, node, code, scale)) return false;
    epilogue_.scale = scale;
    epilogue_.min = code.min;
    epilogue_.max = code.max;
    code_ = code;
    return true;
  }

  Lowering& l_;
  std::string end_;
  std::vector<const Node*> nodes_;
  std::size_t taken_ = 0;
  Epilogue epilogue_;
  std::vector<float> thresholds_;
  std::optional<CodeType> code_;
  std::int32_t residual_ = -1;
  const Node* pool_ = nullptr;
};

/// The integers a layer reads when they are codes whose levels are the same for all channels; nullptr otherwise.
const Integers* codes_read(const Lowering& l, const Node& node) {
  const Integers* x = l.integers(node.inputs[0]);
  return x != nullptr && l.is_codes(x->value) && x->a.size() == 1 && x->b.size() == 1 ? x : nullptr;
}

std::string note_of(const Step& step) {
  return "real levels on bit planes: " + std::to_string(step.weights.bits) + " of weights x " +
         std::to_string(step.planes.code_planes()) + " of codes";
}

/// Everything about the layer but its tail; the reason when it has no such form.
std::string read_layer(Lowering& l, const Node& node, const Integers& x, Step& step) {
  if (node.inputs.size() > 2 && !node.inputs[2].empty()) return "a bias in front of the scales";
  if (node.is("Gemm") && (node.get_int("transA", 0) != 0 || node.get_float("alpha", 1) != 1))
    return "no form of bit planes";
  PlaneWeights weights;
  if (const char* why = read_weights(l, node, weights)) return why;
  if (weights.forms[0].planes() > 8) return "more than 8 planes of weights";
  const std::optional<PlaneForm> codes = code_planes(l, x);
  if (!codes) return "levels of the input are no sums of planes, and too many for a plane each";
  step.name = node.name;
  step.inputs = {x.value};
  Shape image;
  const ValueType* type = l.type(node.inputs[0]);
  if (node.is("Conv")) {
    step.kind = StepKind::plane_convolution;
    step.groups = node.get_int("group", 1);
    if (x.flattened || !read_window(l, node, true, step.window)) return "no form of bit planes";
    step.out_channels = weights.shape[0];
    step.in_channels = weights.shape[1] * step.groups;
  } else {
    step.kind = StepKind::plane_dense;
    if (type == nullptr || !type->ranked || type->shape.size() != 2 || !image_behind(l, x, image))
      return "no form of bit planes";
    const bool transposed = node.is("Gemm") && node.get_int("transB", 0) != 0;
    step.out_channels = weights.shape[transposed ? 0 : 1];
    step.in_channels = weights.shape[transposed ? 1 : 0];
  }
  if (static_cast<std::int64_t>(weights.bits.size()) / step.out_channels >= std::int64_t{1} << 24)
    return "counts could reach 2^24";
  fill(step, weights, *codes, in_program_order(weights, node, image));
  step.note = note_of(step);
  return {};
}

}  // namespace

bool lower_planes(Lowering& l, const Node& node) {
  if ((!node.is("Conv") && !is_dense(node)) || node.inputs.size() < 2) return false;
  const Integers* x = codes_read(l, node);
  if (x == nullptr) return false;
  Step step;
  if (std::string why = read_layer(l, node, *x, step); !why.empty()) {
    l.why_float[node.outputs[0]] = std::move(why);
    return false;
  }
  PlaneTailReader(l, node.outputs[0]).emit(std::move(step));
  return true;
}

}  // namespace nnq::lower_room
