// Every registered operator survives nodes that make no sense: each ends in a Status, never in a crash, a hang or a
// large allocation. Run under the sanitizers this also finds reads outside a tensor.
#include <limits>
#include <random>

#include "helpers.h"

namespace nnq::test {
namespace {

class Hostile : public ::testing::TestWithParam<const Op*> {};

constexpr std::int64_t kOpsets[] = {1, 7, 9, 10, 11, 13, 14, 18, 21};
constexpr DType kTypes[] = {DType::f32, DType::f32, DType::f32, DType::i64, DType::i64, DType::u8,  DType::boolean,
                            DType::i32, DType::f16, DType::f64, DType::i8,  DType::u64, DType::u32, DType::bf16};

/// A source of senseless but reproducible nodes.
class Chaos {
 public:
  explicit Chaos(std::uint32_t seed) : random_(seed) {}
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(n)); }
  template <class T, std::size_t N>
  T any_of(const T (&list)[N]) {
    return list[below(N)];
  }

  std::int64_t integer() {
    static constexpr std::int64_t extreme[] = {std::numeric_limits<std::int64_t>::min(),
                                               std::numeric_limits<std::int64_t>::max(),
                                               std::int64_t{1} << 62,
                                               -(std::int64_t{1} << 40),
                                               (std::int64_t{1} << 33) - 1,
                                               std::numeric_limits<std::int32_t>::min()};
    return below(8) == 0 ? any_of(extreme) : below(6) - 2;
  }

  float number() {
    static constexpr float extreme[] = {std::numeric_limits<float>::infinity(),  -1e30F, 1e-30F,
                                        std::numeric_limits<float>::quiet_NaN(), 0,      -1};
    return below(5) == 0 ? any_of(extreme) : static_cast<float>(below(9)) / 2;
  }

  Attribute attribute() {
    switch (below(10)) {
      case 0:
        return number();
      case 1:
        return std::string("nonsense");
      case 2:
        return Tensor::scalar(number());
      case 3:
        return std::vector<float>{number(), number()};
      case 4:
        return std::vector<std::string>{"Tanh", "Relu"};
      case 5:
      case 6:
      case 7: {
        std::vector<std::int64_t> list(static_cast<std::size_t>(below(5)));
        for (auto& v : list) v = integer();
        return list;
      }
      default:
        return integer();
    }
  }

  std::map<std::string, Attribute> attributes(const std::string& op) {
    static const char* const names[] = {"axis",      "axes",         "perm",        "pads",         "strides",
                                        "dilations", "kernel_shape", "group",       "keepdims",     "to",
                                        "split",     "value",        "starts",      "ends",         "scales",
                                        "blocksize", "hidden_size",  "layout",      "output_shape", "output_padding",
                                        "ceil_mode", "block_size",   "num_outputs", "min",          "max",
                                        "start",     "end",          "fmod"};
    std::map<std::string, Attribute> out;
    for (std::int64_t n = below(4); n > 0; --n) out[any_of(names)] = attribute();
    static const char* const modes[] = {
        "linear",        "cubic",      "reflect", "edge", "wrap",         "tf_crop_and_resize",
        "align_corners", "SAME_UPPER", "LEFT",    "CRD",  "bidirectional"};
    static const char* const keys[] = {"mode", "coordinate_transformation_mode", "auto_pad", "direction"};
    if (below(2) == 0) out[any_of(keys)] = std::string(any_of(modes));
    // Attributes without which the operator would never get past its first check.
    if (below(4) != 0 && (op == "MaxPool" || op == "AveragePool"))
      out["kernel_shape"] = std::vector<std::int64_t>(static_cast<std::size_t>(1 + below(2)), 1 + below(3));
    if (below(4) != 0 && (op == "Concat" || op == "Gather")) out["axis"] = below(3) - 1;
    if (below(4) != 0 && op == "Cast") out["to"] = 1 + below(16);
    if (below(4) != 0 && op == "Quantize") out.insert({{"min", std::int64_t{-1}}, {"max", std::int64_t{3}}});
    if (below(2) != 0) out["antialias"] = std::int64_t{1};
    return out;
  }

  Tensor tensor(std::int64_t max_rank) {
    Shape shape(static_cast<std::size_t>(below(max_rank + 1)));
    for (auto& d : shape) d = below(8) == 0 ? 0 : 1 + below(3);
    const DType type = any_of(kTypes);
    Tensor t(type, shape);
    for (std::int64_t i = 0; i < t.count(); ++i) {
      if (type == DType::f32) t.mutable_as<float>()[i] = number();
      if (type == DType::i64) t.mutable_as<std::int64_t>()[i] = integer();
      if (type == DType::i32) t.mutable_as<std::int32_t>()[i] = static_cast<std::int32_t>(integer());
      if (type == DType::u8) t.mutable_as<std::uint8_t>()[i] = static_cast<std::uint8_t>(below(256));
    }
    return t;
  }

  std::vector<Tensor> inputs() {
    std::vector<Tensor> out(static_cast<std::size_t>(below(6)));
    const std::int64_t shared = below(3);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (below(12) == 0) continue;  // left out
      out[i] =
          i > 0 && shared != 0 && below(2) == 0 && out[0].defined() ? out[0] : tensor(i == 0 || shared == 0 ? 4 : 2);
    }
    return out;
  }

 private:
  std::mt19937 random_;
};

TEST_P(Hostile, HasInferenceAndEvaluation) {
  const Op& op = *GetParam();
  EXPECT_TRUE(op.infer);
  EXPECT_TRUE(op.evaluate);
  EXPECT_TRUE(op.domain.empty() || op.domain == kNnqDomain);
  EXPECT_EQ(find_op(op.domain, op.name), &op);
}

TEST_P(Hostile, RefusesANodeWithoutInputsInOneLine) {
  const Op& op = *GetParam();
  if (op.name == "Constant") GTEST_SKIP() << "needs none";
  const std::string message = refusal(op.name, {}, {}, kOnnxOpset, op.domain);
  EXPECT_NE(message, "");
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST_P(Hostile, RefusesANodeWithoutOutputs) {
  const Op& op = *GetParam();
  Node node = make_node(op.name, 1, {}, op.domain, 0);
  const std::vector<Tensor> inputs{f32({1}, {1})};
  std::vector<Tensor> outputs;
  EXPECT_FALSE(evaluate_node(node, kOnnxOpset, inputs, outputs).ok());
}

TEST_P(Hostile, SurvivesSenselessNodes) {
  const Op& op = *GetParam();
  int evaluated = 0;
  for (std::uint32_t seed = 0; seed < 1500; ++seed) {
    Chaos chaos(seed);
    const std::vector<Tensor> inputs = chaos.inputs();
    Node node = make_node(op.name, inputs.size(), chaos.attributes(op.name), op.domain,
                          static_cast<std::size_t>(1 + chaos.below(3) / 2));
    if (chaos.below(10) == 0) node.outputs[0].clear();
    std::vector<Tensor> outputs;
    SCOPED_TRACE(seed);
    if (evaluate_node(node, chaos.any_of(kOpsets), inputs, outputs).ok()) ++evaluated;
  }
  RecordProperty("evaluated", evaluated);
}

/// A node that works, for operators that random inputs hardly ever satisfy; others get one or two [2, 3] tensors.
struct Seed {
  std::vector<Tensor> inputs;
  std::map<std::string, Attribute> attributes;
};

Tensor ramp(Shape shape, DType type = DType::f32) {
  Tensor t(DType::f32, std::move(shape));
  for (std::int64_t i = 0; i < t.count(); ++i) t.mutable_as<float>()[i] = static_cast<float>(i % 5);
  return t.cast(type);
}

Tensor bytes(Shape shape) { return ramp(std::move(shape), DType::u8); }

std::map<std::string, Seed> shape_seeds() {
  const Tensor image = ramp({1, 4, 5, 4});
  return {{"Reshape", {{image, i64({0, -1})}, {}}},
          {"Flatten", {{image}, {}}},
          {"Squeeze", {{ramp({1, 3, 1}), i64({0})}, {}}},
          {"Unsqueeze", {{image, i64({0, -1})}, {}}},
          {"Transpose", {{image}, {{"perm", Ints{0, 2, 3, 1}}}}},
          {"Expand", {{ramp({3, 1}), i64({2, 3, 4})}, {}}},
          {"Tile", {{ramp({2, 3}), i64({2, 2})}, {}}},
          {"Concat", {{image, image}, {{"axis", std::int64_t{1}}}}},
          {"Split", {{image, i64({3, 2})}, {{"axis", std::int64_t{2}}}}},
          {"DepthToSpace", {{image}, {{"blocksize", std::int64_t{2}}}}},
          {"SpaceToDepth", {{ramp({1, 2, 4, 6})}, {{"blocksize", std::int64_t{2}}}}},
          {"Slice", {{image, i64({1, -1}), i64({3, -9}), i64({1, 2}), i64({1, -2})}, {}}},
          {"Gather", {{image, i64({0, 1, -1})}, {{"axis", std::int64_t{1}}}}},
          {"GatherElements",
           {{ramp({3, 2}), Tensor::of<std::int64_t>({2, 2}, std::vector<std::int64_t>{0, 1, -1, 2})}, {}}},
          {"Pad", {{image, i64({0, 0, 1, 1, 0, 0, 2, -1}), Tensor::scalar(1.0F)}, {{"mode", std::string("reflect")}}}},
          {"Resize",
           {{image, Tensor(), f32({4}, {1, 1, 2, 0.5F})},
            {{"mode", std::string("cubic")}, {"antialias", std::int64_t{1}}}}},
          {"Upsample", {{image, f32({4}, {1, 1, 2, 2})}, {}}},
          {"ConstantOfShape", {{i64({2, 3})}, {}}},
          {"Constant", {{}, {{"value", ramp({2})}}}},
          {"Range", {{Tensor::scalar(0.0F), Tensor::scalar(5.0F), Tensor::scalar(2.0F)}, {}}},
          {"CumSum", {{image, Tensor::scalar(std::int64_t{1})}, {}}},
          {"Where", {{ramp({2, 3}, DType::boolean), ramp({3}), ramp({2, 1})}, {}}},
          {"BitShift", {{bytes({3}), bytes({3})}, {{"direction", std::string("LEFT")}}}},
          {"Cast", {{image}, {{"to", std::int64_t{7}}}}},
          {"Mod", {{i64({5, 3}), i64({2, 2})}, {}}}};
}

std::map<std::string, Seed> layer_seeds() {
  const Tensor image = ramp({1, 4, 5, 4}), w = ramp({6, 2, 3, 2}), four = ramp({4}), s = Tensor::scalar(0.5F),
               z = bytes({});
  const std::map<std::string, Attribute> window{
      {"kernel_shape", Ints{3, 2}}, {"pads", Ints{1, 1, 0, 1}}, {"strides", Ints{2, 1}}, {"group", std::int64_t{2}}};
  const std::map<std::string, Attribute> pool{
      {"kernel_shape", Ints{3, 2}}, {"pads", Ints{1, 1, 0, 1}}, {"ceil_mode", std::int64_t{1}}};
  const std::map<std::string, Attribute> cell{{"hidden_size", std::int64_t{2}}};
  return {
      {"Conv", {{image, w, ramp({6})}, window}},
      {"ConvTranspose", {{image, ramp({4, 3, 3, 2}), ramp({6})}, window}},
      {"ConvInteger", {{bytes({1, 4, 5, 4}), bytes({6, 2, 3, 2}), z, bytes({6})}, window}},
      {"QLinearConv", {{bytes({1, 4, 5, 4}), s, z, bytes({6, 2, 3, 2}), s, z, s, z, ramp({6}, DType::i32)}, window}},
      {"MaxPool", {{image}, pool}},
      {"AveragePool", {{image}, pool}},
      {"Gemm", {{ramp({2, 3}), ramp({3, 4}), four}, {}}},
      {"MatMul", {{ramp({2, 2, 3}), ramp({3, 4})}, {}}},
      {"MatMulInteger", {{bytes({2, 3}), bytes({3, 4}), z, bytes({4})}, {}}},
      {"QLinearMatMul", {{bytes({2, 3}), s, z, bytes({3, 4}), s, z, s, z}, {}}},
      {"BatchNormalization", {{image, four, four, four, four}, {}}},
      {"InstanceNormalization", {{image, four, four}, {}}},
      {"LayerNormalization", {{image, four, four}, {}}},
      {"RNN",
       {{ramp({3, 2, 4}), ramp({1, 2, 4}), ramp({1, 2, 2}), ramp({1, 4}), ramp({2}, DType::i32), ramp({1, 2, 2})},
        cell}},
      {"GRU",
       {{ramp({3, 2, 4}), ramp({1, 6, 4}), ramp({1, 6, 2}), ramp({1, 12}), ramp({2}, DType::i32), ramp({1, 2, 2})},
        cell}},
      {"LSTM",
       {{ramp({3, 2, 4}), ramp({1, 8, 4}), ramp({1, 8, 2}), ramp({1, 16}), ramp({2}, DType::i32), ramp({1, 2, 2}),
         ramp({1, 2, 2}), ramp({1, 6})},
        cell}},
      {"QuantizeLinear", {{image, four, bytes({4})}, {{"axis", std::int64_t{1}}}}},
      {"DequantizeLinear", {{bytes({2, 4}), four, bytes({4})}, {{"axis", std::int64_t{1}}}}},
      {"PRelu", {{image, ramp({4, 1, 1})}, {}}},
      {"Quantize", {{image, f32({1}, {0.5F})}, {{"min", std::int64_t{0}}, {"max", std::int64_t{3}}}}},
      {"Bucketize", {{image, f32({3}, {-1, 0, 1})}, {{"bits", std::int64_t{2}}}}},
      {"Levels", {{f32({2, 2}, {0, 1, 3, 2}), four}, {}}},
      {"Affine", {{image, four, four}, {}}},
      {"BitPlanes", {{bytes({2, 2}), f32({2, 2}, {1, 2, 1, 2}), f32({2}, {-1, 0}), i64({2, 5})}, {}}},
      {"Codebook", {{bytes({1, 2}), f32({2, 2}, {1, 2, 3, 4}), i64({2, 5})}, {}}},
      {"BucketCodebook",
       {{bytes({1, 2}), f32({2}, {0, 1}), f32({3}, {0, 1, 2}), f32({3}, {1, 2, 3}), i64({2, 5})},
        {{"bucket", std::int64_t{4}}}}},
      {"QuantizeVectors", {{image}, {{"bits", std::int64_t{2}}}}},
      {"ShiftBatchNormalization", {{image, four, four, four, four}, {}}}};
}

Seed seed_of(const Op& op) {
  static const std::map<std::string, Seed> shapes = shape_seeds(), layers = layer_seeds();
  if (const auto it = shapes.find(op.name); it != shapes.end()) return it->second;
  if (const auto it = layers.find(op.name); it != layers.end()) {
    Seed seed = it->second;
    if (op.domain == kNnqDomain && (op.name == "GRU" || op.name == "LSTM")) {
      seed.attributes["state_bits"] = std::int64_t{2};
      seed.attributes["linear_before_reset"] = std::int64_t{1};
      seed.inputs[4] = Tensor();  // lengths and peepholes have no quantized state
      if (op.name == "LSTM") seed.inputs.pop_back();
    }
    return seed;
  }
  for (DType type : {DType::f32, DType::boolean, DType::u8, DType::i64}) {
    for (std::size_t n = 1; n <= 2; ++n) {
      const std::vector<Tensor> inputs(n, ramp({1, 2, 3}, type));
      std::vector<Tensor> outputs;
      if (evaluate_node(make_node(op.name, n, {}, op.domain), kOnnxOpset, inputs, outputs).ok()) return {inputs, {}};
    }
  }
  return {};
}

/// Changes one thing of a working node: an input, an element of it, or an attribute.
void mutate(Chaos& chaos, Seed& seed) {
  const std::int64_t what = chaos.below(6);
  if (what < 4 && !seed.inputs.empty()) {
    Tensor& t = seed.inputs[static_cast<std::size_t>(chaos.below(static_cast<std::int64_t>(seed.inputs.size())))];
    if (what == 0 || !t.defined()) {
      t = chaos.tensor(4);
    } else if (what == 1) {
      Shape shape = t.shape();  // one dimension changes
      if (!shape.empty())
        shape[static_cast<std::size_t>(chaos.below(static_cast<std::int64_t>(shape.size())))] = chaos.below(4);
      t = ramp(shape, t.dtype());
    } else if (t.count() > 0) {
      const std::int64_t i = chaos.below(t.count());
      if (t.dtype() == DType::i64) t.mutable_as<std::int64_t>()[i] = chaos.integer();
      if (t.dtype() == DType::i32) t.mutable_as<std::int32_t>()[i] = static_cast<std::int32_t>(chaos.integer());
      if (t.dtype() == DType::f32) t.mutable_as<float>()[i] = chaos.number();
    }
    return;
  }
  for (auto& [key, value] : seed.attributes) {
    if (auto* list = std::get_if<std::vector<std::int64_t>>(&value);
        list != nullptr && !list->empty() && chaos.below(2) == 0) {
      (*list)[static_cast<std::size_t>(chaos.below(static_cast<std::int64_t>(list->size())))] = chaos.integer();
      return;
    }
    if (auto* number = std::get_if<std::int64_t>(&value); number != nullptr && chaos.below(2) == 0) {
      *number = chaos.integer();
      return;
    }
  }
  for (auto& [key, value] : chaos.attributes("")) seed.attributes[key] = value;
}

TEST_P(Hostile, SurvivesMutationsOfAWorkingNode) {
  const Op& op = *GetParam();
  const Seed seed = seed_of(op);
  std::vector<Tensor> outputs;
  const Status works = evaluate_node(make_node(op.name, seed.inputs.size(), seed.attributes, op.domain), kOnnxOpset,
                                     seed.inputs, outputs);
  const bool version_gone = op.name == "Upsample";  // its last version is 9
  EXPECT_TRUE(works.ok() || version_gone || op.name == "Split") << works.message();
  int evaluated = 0;
  for (std::uint32_t n = 0; n < 1500; ++n) {
    Chaos chaos(n);
    Seed mutant = seed;
    for (std::int64_t k = chaos.below(3); k >= 0; --k) mutate(chaos, mutant);
    const Node node =
        make_node(op.name, mutant.inputs.size(), mutant.attributes, op.domain, op.name == "Split" ? 2 : 1);
    SCOPED_TRACE(n);
    if (evaluate_node(node, chaos.any_of(kOpsets), mutant.inputs, outputs).ok()) ++evaluated;
  }
  EXPECT_GT(evaluated, 50);  // otherwise the mutants never reach evaluation and the test shows nothing
}

TEST_P(Hostile, InfersFromUnknownShapes) {
  const Op& op = *GetParam();
  for (std::uint32_t seed = 0; seed < 500; ++seed) {
    Chaos chaos(seed);
    const std::vector<Tensor> inputs = chaos.inputs();
    const Node node = make_node(op.name, inputs.size(), chaos.attributes(op.name), op.domain);
    std::vector<ValueType> types(inputs.size());
    InferContext ctx{node, chaos.any_of(kOpsets), {}, {}, {}};
    ctx.outputs.resize(1);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      types[i] = inputs[i].defined() ? ValueType::of(inputs[i].dtype(), inputs[i].shape()) : ValueType{};
      if (chaos.below(4) == 0) types[i] = {types[i].dtype, false, {}};
      for (Dim& d : types[i].shape) {
        if (chaos.below(2) == 0) d = chaos.below(2) == 0 ? Dim("N") : Dim();
      }
      ctx.inputs.push_back(inputs[i].defined() ? &types[i] : nullptr);
      ctx.constants.push_back(inputs[i].defined() && types[i].fully_known() && chaos.below(2) == 0 ? &inputs[i]
                                                                                                   : nullptr);
    }
    SCOPED_TRACE(seed);
    (void)op.infer(ctx);
  }
}

INSTANTIATE_TEST_SUITE_P(AllOperators, Hostile, ::testing::ValuesIn(all_ops()), [](const auto& parameter) {
  return (parameter.param->domain.empty() ? "onnx_" : "nnq_") + parameter.param->name;
});

TEST(Registry, FindsOnlyWhatIsThere) {
  EXPECT_NE(find_op("", "Conv"), nullptr);
  EXPECT_EQ(find_op("ai.onnx", "Conv"), find_op("", "Conv"));
  EXPECT_EQ(find_op("", "Quantize"), nullptr);
  EXPECT_EQ(find_op("ai.nnq", "Conv"), nullptr);
  EXPECT_EQ(find_op("", "NoSuchOperator"), nullptr);
  EXPECT_FALSE(refusal("NoSuchOperator", {}).empty());
}

TEST(Allocation, AbsurdSizesAreRefused) {
  EXPECT_NE(refusal("ConstantOfShape", {i64({1'000'000'000, 1'000'000'000})}), "");
  EXPECT_NE(refusal("ConstantOfShape", {i64({std::int64_t{1} << 40, std::int64_t{1} << 40})}), "");
  EXPECT_NE(refusal("Expand", {f32({1}, {1}), i64({std::int64_t{1} << 34})}), "");
  EXPECT_NE(refusal("Tile", {f32({2}, {1, 2}), i64({std::numeric_limits<std::int64_t>::max()})}), "");
  EXPECT_NE(refusal("Range", {Tensor::scalar(std::int64_t{0}), Tensor::scalar(std::numeric_limits<std::int64_t>::max()),
                              Tensor::scalar(std::int64_t{1})}),
            "");
  const Tensor image = f32({1, 1, 2, 2}, {1, 2, 3, 4});
  EXPECT_NE(refusal("Pad", {image, i64({0, 0, 0, 0, 0, 0, 1 << 30, 1 << 30})}), "");
  EXPECT_NE(refusal("Resize", {image, Tensor(), f32({4}, {1, 1, 1e9F, 1e9F})}), "");
  EXPECT_NE(refusal("MaxPool", {image}, {{"kernel_shape", Ints{1, 1}}, {"pads", Ints{0, 0, 1 << 30, 1 << 30}}}), "");
}

}  // namespace
}  // namespace nnq::test
