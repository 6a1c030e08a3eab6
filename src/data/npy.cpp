#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "core/atomic_file.h"
#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq {
namespace {

static_assert(std::endian::native == std::endian::little, "NPY is read and written as it lies in memory");

constexpr std::string_view magic = "\x93NUMPY";

struct TypeName {
  const char* text;
  DType type;
};
constexpr TypeName type_names[] = {{"<f4", DType::f32}, {"<f8", DType::f64},     {"|i1", DType::i8},
                                   {"|u1", DType::u8},  {"<i2", DType::i16},     {"<u2", DType::u16},
                                   {"<i4", DType::i32}, {"<u4", DType::u32},     {"<i8", DType::i64},
                                   {"<u8", DType::u64}, {"|b1", DType::boolean}, {"<f2", DType::f16}};

struct Header {
  DType type = DType::f32;
  bool fortran = false;
  Shape shape;
  std::size_t data = 0;  // offset of the values
};

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Header header() {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    if (!all.starts_with(magic) || all.size() < 10) fail(0, "expected the magic \\x93NUMPY");
    const int major = byte(6);
    if (major < 1 || major > 3) fail(6, fmt::format("version {} is not supported", major));
    const std::size_t field = major == 1 ? 2 : 4, begin = 8 + field;
    if (all.size() < begin) fail(8, "the file ends inside its header");
    std::size_t length = 0;
    for (std::size_t i = 0; i < field; ++i) length |= static_cast<std::size_t>(byte(8 + i)) << (8 * i);
    if (length > all.size() - begin || length > 65536)
      fail(8, fmt::format("header of {} bytes in a file of {}", length, all.size()));
    text_ = all.substr(begin, length);
    Header h;
    h.data = begin + length;
    h.type = type(quoted("descr"));
    const std::string_view order = after("fortran_order");
    if (!order.starts_with("True") && !order.starts_with("False")) fail(begin, "fortran_order must be True or False");
    h.fortran = order.starts_with("True");
    h.shape = shape(after("shape"));
    return h;
  }

  [[noreturn]] void fail(std::size_t offset, const std::string& what) const {
    throw Error(what, fmt::format("{}: offset {}", name_, offset), "not a valid NPY file");
  }

 private:
  int byte(std::size_t i) const { return std::to_integer<int>(bytes_[i]); }

  /// The header's text behind 'key': with blanks skipped.
  std::string_view after(const std::string& key) const {
    std::size_t at = text_.find("'" + key + "'");
    if (at == std::string_view::npos) fail(10, "the header has no '" + key + "'");
    at = text_.find(':', at);
    if (at == std::string_view::npos) fail(10, "the header has no value for '" + key + "'");
    const std::size_t value = text_.find_first_not_of(" \t", at + 1);
    return value == std::string_view::npos ? std::string_view() : text_.substr(value);
  }

  std::string_view quoted(const std::string& key) const {
    const std::string_view value = after(key);
    const std::size_t end = value.empty() ? std::string_view::npos : value.find('\'', 1);
    if (value.empty() || value[0] != '\'' || end == std::string_view::npos) fail(10, "'" + key + "' is not a string");
    return value.substr(1, end - 1);
  }

  DType type(std::string_view text) const {
    for (const TypeName& t : type_names) {
      if (text == t.text || (text.size() == 3 && text.substr(1) == std::string_view(t.text).substr(1) &&
                             (text[0] == '=' || text[0] == '|')))
        return t.type;
    }
    fail(10, fmt::format("element type '{}' is not supported", text));
  }

  Shape shape(std::string_view value) const {
    if (value.empty() || value[0] != '(') fail(10, "shape is not a tuple");
    Shape dims;
    std::size_t i = 1;
    while (i < value.size() && value[i] != ')') {
      if (value[i] == ' ' || value[i] == ',') {
        ++i;
        continue;
      }
      std::int64_t dim = 0;
      std::size_t digits = 0;
      for (; i < value.size() && value[i] >= '0' && value[i] <= '9'; ++i, ++digits) {
        if (digits >= 18) fail(10, "a dimension is too large");
        dim = dim * 10 + (value[i] - '0');
      }
      if (digits == 0 || dims.size() >= 32) fail(10, "shape is not a tuple of numbers");
      dims.push_back(dim);
    }
    if (i >= value.size()) fail(10, "shape has no end");
    return dims;
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::string_view text_;
};

/// Column-major values to row-major.
void reorder(const std::byte* in, std::byte* out, const Shape& shape, std::size_t item) {
  std::vector<std::int64_t> index(shape.size(), 0), stride(shape.size(), 1);
  for (std::size_t d = 1; d < shape.size(); ++d) stride[d] = stride[d - 1] * shape[d - 1];
  const std::int64_t count = checked_count(shape).value_or(0);
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t from = 0;
    for (std::size_t d = 0; d < shape.size(); ++d) from += index[d] * stride[d];
    std::memcpy(out + static_cast<std::size_t>(i) * item, in + static_cast<std::size_t>(from) * item, item);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
}

}  // namespace

Tensor load_npy_bytes(std::span<const std::byte> bytes, const std::string& name) {
  Parser parser(bytes, name);
  const Header h = parser.header();
  const auto count = checked_count(h.shape);
  const std::size_t have = bytes.size() - h.data, item = size_of(h.type);
  if (!count || static_cast<std::size_t>(*count) > have / item || static_cast<std::size_t>(*count) * item != have) {
    parser.fail(h.data, fmt::format("shape {} of {} needs {} values, the file has {} bytes of them", to_string(h.shape),
                                    name_of(h.type), count ? std::to_string(*count) : "too many", have));
  }
  Tensor tensor(h.type, h.shape);
  if (have == 0) return tensor;
  if (h.fortran && h.shape.size() > 1)
    reorder(bytes.data() + h.data, tensor.mutable_data(), h.shape, item);
  else
    std::memcpy(tensor.mutable_data(), bytes.data() + h.data, have);
  if (h.type == DType::boolean) {
    for (std::uint8_t& v : std::span(tensor.mutable_as<std::uint8_t>(), have)) v = v != 0 ? 1 : 0;
  }
  return tensor;
}

Tensor load_npy(const std::filesystem::path& file) {
  std::vector<std::byte> bytes;
  throw_if_error(try_read_file(file, std::size_t{8} << 30, bytes));
  return load_npy_bytes(bytes, file.string());
}

void save_npy(const Tensor& tensor, const std::filesystem::path& file) {
  const char* type = nullptr;
  for (const TypeName& t : type_names) {
    if (t.type == tensor.dtype()) type = t.text;
  }
  if (type == nullptr) throw Error(std::string("NPY has no element type ") + name_of(tensor.dtype()), file.string());
  std::string shape = "(";
  for (const std::int64_t d : tensor.shape()) shape += std::to_string(d) + ",";
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}), }}", type, shape);
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes(magic);
  bytes += '\x01';
  bytes += '\x00';
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(tensor.data()), tensor.bytes());
  write_file_atomically(file, std::string_view(bytes));
}

}  // namespace nnq
