#include "onnx/tensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "nnq/error.h"

namespace nnq::onnx_format {
namespace {

using onnx::TensorProto;

struct TypeRow {
  int onnx;
  DType type;
};
constexpr TypeRow types[] = {
    {TensorProto::FLOAT, DType::f32},     {TensorProto::DOUBLE, DType::f64},   {TensorProto::FLOAT16, DType::f16},
    {TensorProto::BFLOAT16, DType::bf16}, {TensorProto::INT8, DType::i8},      {TensorProto::UINT8, DType::u8},
    {TensorProto::INT16, DType::i16},     {TensorProto::UINT16, DType::u16},   {TensorProto::INT32, DType::i32},
    {TensorProto::UINT32, DType::u32},    {TensorProto::INT64, DType::i64},    {TensorProto::UINT64, DType::u64},
    {TensorProto::BOOL, DType::boolean},  {TensorProto::STRING, DType::string}};

/// Copies a repeated field into a tensor of the same or a narrower type.
template <class To, class Field>
Tensor from_field(const Field& field, DType type, const Shape& shape, std::int64_t count, const std::string& where) {
  if (field.size() != count)
    throw Error(fmt::format("shape {} needs {} values, the tensor holds {}", to_string(shape), count, field.size()),
                where);
  Tensor tensor(type, shape);
  auto* out = reinterpret_cast<To*>(tensor.mutable_data());
  for (int i = 0; i < field.size(); ++i) out[i] = static_cast<To>(field.Get(i));
  return tensor;
}

Tensor from_raw(const char* bytes, std::size_t size, DType type, const Shape& shape, std::int64_t count,
                const std::string& where) {
  const std::size_t item = size_of(type);
  if (item == 0 || static_cast<std::size_t>(count) > size / item || static_cast<std::size_t>(count) * item != size) {
    throw Error(fmt::format("{}{} does not fit {} bytes of data", name_of(type), to_string(shape), size), where);
  }
  Tensor tensor(type, shape);
  if (size > 0) std::memcpy(tensor.mutable_data(), bytes, size);
  if (type == DType::boolean) {
    for (std::uint8_t& v : std::span(reinterpret_cast<std::uint8_t*>(tensor.mutable_data()), size)) v = v != 0 ? 1 : 0;
  }
  return tensor;
}

std::int64_t number(const std::string& text, const std::string& where) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw Error("'" + text + "' is not a byte count", where);
  return value;
}

/// The path of an external file, inside the model's folder whatever its name tries.
std::filesystem::path external_path(const std::string& location, const ExternalData& external,
                                    const std::string& where) {
  const std::filesystem::path relative(location);
  if (external.folder.empty()) throw Error("external data are only read for a model loaded from a file", where);
  bool climbs = location.empty() || relative.is_absolute() || location.find('\0') != std::string::npos;
  for (const auto& part : relative) climbs = climbs || part == "..";
  if (climbs) throw Error("external data at '" + location + "' lie outside the model's folder", where, "refused");
  std::error_code error;
  const std::filesystem::path root = std::filesystem::canonical(external.folder, error);
  const std::filesystem::path file = std::filesystem::canonical(external.folder / relative, error);
  if (error) throw Error("external data file '" + location + "' cannot be found", where, "it belongs beside the model");
  const auto [end, _] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  if (end != root.end())
    throw Error("external data at '" + location + "' lead outside the model's folder", where, "refused");
  return file;
}

Tensor from_external(const TensorProto& proto, const ExternalData& external, DType type, const Shape& shape,
                     std::int64_t count, const std::string& where) {
  std::string location;
  std::int64_t offset = 0, length = -1;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number(entry.value(), where);
    if (entry.key() == "length") length = number(entry.value(), where);
  }
  const std::filesystem::path file = external_path(location, external, where);
  std::error_code error;
  const auto total = static_cast<std::int64_t>(std::filesystem::file_size(file, error));
  if (error || !std::filesystem::is_regular_file(file, error))
    throw Error("external data at '" + location + "' are not in a regular file", where, "refused");
  if (offset > total) throw Error(fmt::format("external data begin at {} in a file of {} bytes", offset, total), where);
  if (length < 0) length = total - offset;
  if (length > total - offset || static_cast<std::size_t>(length) > external.max_bytes)
    throw Error(fmt::format("external data of {} bytes at {} do not fit a file of {}", length, offset, total), where);
  std::string bytes(static_cast<std::size_t>(length), '\0');
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t got = fd < 0 ? -1 : ::pread(fd, bytes.data(), bytes.size(), offset);
  if (fd >= 0) ::close(fd);
  if (got != static_cast<ssize_t>(bytes.size()))
    throw Error("external data cannot be read", where + ": " + file.string());
  return from_raw(bytes.data(), bytes.size(), type, shape, count, where);
}

}  // namespace

DType read_dtype(int onnx_type, const std::string& where) {
  for (const TypeRow& row : types) {
    if (row.onnx == onnx_type) return row.type;
  }
  throw Error(fmt::format("element type {} is not supported", onnx_type), where);
}

int onnx_dtype(DType type) {
  for (const TypeRow& row : types) {
    if (row.type == type) return row.onnx;
  }
  return 0;
}

Tensor read_tensor(const TensorProto& proto, const ExternalData& external, const std::string& where) {
  const DType type = read_dtype(proto.data_type(), where);
  const Shape shape(proto.dims().begin(), proto.dims().end());
  const auto count = checked_count(shape);
  if (!count) throw Error("impossible shape " + to_string(shape), where);
  if (proto.has_segment()) throw Error("segmented tensors are not supported", where);
  if (proto.data_location() == TensorProto::EXTERNAL) return from_external(proto, external, type, shape, *count, where);
  if (type == DType::string) {
    if (proto.string_data_size() != *count)
      throw Error("the number of strings does not fit the shape " + to_string(shape), where);
    return Tensor::of_strings(shape, {proto.string_data().begin(), proto.string_data().end()});
  }
  if (proto.has_raw_data())
    return from_raw(proto.raw_data().data(), proto.raw_data().size(), type, shape, *count, where);
  switch (type) {
    case DType::f32:
      return from_field<float>(proto.float_data(), type, shape, *count, where);
    case DType::f64:
      return from_field<double>(proto.double_data(), type, shape, *count, where);
    case DType::i64:
      return from_field<std::int64_t>(proto.int64_data(), type, shape, *count, where);
    case DType::u64:
      return from_field<std::uint64_t>(proto.uint64_data(), type, shape, *count, where);
    case DType::u32:
      return from_field<std::uint32_t>(proto.uint64_data(), type, shape, *count, where);
    case DType::i32:
      return from_field<std::int32_t>(proto.int32_data(), type, shape, *count, where);
    case DType::i16:
      return from_field<std::int16_t>(proto.int32_data(), type, shape, *count, where);
    case DType::u16:
    case DType::f16:
    case DType::bf16:
      return from_field<std::uint16_t>(proto.int32_data(), type, shape, *count, where);
    case DType::i8:
      return from_field<std::int8_t>(proto.int32_data(), type, shape, *count, where);
    case DType::u8:
      return from_field<std::uint8_t>(proto.int32_data(), type, shape, *count, where);
    case DType::boolean: {
      Tensor tensor = from_field<std::uint8_t>(proto.int32_data(), type, shape, *count, where);
      for (std::uint8_t& v : std::span(reinterpret_cast<std::uint8_t*>(tensor.mutable_data()), tensor.bytes()))
        v = v != 0 ? 1 : 0;
      return tensor;
    }
    case DType::string:
      break;
  }
  throw Error("the tensor has no data", where);
}

void write_tensor(const Tensor& tensor, const std::string& name, TensorProto& proto) {
  proto.set_name(name);
  proto.set_data_type(onnx_dtype(tensor.dtype()));
  for (const std::int64_t d : tensor.shape()) proto.add_dims(d);
  if (tensor.dtype() == DType::string) {
    for (const std::string& s : tensor.strings()) proto.add_string_data(s);
  } else {
    proto.set_raw_data(tensor.data(), tensor.bytes());
  }
}

Attribute read_attribute(const onnx::AttributeProto& proto, const ExternalData& external, const std::string& where) {
  using onnx::AttributeProto;
  int type = proto.type();
  if (type == AttributeProto::UNDEFINED) {  // files of IR version < 2 leave it out
    if (proto.has_f())
      type = AttributeProto::FLOAT;
    else if (proto.has_i())
      type = AttributeProto::INT;
    else if (proto.has_s())
      type = AttributeProto::STRING;
    else if (proto.has_t())
      type = AttributeProto::TENSOR;
    else if (proto.floats_size() > 0)
      type = AttributeProto::FLOATS;
    else if (proto.ints_size() > 0)
      type = AttributeProto::INTS;
    else if (proto.strings_size() > 0)
      type = AttributeProto::STRINGS;
  }
  const std::string here = where + ", attribute '" + proto.name() + "'";
  switch (type) {
    case AttributeProto::FLOAT:
      return proto.f();
    case AttributeProto::INT:
      return static_cast<std::int64_t>(proto.i());
    case AttributeProto::STRING:
      return proto.s();
    case AttributeProto::TENSOR:
      return read_tensor(proto.t(), external, here);
    case AttributeProto::FLOATS:
      return std::vector<float>(proto.floats().begin(), proto.floats().end());
    case AttributeProto::INTS:
      return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
    case AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    case AttributeProto::GRAPH:
    case AttributeProto::GRAPHS:
      throw Error("holds a sub-graph; control flow (If, Loop, Scan) is not supported", here,
                  "export the model without control flow");
    default:
      throw Error(fmt::format("attribute type {} is not supported", type), here);
  }
}

namespace {
struct AttributeWriter {
  onnx::AttributeProto& proto;
  void operator()(std::int64_t v) const {
    proto.set_type(onnx::AttributeProto::INT);
    proto.set_i(v);
  }
  void operator()(float v) const {
    proto.set_type(onnx::AttributeProto::FLOAT);
    proto.set_f(v);
  }
  void operator()(const std::string& v) const {
    proto.set_type(onnx::AttributeProto::STRING);
    proto.set_s(v);
  }
  void operator()(const Tensor& v) const {
    proto.set_type(onnx::AttributeProto::TENSOR);
    write_tensor(v, "", *proto.mutable_t());
  }
  void operator()(const std::vector<std::int64_t>& v) const {
    proto.set_type(onnx::AttributeProto::INTS);
    for (const auto x : v) proto.add_ints(x);
  }
  void operator()(const std::vector<float>& v) const {
    proto.set_type(onnx::AttributeProto::FLOATS);
    for (const auto x : v) proto.add_floats(x);
  }
  void operator()(const std::vector<std::string>& v) const {
    proto.set_type(onnx::AttributeProto::STRINGS);
    for (const auto& x : v) proto.add_strings(x);
  }
};
}  // namespace

void write_attribute(const std::string& name, const Attribute& value, onnx::AttributeProto& proto) {
  proto.set_name(name);
  std::visit(AttributeWriter{proto}, value);
}

}  // namespace nnq::onnx_format
