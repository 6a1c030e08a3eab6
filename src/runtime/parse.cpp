// .nnq image -> Program. Nothing is trusted: FlatBuffers' verifier first, then every enumeration, size and number, then
// check_program.
#include <cstring>

#include "nnq/encoding.h"
#include "nnq/program.h"
#include "nnq_fbs/nnq_generated.h"
#include "runtime/image.h"
#include "runtime/packed_integers.h"

namespace nnq {
namespace {

/// The data section of the image being read.
using Section = std::span<const std::uint8_t>;

/// The bytes a Data table names; none where it is absent.
Status find_bytes(const file::Data* data, Section section, Section& bytes) {
  bytes = {};
  if (data == nullptr) return {};
  NNQ_REQUIRE(data->offset() <= section.size() && data->size() <= section.size() - data->offset(), "data of ",
              data->size(), " bytes at ", data->offset(), " lie outside the file");
  NNQ_REQUIRE(data->offset() % image_alignment == 0, "data at ", data->offset(), " are not aligned");
  bytes = section.subspan(data->offset(), data->size());
  return {};
}

template <class T>
std::vector<T> list(const flatbuffers::Vector<T>* v) {
  // Copied byte by byte: the verifier checks the alignment of a list's length, not of its 8-byte elements.
  std::vector<T> out(v == nullptr ? 0 : v->size());
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(T));
  for (T& element : out) element = flatbuffers::EndianScalar(element);
  return out;
}

std::string string_of(const flatbuffers::String* s) { return s == nullptr ? std::string() : s->str(); }

std::vector<std::string> strings(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* v) {
  std::vector<std::string> out;
  if (v != nullptr) {
    for (const auto* s : *v) out.push_back(s->str());
  }
  return out;
}

Status read_dtype(std::uint8_t raw, DType& type) {
  NNQ_REQUIRE(raw <= static_cast<std::uint8_t>(DType::string), "unknown element type ", static_cast<int>(raw));
  type = static_cast<DType>(raw);
  return {};
}

Status read_tensor(DType type, const flatbuffers::Vector<std::int64_t>* shape, const file::Data* data, Section section,
                   const std::vector<std::string>& text_values, Tensor& tensor) {
  const Shape dims = list(shape);
  const auto count = checked_count(dims);
  NNQ_REQUIRE(count.has_value() && dims.size() <= 32, "impossible shape ", to_string(dims));
  if (type == DType::string) {
    NNQ_REQUIRE(*count == static_cast<std::int64_t>(text_values.size()), "strings do not match the shape");
    tensor = Tensor::of_strings(dims, text_values);
    return {};
  }
  Section bytes;
  NNQ_TRY(find_bytes(data, section, bytes));
  const std::size_t have = bytes.size(), item = size_of(type);
  NNQ_REQUIRE(static_cast<std::size_t>(*count) <= have / item && static_cast<std::size_t>(*count) * item == have,
              name_of(type), to_string(dims), " does not fit ", have, " bytes");
  tensor = Tensor(type, dims);
  if (have > 0) std::memcpy(tensor.mutable_data(), bytes.data(), have);
  if (type == DType::boolean) {
    auto* values = reinterpret_cast<std::uint8_t*>(tensor.mutable_data());
    for (std::size_t i = 0; i < have; ++i) values[i] = values[i] != 0 ? 1 : 0;
  }
  return {};
}

Status read_value(const file::Value& in, ProgramValue& out) {
  out.name = string_of(in.name());
  NNQ_REQUIRE(in.kind() <= static_cast<std::uint8_t>(ValueKind::accumulator), "value '", out.name,
              "' has an unknown kind");
  out.kind = static_cast<ValueKind>(in.kind());
  NNQ_TRY(read_dtype(in.dtype(), out.type.dtype));
  out.type.ranked = in.ranked();
  for (const std::int64_t size : list(in.shape())) out.type.shape.emplace_back(size);
  if (const std::vector<std::string> symbols = strings(in.symbols()); !symbols.empty()) {
    NNQ_REQUIRE(symbols.size() == out.type.shape.size(), "value '", out.name,
                "' names dimensions that it does not have");
    for (std::size_t d = 0; d < symbols.size(); ++d) out.type.shape[d].symbol = symbols[d];
  }
  if (out.kind == ValueKind::codes) out.code = {.sign = in.sign(), .min = in.min(), .max = in.max(), .bits = in.bits()};
  return {};
}

Status read_attribute(const file::Attribute& in, Section section, Attribute& out) {
  switch (in.kind()) {
    case 0:
      out = static_cast<std::int64_t>(in.i());
      return {};
    case 1:
      out = in.f();
      return {};
    case 2:
      out = string_of(in.s());
      return {};
    case 3: {
      DType type;
      NNQ_TRY(read_dtype(in.dtype(), type));
      Tensor tensor;
      NNQ_TRY(read_tensor(type, in.shape(), in.data(), section, strings(in.strings()), tensor));
      out = tensor;
      return {};
    }
    case 4:
      out = list(in.ints());
      return {};
    case 5:
      out = list(in.floats());
      return {};
    case 6:
      out = strings(in.strings());
      return {};
    default:
      return Status::bad_file("unknown kind of attribute");
  }
}

PackedIntegers integers(const file::Integers* in) {
  if (in == nullptr) return {};
  return {.base = in->base(),
          .unit = in->unit(),
          .width = in->width(),
          .never = in->never(),
          .count = in->count(),
          .bits = list(in->bits())};
}

/// Numbers of a layer's channels, which a file shortens to one when all are the same.
void spread(std::vector<float>& values, std::int64_t channels) {
  if (values.size() == 1) values.resize(static_cast<std::size_t>(channels), values[0]);
}

Status read_epilogue(const file::Epilogue& in, Epilogue& out) {
  NNQ_REQUIRE(in.kind() <= static_cast<std::uint8_t>(Epilogue::Kind::requantize), "unknown epilogue");
  out.kind = static_cast<Epilogue::Kind>(in.kind());
  out.a = list(in.a());
  out.b = list(in.b());
  out.relu = in.relu();
  out.scale = in.scale();
  out.min = in.min();
  out.max = in.max();
  out.residual_a = list(in.residual_a());
  out.residual_b = list(in.residual_b());
  out.levels = in.levels();
  out.first = in.first();
  out.step = in.step();
  if (out.kind != Epilogue::Kind::thresholds) return {};
  return unpack_thresholds({.channels = in.channels(),
                            .first = integers(in.thresholds()),
                            .rises = integers(in.rises()),
                            .falling = list(in.falling())},
                           out);
}

Status read_weights(const file::Weights& in, Section section, PackedWeights& out) {
  out.bits = in.bits();
  out.offset = in.offset();
  out.plane_scale = list(in.plane_scale());
  out.count = in.count();
  Section bytes;
  NNQ_TRY(find_bytes(in.data(), section, bytes));
  NNQ_REQUIRE(out.bits >= 1 && out.bits <= 8 && out.count > 0 && out.plane_bytes() <= bytes.size() &&
                  out.plane_bytes() * static_cast<std::size_t>(out.bits) == bytes.size(),
              "the packed weights do not match their size");
  NNQ_REQUIRE(in.nominal_bits() >= 0 && in.nominal_bits() <= 32, "impossible nominal bits");
  out.nominal_bits = in.nominal_bits();
  out.data = bytes.data();
  return {};
}

void read_planes(const file::Planes& in, RealPlanes& out) {
  out.thresholds = list(in.thresholds());
  out.levels = list(in.levels());
  out.weight_scale = list(in.weight_scale());
  out.weight_offset = list(in.weight_offset());
  out.weight_signs = in.weight_signs();
  out.code_scale = list(in.code_scale());
  out.code_offset = in.code_offset();
  out.code_signs = in.code_signs();
  out.patterns = list(in.patterns());
}

Status read_recurrence(const file::Recurrence& in, Section section, Recurrence& out) {
  out.gru = in.gru();
  out.hidden = in.hidden();
  out.state_bits = in.state_bits();
  out.state_cycles = in.state_cycles();
  out.uniform = in.uniform();
  if (in.weights() != nullptr) NNQ_TRY(read_weights(*in.weights(), section, out.weights));
  if (in.planes() != nullptr) read_planes(*in.planes(), out.planes);
  out.bias = list(in.bias());
  out.state_bias = list(in.state_bias());
  return {};
}

Status read_step(const file::Step& in, Section section, Step& out) {
  out.name = string_of(in.name());
  NNQ_REQUIRE(in.kind() <= static_cast<std::uint8_t>(last_step_kind), "unknown step");
  out.kind = static_cast<StepKind>(in.kind());
  out.inputs = list(in.inputs());
  out.outputs = list(in.outputs());
  out.out_channels = in.out_channels();
  out.in_channels = in.in_channels();
  out.groups = in.groups();
  out.pad_value = in.pad_value();
  out.accumulator_min = in.accumulator_min();
  out.accumulator_max = in.accumulator_max();
  if (const auto* w = in.window(); w != nullptr) {
    NNQ_REQUIRE(w->size() == 10, "a window has ten numbers");
    out.window = {w->Get(0), w->Get(1), w->Get(2), w->Get(3), w->Get(4),
                  w->Get(5), w->Get(6), w->Get(7), w->Get(8), w->Get(9)};
  }
  out.count_pad = in.count_pad();
  NNQ_TRY(unpack_flags(list(in.min_channels()), in.min_count(), out.min_channels));
  out.scale = in.scale();
  out.start_h = in.start_h();
  out.start_w = in.start_w();
  out.channels_before = in.channels_before();
  out.channels_after = in.channels_after();
  out.note = string_of(in.note());
  out.opset = in.opset();
  out.node = {.name = out.name,
              .op = string_of(in.op()),
              .domain = string_of(in.domain()),
              .inputs = strings(in.node_inputs()),
              .outputs = strings(in.node_outputs()),
              .attributes = {}};
  if (in.weights() != nullptr) NNQ_TRY(read_weights(*in.weights(), section, out.weights));
  if (in.planes() != nullptr) read_planes(*in.planes(), out.planes);
  if (in.recurrence() != nullptr) NNQ_TRY(read_recurrence(*in.recurrence(), section, out.recurrence));
  if (in.epilogue() != nullptr) NNQ_TRY(read_epilogue(*in.epilogue(), out.epilogue));
  if (out.weights.data != nullptr) {
    // Bounded by the file: a layer has no more channels than weights.
    NNQ_REQUIRE(out.out_channels >= 1 && out.out_channels <= out.weights.count, "impossible channels or groups");
    Epilogue& e = out.epilogue;
    for (auto* values : {&e.a, &e.b, &e.residual_a, &e.residual_b}) spread(*values, out.out_channels);
  }
  if (in.attributes() != nullptr) {
    for (const auto* a : *in.attributes())
      NNQ_TRY(read_attribute(*a, section, out.node.attributes[string_of(a->name())]));
  }
  return {};
}

Status read_program(const file::Program& in, Section section, Program& out) {
  NNQ_REQUIRE(in.version() == image_version, "version ", in.version(), " of the format; this nnq reads version ",
              image_version);
  if (in.values() != nullptr) {
    for (const auto* v : *in.values()) NNQ_TRY(read_value(*v, out.values.emplace_back()));
  }
  if (in.constants() != nullptr) {
    for (const auto* c : *in.constants()) {
      NNQ_REQUIRE(c->value() >= 0 && static_cast<std::size_t>(c->value()) < out.values.size(), "constant ", c->value(),
                  " has no value");
      NNQ_TRY(read_tensor(out.values[static_cast<std::size_t>(c->value())].type.dtype, c->shape(), c->data(), section,
                          strings(c->strings()), out.constants[c->value()]));
    }
  }
  if (in.steps() != nullptr) {
    for (const auto* s : *in.steps()) {
      if (Status status = read_step(*s, section, out.steps.emplace_back()); !status.ok())
        return Status::bad_file(text("step '", out.steps.back().name, "': ", status.message()));
    }
  }
  out.inputs = list(in.inputs());
  out.outputs = list(in.outputs());
  if (in.metadata() != nullptr) {
    for (const auto* e : *in.metadata()) out.metadata[string_of(e->key())] = string_of(e->value());
  }
  return check_program(out);
}

}  // namespace

Status parse_program(std::span<const std::byte> bytes, std::shared_ptr<const void> storage, Program& program) {
  const Section image(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  ImageHeader header = {};
  if (image.size() < sizeof(header)) return Status::bad_file("is not a .nnq file, or it is cut short");
  std::memcpy(&header, image.data(), sizeof(header));
  if (std::memcmp(header.magic, image_magic, 4) != 0) return Status::bad_file("is not a .nnq file");
  if (header.version != image_version)
    return Status::bad_file(
        text("has version ", header.version, " of the format; this nnq reads version ", image_version));
  if (header.total_bytes != image.size())
    return Status::bad_file(
        text("has ", image.size(), " bytes, its header says ", header.total_bytes, ": cut short or damaged"));
  const std::uint64_t room = image.size() - sizeof(header);
  if (header.table_bytes > room || header.data_offset % image_alignment != 0 || header.data_offset > image.size() ||
      header.data_offset < sizeof(header) + header.table_bytes) {
    return Status::bad_file("is damaged: its header names impossible sections");
  }
  // Tables nest four deep; a million of them is a thousand times the largest real model.
  flatbuffers::Verifier verifier(image.data() + sizeof(header), header.table_bytes, /*max_depth=*/16,
                                 /*max_tables=*/1'000'000);
  if (!verifier.VerifyBuffer<file::Program>(nullptr))
    return Status::bad_file("is damaged: its structure does not verify");
  program = {};
  const auto& table = *flatbuffers::GetRoot<file::Program>(image.data() + sizeof(header));
  if (Status status = read_program(table, image.subspan(header.data_offset), program); !status.ok())
    return Status::bad_file(status.message());
  program.storage = std::move(storage);
  return {};
}

}  // namespace nnq
