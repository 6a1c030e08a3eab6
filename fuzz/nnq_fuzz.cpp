// .nnq files: any bytes are a program or a status; a program that was read runs in the interpreter and in a session,
// and where both succeed they agree, to the bit unless float layers sum in another order.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "nnq/program.h"
#include "nnq/runtime.h"

namespace {

using nnq::Tensor;

constexpr std::int64_t max_elements = 4096, max_work = 1 << 22;

/// Inputs as the program declares them, free dimensions 1 or 2; nothing when they would be large.
std::optional<std::vector<Tensor>> make_inputs(const nnq::Program& program, std::uint8_t seed) {
  std::vector<Tensor> inputs;
  for (const std::int32_t number : program.inputs) {
    const nnq::ValueType& type = program.values[static_cast<std::size_t>(number)].type;
    nnq::Shape shape;
    for (const nnq::Dim& d : type.shape) shape.push_back(d.known() ? d.value : 1 + seed % 2);
    const auto count = nnq::checked_count(shape);
    if (!count || *count > max_elements || type.dtype == nnq::DType::string) return std::nullopt;
    Tensor t(nnq::DType::f32, shape);
    for (std::int64_t i = 0; i < *count; ++i)
      t.mutable_as<float>()[i] = static_cast<float>((i * 37 + seed) % 19 - 9) * 0.25f;
    inputs.push_back(t.cast(type.dtype));
  }
  return inputs;
}

/// Windows and weights whose plain loops end soon; large ones are legal and slow, which is no fault.
bool quick(const nnq::Program& program) {
  std::int64_t work = 0;
  for (const nnq::Step& s : program.steps) {
    const nnq::Window& w = s.window;
    if (w.kernel_h > 64 || w.kernel_w > 64 || w.pad_top + w.pad_bottom > 64 || w.pad_left + w.pad_right > 64 ||
        s.channels_before + s.channels_after > 4096)
      return false;
    work += s.weights.count + s.recurrence.weights.count;
  }
  return work <= max_work;
}

/// The same bits; of numbers that are none neither sign nor payload is promised.
bool same(const Tensor& a, const Tensor& b) {
  if (a == b) return true;
  if (!a.defined() || !b.defined() || a.dtype() != nnq::DType::f32 || b.dtype() != a.dtype() || a.shape() != b.shape())
    return false;
  for (std::int64_t i = 0; i < a.count(); ++i) {
    const float x = a.as<float>()[i], y = b.as<float>()[i];
    if (std::memcmp(&x, &y, sizeof(x)) != 0 && !(std::isnan(x) && std::isnan(y))) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto storage = std::make_shared<std::vector<std::byte>>(size);
  if (size > 0) std::memcpy(storage->data(), data, size);
  nnq::Program program;
  if (!nnq::parse_program(*storage, storage, program).ok() || !quick(program)) return 0;
  const auto inputs = make_inputs(program, size > 0 ? data[size - 1] : 0);
  if (!inputs) return 0;
  const bool exact = std::none_of(program.steps.begin(), program.steps.end(), [](const nnq::Step& s) {
    const std::string& op = s.node.op;
    return s.kind == nnq::StepKind::float_op && (op == "Conv" || op == "Gemm" || op == "MatMul");
  });
  std::vector<Tensor> expected, outputs;
  const bool interpreted = nnq::interpret_program(program, *inputs, expected).ok();
  std::shared_ptr<const nnq::Model> model;
  std::unique_ptr<nnq::Session> session;
  if (!nnq::Model::from_program(std::move(program), model).ok()) return 0;
  if (!nnq::Session::create(model, {.threads = 1, .memory_cap = std::size_t{256} << 20}, session).ok()) return 0;
  const bool ran = session->run(*inputs, outputs).ok();
  if (exact && ran && interpreted &&
      !std::equal(outputs.begin(), outputs.end(), expected.begin(), expected.end(), same))
    std::abort();
  return 0;
}
