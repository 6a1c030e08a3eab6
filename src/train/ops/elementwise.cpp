// Functions of two or more tensors with broadcasting, comparisons, Where, Cast.
#include "train/torch_op.h"

namespace nnq::train {
namespace {

using Function = at::Tensor (*)(const at::Tensor&, const at::Tensor&);

Builder binary(Function f) {
  return [f](const Build&) { return one_output([f](const Args& args) { return f(args[0], args[1]); }); };
}

/// f over all inputs from the left, as ONNX's variadic operators have it.
Builder variadic(Function f) {
  return [f](const Build&) {
    return one_output([f](const Args& args) {
      at::Tensor result = args[0];
      for (std::size_t i = 1; i < args.inputs(); ++i) result = f(result, args[i]);
      return result;
    });
  };
}

at::Tensor plus(const at::Tensor& a, const at::Tensor& b) { return at::add(a, b); }
at::Tensor minus(const at::Tensor& a, const at::Tensor& b) { return at::sub(a, b); }
at::Tensor times(const at::Tensor& a, const at::Tensor& b) { return at::mul(a, b); }
at::Tensor divide(const at::Tensor& a, const at::Tensor& b) {
  return at::isFloatingType(a.scalar_type()) ? at::div(a, b) : at::div(a, b, "trunc");
}
at::Tensor power(const at::Tensor& a, const at::Tensor& b) { return at::pow(a, b).to(a.scalar_type()); }
at::Tensor equal(const at::Tensor& a, const at::Tensor& b) { return at::eq(a, b); }
at::Tensor less(const at::Tensor& a, const at::Tensor& b) { return at::lt(a, b); }
at::Tensor less_equal(const at::Tensor& a, const at::Tensor& b) { return at::le(a, b); }
at::Tensor greater(const at::Tensor& a, const at::Tensor& b) { return at::gt(a, b); }
at::Tensor greater_equal(const at::Tensor& a, const at::Tensor& b) { return at::ge(a, b); }
at::Tensor both(const at::Tensor& a, const at::Tensor& b) { return at::logical_and(a, b); }
at::Tensor either(const at::Tensor& a, const at::Tensor& b) { return at::logical_or(a, b); }
at::Tensor one_of(const at::Tensor& a, const at::Tensor& b) { return at::logical_xor(a, b); }
at::Tensor smaller(const at::Tensor& a, const at::Tensor& b) { return at::minimum(a, b); }
at::Tensor larger(const at::Tensor& a, const at::Tensor& b) { return at::maximum(a, b); }

Kernel add_in_place(const Build&) {
  return one_output([](const Args& args) {
    at::Tensor a = args[0];
    const at::Tensor& b = args[1];
    if (args.overwrite_first && a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type()) return a.add_(b);
    return at::add(a, b);
  });
}

Kernel mean(const Build&) {
  return one_output([](const Args& args) {
    at::Tensor result = args[0];
    for (std::size_t i = 1; i < args.inputs(); ++i) result = at::add(result, args[i]);
    return at::div(result, at::full({}, static_cast<double>(args.inputs()), result.options()));
  });
}

Kernel where(const Build&) {
  return one_output([](const Args& args) { return at::where(args[0], args[1], args[2]); });
}

c10::optional<at::ScalarType> torch_type_of_onnx(std::int64_t type) {
  switch (type) {  // TensorProto.DataType
    case 1:
      return at::kFloat;
    case 2:
      return at::kByte;
    case 3:
      return at::kChar;
    case 5:
      return at::kShort;
    case 6:
      return at::kInt;
    case 7:
      return at::kLong;
    case 9:
      return at::kBool;
    case 10:
      return at::kHalf;
    case 11:
      return at::kDouble;
    case 16:
      return at::kBFloat16;
    default:
      return c10::nullopt;
  }
}

Kernel cast(const Build& build) {
  const auto type = torch_type_of_onnx(build.node.get_int("to", 0));
  if (!type) return {};
  return one_output([=](const Args& args) { return args[0].to(*type); });
}

}  // namespace
}  // namespace nnq::train

NNQ_TRAIN_OPS(elementwise) {
  add("Add", add_in_place, "");
  add("Sub", binary(minus), "");
  add("Mul", binary(times), "");
  add("Div", binary(divide), "");
  add("Pow", binary(power), "");
  add("Min", variadic(smaller), "");
  add("Max", variadic(larger), "");
  add("Sum", variadic(plus), "");
  add("Mean", mean, "");
  add("Equal", binary(equal), "");
  add("Less", binary(less), "");
  add("LessOrEqual", binary(less_equal), "");
  add("Greater", binary(greater), "");
  add("GreaterOrEqual", binary(greater_equal), "");
  add("And", binary(both), "");
  add("Or", binary(either), "");
  add("Xor", binary(one_of), "");
  add("Where", where, "");
  add("Cast", cast, "");
}
