// Program -> .nnq image. The order of everything follows the program, so the same program gives the same bytes.
#include <algorithm>
#include <cstring>

#include "nnq/program.h"
#include "nnq_fbs/nnq_generated.h"
#include "runtime/image.h"
#include "runtime/real_planes_steps.h"

namespace nnq {
namespace {

namespace fb = flatbuffers;
using fb::FlatBufferBuilder;

/// A table builder with the data section that grows beside it.
struct Image : FlatBufferBuilder {
  Image() : FlatBufferBuilder(1 << 16) {}
  std::vector<std::byte> section;
};

fb::Offset<file::Data> data(Image& b, const void* bytes, std::size_t size) {
  b.section.resize((b.section.size() + image_alignment - 1) / image_alignment * image_alignment);
  const std::size_t offset = b.section.size();
  const auto* from = static_cast<const std::byte*>(bytes);
  b.section.insert(b.section.end(), from, from + size);
  return file::CreateData(b, offset, size);
}

fb::Offset<fb::Vector<fb::Offset<fb::String>>> strings(Image& b, const std::vector<std::string>& values) {
  return b.CreateVectorOfStrings(values);
}

fb::Offset<file::Value> value(Image& b, const ProgramValue& v) {
  std::vector<fb::Offset<file::Dim>> dims;
  for (const Dim& d : v.type.shape) dims.push_back(file::CreateDim(b, d.value, b.CreateString(d.symbol)));
  return file::CreateValue(b, b.CreateString(v.name), static_cast<std::uint8_t>(v.kind),
                           static_cast<std::uint8_t>(v.type.dtype), v.type.ranked, b.CreateVector(dims), v.code.sign,
                           v.code.min, v.code.max, v.code.bits);
}

fb::Offset<file::Constant> constant(Image& b, std::int32_t number, const Tensor& t) {
  return file::CreateConstant(b, number, b.CreateVector(t.shape()), data(b, t.data(), t.bytes()),
                              strings(b, t.strings()));
}

struct AttributeWriter {
  Image& b;
  fb::Offset<fb::String> name;
  std::uint8_t kind;

  template <class F>
  fb::Offset<file::Attribute> build(F&& fill) const {
    file::AttributeBuilder builder(b);
    builder.add_name(name);
    builder.add_kind(kind);
    fill(builder);
    return builder.Finish();
  }
  fb::Offset<file::Attribute> operator()(std::int64_t v) const {
    return build([&](auto& a) { a.add_i(v); });
  }
  fb::Offset<file::Attribute> operator()(float v) const {
    return build([&](auto& a) { a.add_f(v); });
  }
  fb::Offset<file::Attribute> operator()(const std::string& v) const {
    const auto s = b.CreateString(v);
    return build([&](auto& a) { a.add_s(s); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<std::int64_t>& v) const {
    const auto list = b.CreateVector(v);
    return build([&](auto& a) { a.add_ints(list); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<float>& v) const {
    const auto list = b.CreateVector(v);
    return build([&](auto& a) { a.add_floats(list); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<std::string>& v) const {
    const auto list = strings(b, v);
    return build([&](auto& a) { a.add_strings(list); });
  }
  fb::Offset<file::Attribute> operator()(const Tensor& v) const {
    const auto shape = b.CreateVector(v.shape());
    const auto bytes = data(b, v.data(), v.bytes());
    return build([&](auto& a) {
      a.add_dtype(static_cast<std::uint8_t>(v.dtype()));
      a.add_shape(shape);
      a.add_data(bytes);
    });
  }
};

fb::Offset<file::Epilogue> epilogue(Image& b, const Epilogue& e) {
  return file::CreateEpilogue(b, static_cast<std::uint8_t>(e.kind), b.CreateVector(e.a), b.CreateVector(e.b), e.relu,
                              e.scale, e.min, e.max, b.CreateVector(e.residual_a), b.CreateVector(e.residual_b),
                              e.levels, e.first, e.step, b.CreateVector(e.thresholds), b.CreateVector(e.direction));
}

fb::Offset<file::Planes> planes(Image& b, const RealPlanes& p) {
  return file::CreatePlanes(b, b.CreateVector(p.thresholds), b.CreateVector(p.levels), b.CreateVector(p.weight_scale),
                            b.CreateVector(p.weight_offset), p.weight_signs, b.CreateVector(p.code_scale),
                            p.code_offset, p.code_signs, b.CreateVector(p.patterns));
}

fb::Offset<file::Step> step(Image& b, const Step& s) {
  std::vector<fb::Offset<file::Attribute>> attributes;
  for (const auto& [key, attribute] : s.node.attributes) {
    attributes.push_back(
        std::visit(AttributeWriter{b, b.CreateString(key), static_cast<std::uint8_t>(attribute.index())}, attribute));
  }
  const Window& w = s.window;
  const std::vector<std::int64_t> window = {w.kernel_h,   w.kernel_w, w.stride_h, w.stride_w,   w.dilation_h,
                                            w.dilation_w, w.pad_top,  w.pad_left, w.pad_bottom, w.pad_right};
  fb::Offset<file::Weights> weights;
  if (s.weights.data != nullptr) {
    const PackedWeights& p = s.weights;
    weights = file::CreateWeights(b, p.bits, p.offset, b.CreateVector(p.plane_scale), p.count,
                                  data(b, p.data, p.plane_bytes() * static_cast<std::size_t>(p.bits)));
  }
  const bool real = s.kind == StepKind::float_op;
  return file::CreateStep(b, static_cast<std::uint8_t>(s.kind), b.CreateString(s.name), b.CreateVector(s.inputs),
                          b.CreateVector(s.outputs), weights, s.out_channels, s.in_channels, s.groups, s.pad_value,
                          s.accumulator_min, s.accumulator_max, real ? 0 : b.CreateVector(window), s.count_pad,
                          b.CreateVector(s.min_channels), real ? 0 : epilogue(b, s.epilogue), s.scale, s.start_h,
                          s.start_w, s.channels_before, s.channels_after, real ? b.CreateString(s.node.op) : 0,
                          real ? b.CreateString(s.node.domain) : 0, real ? strings(b, s.node.inputs) : 0,
                          real ? strings(b, s.node.outputs) : 0, attributes.empty() ? 0 : b.CreateVector(attributes),
                          s.opset, b.CreateString(s.note), has_real_planes(s.kind) ? planes(b, s.planes) : 0);
}

}  // namespace

std::vector<std::byte> serialize_program(const Program& program) {
  Image b;
  std::vector<fb::Offset<file::Value>> values;
  for (const ProgramValue& v : program.values) values.push_back(value(b, v));
  std::vector<fb::Offset<file::Constant>> constants;
  for (const auto& [number, tensor] : program.constants) constants.push_back(constant(b, number, tensor));
  std::vector<fb::Offset<file::Step>> steps;
  for (const Step& s : program.steps) steps.push_back(step(b, s));
  std::vector<fb::Offset<file::Entry>> metadata;
  for (const auto& [key, text] : program.metadata)
    metadata.push_back(file::CreateEntry(b, b.CreateString(key), b.CreateString(text)));
  const auto root =
      file::CreateProgram(b, image_version, b.CreateVector(values), b.CreateVector(constants), b.CreateVector(steps),
                          b.CreateVector(program.inputs), b.CreateVector(program.outputs), b.CreateVector(metadata));
  b.Finish(root);
  ImageHeader header = {};
  std::copy_n(image_magic, 4, header.magic);
  header.version = image_version;
  header.table_bytes = b.GetSize();
  header.data_offset = (sizeof(header) + b.GetSize() + image_alignment - 1) / image_alignment * image_alignment;
  header.total_bytes = header.data_offset + b.section.size();
  std::vector<std::byte> image(header.total_bytes);
  std::memcpy(image.data(), &header, sizeof(header));
  std::memcpy(image.data() + sizeof(header), b.GetBufferPointer(), b.GetSize());
  if (!b.section.empty()) std::memcpy(image.data() + header.data_offset, b.section.data(), b.section.size());
  return image;
}

}  // namespace nnq
