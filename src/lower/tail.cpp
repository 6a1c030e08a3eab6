// The chain of float operations between a layer's integer sums and the next codes, turned into thresholds or a
// requantization.
#include <algorithm>
#include <limits>

#include "lower/lowering.h"
#include "nnq/error.h"

namespace nnq::lower_room {
namespace {

/// Up to this many levels a channel gets thresholds; above, comparing costs more than computing, in time and bytes.
constexpr std::int32_t max_threshold_levels = 15;

/// Element-wise operators of one variable that keep or turn the order of their argument, each made of single IEEE
/// operations.
bool monotone(const Lowering& l, const Node& node) {
  if (node.is("Relu") || node.is("Identity")) return true;
  if (node.is("Affine", kNnqDomain))
    return node.get_int("axis", 1) == 1 && l.constant(node, 1) != nullptr && l.constant(node, 2) != nullptr;
  if (node.is("LeakyRelu")) return node.get_float("alpha", 0.01f) >= 0;
  if (node.is("Clip")) {
    for (std::size_t i = 1; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].empty() && l.constant(node, i) == nullptr) return false;
    }
    return true;
  }
  if (node.is("Add") || node.is("Sub") || node.is("Mul") || node.is("Div")) {
    const bool second = l.constant(node, 1) != nullptr;
    const Tensor* c = l.constant(node, second ? 1 : 0);
    return c != nullptr && c->dtype() == DType::f32 && c->count() == 1 && (second || node.op != "Div");
  }
  return false;
}

}  // namespace

bool read_quantizer(const Lowering& l, const Node& node, CodeType& code, float& scale) {
  if (node.is("Sign", kNnqDomain)) {
    code = {.sign = true, .min = -1, .max = 1, .bits = 1};
    return true;
  }
  const Tensor* given = node.is("Quantize", kNnqDomain) ? l.constant(node, 1) : nullptr;
  if (given == nullptr || given->count() != 1 || given->dtype() != DType::f32) return false;
  scale = given->as<float>()[0];
  code = {.sign = false,
          .min = static_cast<std::int32_t>(node.get_int("min", 0)),
          .max = static_cast<std::int32_t>(node.get_int("max", 255)),
          .bits = static_cast<int>(node.get_int("bits", 8))};
  return scale > 0 && code.min <= code.max && code.min >= -255 && code.max <= 255;
}

namespace {

/// Evaluates the chain's nodes on candidate sums: exactly the float operations of the graph, through the same
/// operators.
class Chain {
 public:
  Chain(const Lowering& l, std::vector<const Node*> nodes, std::int64_t channels)
      : l_(l), nodes_(std::move(nodes)), channels_(channels) {}

  /// Codes of sums [rows, channels].
  std::vector<std::int32_t> codes(const std::vector<std::int32_t>& sums) const {
    Tensor x(DType::f32, {static_cast<std::int64_t>(sums.size()) / channels_, channels_, 1, 1});
    float* values = x.mutable_as<float>();
    for (std::size_t i = 0; i < sums.size(); ++i) values[i] = static_cast<float>(sums[i]);
    for (const Node* node : nodes_) {
      std::vector<Tensor> inputs, outputs;
      for (std::size_t i = 0; i < node->inputs.size(); ++i) {
        const Tensor* constant = l_.constant(*node, i);
        inputs.push_back(constant != nullptr ? *constant : node->inputs[i].empty() ? Tensor() : x);
      }
      throw_if_error(evaluate_node(*node, node->domain == kNnqDomain ? kNnqOpset : l_.graph.opset, inputs, outputs),
                     "node '" + node->name + "'");
      x = outputs.at(0);
    }
    std::vector<std::int32_t> result;
    for (const float v : x.values<float>()) result.push_back(static_cast<std::int32_t>(v));
    return result;
  }

 private:
  const Lowering& l_;
  std::vector<const Node*> nodes_;
  std::int64_t channels_;
};

/// Thresholds by bisection over the proven range, all channels and levels at once; each probe evaluates the real chain.
void find_thresholds(const Chain& chain, const CodeType& code, std::int64_t channels, std::int32_t low,
                     std::int32_t high, Epilogue& e) {
  const auto n = static_cast<std::size_t>(channels);
  e.kind = Epilogue::Kind::thresholds;
  e.step = code.sign ? 2 : 1;
  e.first = code.min;
  e.levels = code.sign ? 1 : code.max - code.min;
  std::vector<std::int32_t> ends(2 * n, low);
  std::fill(ends.begin() + static_cast<std::ptrdiff_t>(n), ends.end(), high);
  const std::vector<std::int32_t> at_ends = chain.codes(ends);
  e.direction.resize(n);
  for (std::size_t c = 0; c < n; ++c) e.direction[c] = at_ends[n + c] >= at_ends[c] ? 1 : -1;
  // For each (level, channel): the number of sums from the failing end to the first that passes, in [0, span + 1].
  const std::int64_t span = static_cast<std::int64_t>(high) - low;
  const std::size_t count = n * static_cast<std::size_t>(e.levels);
  std::vector<std::int64_t> first(count, 0), last(count, span + 1);
  const auto sum_at = [&](std::size_t c, std::int64_t steps) {
    return static_cast<std::int32_t>(e.direction[c] > 0 ? low + steps : high - steps);
  };
  for (bool open = count > 0; open;) {
    open = false;
    std::vector<std::int32_t> probe(count);
    for (std::size_t i = 0; i < count; ++i) probe[i] = sum_at(i % n, std::min((first[i] + last[i]) / 2, span));
    const std::vector<std::int32_t> got = chain.codes(probe);
    for (std::size_t i = 0; i < count; ++i) {
      if (first[i] >= last[i]) continue;
      const std::int64_t middle = (first[i] + last[i]) / 2;
      const std::int32_t wanted = e.first + e.step * (static_cast<std::int32_t>(i / n) + 1);
      if (got[i] >= wanted)
        last[i] = middle;
      else
        first[i] = middle + 1;
      open = open || first[i] < last[i];
    }
  }
  e.thresholds.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t c = i % n, level = i / n;
    const std::int32_t never =
        e.direction[c] > 0 ? std::numeric_limits<std::int32_t>::max() : std::numeric_limits<std::int32_t>::min();
    e.thresholds[c * static_cast<std::size_t>(e.levels) + level] = first[i] > span ? never : sum_at(c, first[i]);
  }
}

/// Channels whose numbers a chain's thresholds need: one when every Affine in it has one.
std::int64_t channels_needed(const Lowering& l, const std::vector<const Node*>& chain, const TailOf& of) {
  const bool shared = !of.layer && std::all_of(chain.begin(), chain.end(), [&](const Node* node) {
    return !node->is("Affine", kNnqDomain) ||
           (l.constant(*node, 1)->count() == 1 && l.constant(*node, 2)->count() == 1);
  });
  return shared ? 1 : of.channels;
}

std::vector<float> per_channel(std::vector<float> values, std::int64_t channels) {
  if (values.size() == 1) values.resize(static_cast<std::size_t>(channels), values[0]);
  return values;
}

/// Affine -> [Add residual] -> [Relu] -> quantizer as one requantization in float.
class Requantization {
 public:
  Requantization(Lowering& l, const TailOf& of) : l_(l), channels_(of.layer ? of.channels : 1), layer_(of.layer) {}

  /// Takes `node`, whose input is `x`; false when it does not fit behind what was taken.
  bool take(const Node& node, const std::string& x) {
    if (done_) return false;
    if (node.is("Affine", kNnqDomain) && !affine_ && !relu_) return take_affine(node);
    if (node.is("Sub") && !affine_ && !relu_) return take_shift(node);
    if (node.is("Add") && layer_ && affine_ && residual_ < 0 && !relu_) return take_residual(node, x);
    if (node.is("Relu")) return relu_ = true;
    if (!read_quantizer(l_, node, code_, scale_) || (code_.sign && relu_)) return false;
    return done_ = true;
  }

  bool done() const { return done_; }

  void fill(Tail& tail) const {
    Epilogue& e = tail.epilogue;
    e.kind = Epilogue::Kind::requantize;
    e.a = per_channel(a_, channels_);
    e.b = per_channel(b_, channels_);
    e.relu = relu_;
    e.scale = scale_;
    e.min = code_.min;
    e.max = code_.max;
    if (residual_ >= 0) {
      e.residual_a = per_channel(residual_a_, channels_);
      e.residual_b = per_channel(residual_b_, channels_);
    }
    tail.code = code_;
    tail.residual = residual_;
    tail.note = residual_ >= 0 ? "residual added and requantized in the epilogue" : "requantized in the epilogue";
  }

 private:
  bool take_affine(const Node& node) {
    const Tensor *a = l_.constant(node, 1), *b = l_.constant(node, 2);
    if (a == nullptr || b == nullptr || node.get_int("axis", 1) != 1) return false;
    a_ = a->to_float();
    b_ = b->to_float();
    return affine_ = true;
  }

  /// Integers less one number: an Affine with a = 1, since float(s) * 1 is exact.
  bool take_shift(const Node& node) {
    const Tensor* shift = l_.constant(node, 1);
    if (shift == nullptr || shift->dtype() != DType::f32 || shift->count() != 1) return false;
    b_ = {-shift->as<float>()[0]};
    return affine_ = true;
  }

  bool take_residual(const Node& node, const std::string& x) {
    const std::string& other = node.inputs[node.inputs[0] == x ? 1 : 0];
    const Integers* r = l_.integers(other);
    if (const auto made = l_.index.producer.find(other); r == nullptr && made != l_.index.producer.end()) {
      // The other branch's sums may be there while its Affine stands further down: a look ahead costs nothing.
      if (lower_affine(l_, l_.graph.nodes[static_cast<std::size_t>(made->second)])) r = l_.integers(other);
    }
    const ValueType *tx = l_.type(x), *tr = l_.type(other);
    if (r == nullptr || r->flattened || !r->levels.empty() || node.inputs[0] == node.inputs[1] || tx == nullptr ||
        tr == nullptr || !(*tx == *tr) || !tx->ranked)
      return false;
    residual_ = r->value;
    residual_a_ = r->a;
    residual_b_ = r->b;
    return true;
  }

  Lowering& l_;
  std::int64_t channels_;
  bool layer_;
  std::vector<float> a_{1}, b_{0}, residual_a_, residual_b_;  // without an Affine: the integers themselves
  bool affine_ = false, relu_ = false, done_ = false;
  std::int32_t residual_ = -1;
  CodeType code_{};
  float scale_ = 1;
};

/// First reading: monotone operators up to a quantizer of few levels, with at most one MaxPool in front.
bool read_thresholds(Lowering& l, const std::string& sums, const TailOf& of, Tail& tail) {
  std::vector<const Node*> chain;
  std::string x = sums;
  for (const Node* node = l.only_reader(x); node != nullptr; node = l.only_reader(x)) {
    CodeType code;
    float scale = 1;
    Window window;
    if (std::vector<float> levels; read_quantizer(l, *node, code, scale) || read_bucketize(l, *node, code, levels)) {
      if (!code.sign && (code.max == code.min || code.max - code.min > max_threshold_levels)) return false;
      chain.push_back(node);
      const std::int64_t channels = channels_needed(l, chain, of);
      find_thresholds(Chain(l, chain, channels), code, channels, of.low, of.high, tail.epilogue);
      tail.end = node->outputs[0];
      tail.code = code;
      tail.nodes = chain;
      if (tail.pool != nullptr) tail.nodes.push_back(tail.pool);
      tail.note = "scales, batch norm and quantizer are integer thresholds";
      return true;
    }
    if (of.layer && chain.empty() && tail.pool == nullptr && node->is("MaxPool") &&
        read_window(l, *node, false, window))
      tail.pool = node;
    else if (monotone(l, *node))
      chain.push_back(node);
    else
      return false;
    x = node->outputs[0];
  }
  return false;
}

/// The Affine of plain integers that is still pending on moved ones (Slice, Pad, MaxPool of codes); nullptr: none.
const Node* pending_affine(const Lowering& l, std::string value) {
  for (;;) {
    const auto made = l.index.producer.find(value);
    if (made == l.index.producer.end() || made->second < 0) return nullptr;
    const Node& node = l.graph.nodes[static_cast<std::size_t>(made->second)];
    const Integers* below = l.integers(node.inputs[0]);
    if (below == nullptr) return nullptr;
    if (node.is("Affine", kNnqDomain)) return below->plain() && monotone(l, node) ? &node : nullptr;
    if (below->plain()) return nullptr;
    value = node.inputs[0];
  }
}

}  // namespace

Tail read_tail(Lowering& l, const std::string& sums, const TailOf& of) {
  Tail tail;
  if (read_thresholds(l, sums, of, tail)) return tail;
  tail = {};
  tail.end = sums;
  Requantization requantization(l, of);
  std::vector<const Node*> nodes;
  std::string x = sums;
  for (const Node* node = l.only_reader(x); node != nullptr && requantization.take(*node, x); node = l.only_reader(x)) {
    nodes.push_back(node);
    x = node->outputs[0];
    if (!requantization.done()) continue;
    requantization.fill(tail);
    tail.end = x;
    tail.nodes = nodes;
    return tail;
  }
  return tail;
}

Tail read_chain_above(Lowering& l, const Node& quantizer, std::string& from) {
  Tail tail;
  CodeType code;
  float scale = 1;
  if (!read_quantizer(l, quantizer, code, scale)) return tail;
  std::vector<const Node*> chain = {&quantizer};
  from = quantizer.inputs[0];
  const Integers* x = l.integers(from);
  while (x == nullptr || !x->plain()) {
    const auto made = l.index.producer.find(from);
    if (made == l.index.producer.end() || made->second < 0) return tail;
    const Node& node = l.graph.nodes[static_cast<std::size_t>(made->second)];
    if (x != nullptr && !node.is("Affine", kNnqDomain)) {
      const Node* affine = pending_affine(l, from);
      if (affine == nullptr) return tail;
      chain.insert(chain.begin(), affine);
      break;
    }
    if (!monotone(l, node)) return tail;
    const std::size_t input = node.inputs.size() > 1 && l.constant(node, 0) != nullptr ? 1 : 0;
    chain.insert(chain.begin(), &node);
    from = node.inputs[input];
    x = l.integers(from);
  }
  const auto range = l.range(x->value);
  const TailOf of{.channels = channels_of(l, from),
                  .low = range ? static_cast<std::int32_t>(range->low) : 0,
                  .high = range ? static_cast<std::int32_t>(range->high) : 0,
                  .layer = false};
  if (x->flattened || !range || of.channels < 1) return tail;
  if (code.sign || (code.max > code.min && code.max - code.min <= max_threshold_levels)) {
    const std::int64_t channels = channels_needed(l, chain, of);
    find_thresholds(Chain(l, chain, channels), code, channels, of.low, of.high, tail.epilogue);
    tail.code = code;
    tail.note = "scales and quantizer are integer thresholds";
    return tail;
  }
  Requantization requantization(l, of);
  std::string at = from;
  for (const Node* node : chain) {
    if (!requantization.take(*node, at)) return tail;
    at = node->outputs[0];
  }
  requantization.fill(tail);
  return tail;
}

}  // namespace nnq::lower_room
