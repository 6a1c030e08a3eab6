// Numbers that a file merely claims allocate nothing.
#include "models.h"

namespace nnq::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Import, DeclaredSizesAreComparedWithTheBytesThere) {
  const long before = peak_kilobytes();
  for (const Shape& shape : {Shape{1'000'000'000}, Shape{1'000'000, 1'000'000}, Shape{3'000'000'000, 3'000'000'000},
                             Shape{std::int64_t{1} << 62, 4}, Shape{-1}, Shape{-2, -2}, Shape{5}, Shape{}}) {
    onnx::ModelProto raw = one_node("Add", {"x", "w"});
    add_initializer(raw, "w", shape).set_raw_data(std::string(16, '\0'));
    EXPECT_THAT(error_of(raw), AllOf(HasSubstr("'w'"), HasSubstr("model.onnx"))) << to_string(shape);
    onnx::ModelProto typed = one_node("Add", {"x", "w"});
    auto& data = add_initializer(typed, "w", shape);
    for (int i = 0; i < 2; ++i) data.add_float_data(1);
    EXPECT_THAT(error_of(typed), HasSubstr("'w'")) << to_string(shape);
  }
  expect_growth_below(64 * 1024, before);
}

/// Small constants that ask for huge results: nothing of that size may be made while importing.
TEST(Import, HugeResultsAreNotFolded) {
  const long before = peak_kilobytes();
  for (const char* op : {"ConstantOfShape", "Expand", "Tile", "Reshape", "Range", "Pad", "Resize"}) {
    onnx::ModelProto model = one_node(op, {});
    auto& node = *model.mutable_graph()->mutable_node(0);
    auto& huge = add_initializer(model, "huge", {2});
    huge.set_data_type(onnx::TensorProto::INT64);
    huge.add_int64_data(1'000'000'000);
    huge.add_int64_data(1'000'000'000);
    auto& one = add_initializer(model, "one", {1, 1});
    one.add_float_data(1);
    const std::string name = op;
    if (name == "Range") {
      for (const auto& [value, number] : {std::pair{"start", 0.0F}, {"limit", 1e12F}, {"delta", 1.0F}}) {
        node.add_input(value);
        add_initializer(model, value, {}).add_float_data(number);
      }
    } else if (name == "Resize") {
      for (const char* input : {"one", "", "", "huge"}) node.add_input(input);
    } else if (name == "Pad") {
      huge.mutable_dims()->Set(0, 4);
      huge.add_int64_data(1'000'000'000);
      huge.add_int64_data(1'000'000'000);
      for (const char* input : {"one", "huge"}) node.add_input(input);
    } else if (name == "ConstantOfShape") {
      node.add_input("huge");
    } else {
      for (const char* input : {"one", "huge"}) node.add_input(input);
    }
    error_of(model);  // refused or left unfolded
  }
  expect_growth_below(256 * 1024, before);
}

}  // namespace
}  // namespace nnq::test
