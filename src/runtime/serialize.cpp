// Program -> .nnq image. The order of everything follows the program, so the same program gives the same bytes.
#include <algorithm>
#include <cstring>

#include "core/checksum.h"
#include "nnq/program.h"
#include "nnq_fbs/nnq_generated.h"
#include "runtime/image.h"
#include "runtime/packed_integers.h"
#include "runtime/real_planes_steps.h"
#include "runtime/vector_steps.h"

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

/// Equal texts are stored once: a value's name returns in the operators that read it, a note in every layer.
fb::Offset<fb::String> string(Image& b, const std::string& text) {
  return text.empty() ? fb::Offset<fb::String>() : b.CreateSharedString(text);
}

fb::Offset<fb::Vector<fb::Offset<fb::String>>> strings(Image& b, const std::vector<std::string>& values) {
  if (values.empty()) return {};
  std::vector<fb::Offset<fb::String>> list;
  for (const std::string& v : values) list.push_back(b.CreateSharedString(v));
  return b.CreateVector(list);
}

template <class T>
fb::Offset<fb::Vector<T>> list(Image& b, const std::vector<T>& values) {
  return values.empty() ? fb::Offset<fb::Vector<T>>() : b.CreateVector(values);
}

/// One number when all are the same bits.
fb::Offset<fb::Vector<float>> channels(Image& b, const std::vector<float>& values) {
  const bool equal = std::all_of(values.begin(), values.end(),
                                 [&](const float& v) { return std::memcmp(&v, values.data(), sizeof(v)) == 0; });
  return list(b, equal && !values.empty() ? std::vector<float>{values[0]} : values);
}

fb::Offset<file::Integers> integers(Image& b, const PackedIntegers& p) {
  if (p.count == 0) return {};
  return file::CreateIntegers(b, p.base, p.unit, static_cast<std::uint8_t>(p.width), p.never, p.count, list(b, p.bits));
}

fb::Offset<file::Value> value(Image& b, const ProgramValue& v) {
  std::vector<std::int64_t> dims;
  std::vector<std::string> symbols;
  for (const Dim& d : v.type.shape) {
    dims.push_back(d.value);
    symbols.push_back(d.symbol);
  }
  if (std::all_of(symbols.begin(), symbols.end(), [](const std::string& s) { return s.empty(); })) symbols.clear();
  const bool codes = v.kind == ValueKind::codes;
  const CodeType plain = codes ? v.code : CodeType{.sign = false, .min = 0, .max = 0, .bits = 0};
  return file::CreateValue(b, string(b, v.name), static_cast<std::uint8_t>(v.kind),
                           static_cast<std::uint8_t>(v.type.dtype), v.type.ranked, list(b, dims), strings(b, symbols),
                           plain.sign, plain.min, plain.max, plain.bits);
}

fb::Offset<file::Constant> constant(Image& b, std::int32_t number, const Tensor& t) {
  return file::CreateConstant(b, number, list(b, t.shape()), data(b, t.data(), t.bytes()), strings(b, t.strings()));
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
    const auto s = string(b, v);
    return build([&](auto& a) { a.add_s(s); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<std::int64_t>& v) const {
    const auto values = list(b, v);
    return build([&](auto& a) { a.add_ints(values); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<float>& v) const {
    const auto values = list(b, v);
    return build([&](auto& a) { a.add_floats(values); });
  }
  fb::Offset<file::Attribute> operator()(const std::vector<std::string>& v) const {
    const auto values = strings(b, v);
    return build([&](auto& a) { a.add_strings(values); });
  }
  fb::Offset<file::Attribute> operator()(const Tensor& v) const {
    const auto shape = list(b, v.shape());
    const auto bytes = data(b, v.data(), v.bytes());
    return build([&](auto& a) {
      a.add_dtype(static_cast<std::uint8_t>(v.dtype()));
      a.add_shape(shape);
      a.add_data(bytes);
    });
  }
};

fb::Offset<file::Epilogue> epilogue(Image& b, const Epilogue& e) {
  if (e.kind == Epilogue::Kind::none && e.a.empty() && e.b.empty()) return {};
  const PackedThresholds t = pack_thresholds(e);
  return file::CreateEpilogue(b, static_cast<std::uint8_t>(e.kind), channels(b, e.a), channels(b, e.b), e.relu, e.scale,
                              e.min, e.max, channels(b, e.residual_a), channels(b, e.residual_b), e.levels, e.first,
                              e.step, t.channels, integers(b, t.first), integers(b, t.rises), list(b, t.falling));
}

fb::Offset<fb::Vector<std::int32_t>> window(Image& b, const Window& w) {
  std::vector<std::int32_t> numbers;
  bool plain = true;
  for (const auto& [is, usual] : std::initializer_list<std::pair<std::int64_t, std::int64_t>>{{w.kernel_h, 1},
                                                                                              {w.kernel_w, 1},
                                                                                              {w.stride_h, 1},
                                                                                              {w.stride_w, 1},
                                                                                              {w.dilation_h, 1},
                                                                                              {w.dilation_w, 1},
                                                                                              {w.pad_top, 0},
                                                                                              {w.pad_left, 0},
                                                                                              {w.pad_bottom, 0},
                                                                                              {w.pad_right, 0}}) {
    numbers.push_back(static_cast<std::int32_t>(is));  // check_program: below 2^24
    plain = plain && is == usual;
  }
  return plain ? fb::Offset<fb::Vector<std::int32_t>>() : b.CreateVector(numbers);
}

fb::Offset<file::Weights> weights(Image& b, const PackedWeights& p) {
  if (p.data == nullptr) return {};
  return file::CreateWeights(b, p.bits, p.offset, list(b, p.plane_scale), p.count,
                             data(b, p.data, p.plane_bytes() * static_cast<std::size_t>(p.bits)), p.nominal_bits);
}

fb::Offset<file::Planes> planes(Image& b, const RealPlanes& p) {
  return file::CreatePlanes(b, b.CreateVector(p.thresholds), b.CreateVector(p.levels), b.CreateVector(p.weight_scale),
                            b.CreateVector(p.weight_offset), p.weight_signs, b.CreateVector(p.code_scale),
                            p.code_offset, p.code_signs, b.CreateVector(p.patterns));
}

fb::Offset<file::Recurrence> recurrence(Image& b, const Recurrence& r) {
  const auto matrix = weights(b, r.weights);
  const auto scales = planes(b, r.planes);
  return file::CreateRecurrence(b, r.gru, r.hidden, r.state_bits, r.state_cycles, matrix, scales, list(b, r.bias),
                                list(b, r.state_bias), r.uniform);
}

fb::Offset<file::Step> step(Image& b, const Step& s) {
  std::vector<fb::Offset<file::Attribute>> attributes;
  for (const auto& [key, attribute] : s.node.attributes) {
    attributes.push_back(
        std::visit(AttributeWriter{b, string(b, key), static_cast<std::uint8_t>(attribute.index())}, attribute));
  }
  const bool real = s.kind == StepKind::float_op;
  return file::CreateStep(
      b, static_cast<std::uint8_t>(s.kind), string(b, s.name), list(b, s.inputs), list(b, s.outputs),
      weights(b, s.weights), s.out_channels, s.in_channels, s.groups, s.pad_value, s.accumulator_min, s.accumulator_max,
      real ? 0 : window(b, s.window), s.count_pad, list(b, pack_flags(s.min_channels)),
      static_cast<std::int64_t>(s.min_channels.size()), real ? 0 : epilogue(b, s.epilogue), s.scale, s.start_h,
      s.start_w, s.channels_before, s.channels_after, real ? string(b, s.node.op) : 0,
      real ? string(b, s.node.domain) : 0, real ? strings(b, s.node.inputs) : 0, real ? strings(b, s.node.outputs) : 0,
      attributes.empty() ? 0 : b.CreateVector(attributes), real ? s.opset : 0, string(b, s.note),
      has_real_planes(s.kind) || has_vectors(s.kind) ? planes(b, s.planes) : 0,
      s.kind == StepKind::recurrent || s.kind == StepKind::vector_quantize ? recurrence(b, s.recurrence) : 0);
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
    metadata.push_back(file::CreateEntry(b, string(b, key), string(b, text)));
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
  std::memcpy(image.data() + sizeof(header), b.GetBufferPointer(), b.GetSize());
  if (!b.section.empty()) std::memcpy(image.data() + header.data_offset, b.section.data(), b.section.size());
  header.content = checksum64(std::span<const std::byte>(image).subspan(sizeof(header)));
  std::memcpy(image.data(), &header, sizeof(header));
  return image;
}

}  // namespace nnq
