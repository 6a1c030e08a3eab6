#include "core/npy.h"

#include <bit>
#include <cstring>
#include <string>
#include <string_view>

#include "core/atomic_file.h"

namespace nnq {
namespace {

static_assert(std::endian::native == std::endian::little, "NPY is read and written as it lies in memory");

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t max_file_bytes = std::size_t{8} << 30, max_header_bytes = 65536;

struct TypeName {
  const char* text;
  DType type;
};
constexpr TypeName type_names[] = {{"<f4", DType::f32}, {"<f8", DType::f64},     {"|i1", DType::i8},
                                   {"|u1", DType::u8},  {"<i2", DType::i16},     {"<u2", DType::u16},
                                   {"<i4", DType::i32}, {"<u4", DType::u32},     {"<i8", DType::i64},
                                   {"<u8", DType::u64}, {"|b1", DType::boolean}, {"<f2", DType::f16}};

template <class... Args>
Status fault(std::size_t offset, const Args&... what) {
  return Status::bad_file(text("offset ", offset, ": ", what..., " (not a valid NPY file)"));
}

struct Header {
  DType type = DType::f32;
  bool fortran = false;
  Shape shape;
  std::size_t data = 0;  // offset of the values
};

/// Reads the header, a Python dictionary in text: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  explicit HeaderParser(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Status parse(Header& h) {
    NNQ_TRY(find_text(h.data));
    std::string_view descr, order, shape;
    NNQ_TRY(after("descr", descr));
    NNQ_TRY(read_type(descr, h.type));
    NNQ_TRY(after("fortran_order", order));
    if (!order.starts_with("True") && !order.starts_with("False"))
      return fault(start_, "fortran_order must be True or False");
    h.fortran = order.starts_with("True");
    NNQ_TRY(after("shape", shape));
    return read_shape(shape, h.shape);
  }

 private:
  std::size_t byte(std::size_t i) const { return std::to_integer<std::size_t>(bytes_[i]); }

  Status find_text(std::size_t& data) {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    if (!all.starts_with(magic) || all.size() < 10) return fault(0, "expected the magic \\x93NUMPY");
    const std::size_t major = byte(6), field = major == 1 ? 2 : 4;
    if (major < 1 || major > 3) return fault(6, "version ", major, " is not supported");
    start_ = 8 + field;
    if (all.size() < start_) return fault(8, "the file ends inside its header");
    std::size_t length = 0;
    for (std::size_t i = 0; i < field; ++i) length |= byte(8 + i) << (8 * i);
    if (length > all.size() - start_ || length > max_header_bytes)
      return fault(8, "header of ", length, " bytes in a file of ", all.size());
    text_ = all.substr(start_, length);
    data = start_ + length;
    return {};
  }

  /// The header's text behind 'key': with blanks skipped.
  Status after(const char* key, std::string_view& value) const {
    std::size_t at = text_.find(text("'", key, "'"));
    if (at == std::string_view::npos) return fault(start_, "the header has no '", key, "'");
    at = text_.find(':', at);
    if (at == std::string_view::npos) return fault(start_, "the header has no value for '", key, "'");
    const std::size_t begin = text_.find_first_not_of(" \t", at + 1);
    value = begin == std::string_view::npos ? std::string_view() : text_.substr(begin);
    return {};
  }

  Status read_type(std::string_view value, DType& type) const {
    const std::size_t end = value.starts_with('\'') ? value.find('\'', 1) : std::string_view::npos;
    if (end == std::string_view::npos) return fault(start_, "'descr' is not a string");
    const std::string_view name = value.substr(1, end - 1);
    for (const TypeName& t : type_names) {
      const std::string_view known = t.text;
      const bool native = name.size() == 3 && (name[0] == '=' || name[0] == '|') && name.substr(1) == known.substr(1);
      if (name == known || native) {
        type = t.type;
        return {};
      }
    }
    return fault(start_, "element type '", name, "' is not supported");
  }

  Status read_shape(std::string_view value, Shape& dims) const {
    if (!value.starts_with('(')) return fault(start_, "shape is not a tuple");
    std::size_t i = 1;
    while (i < value.size() && value[i] != ')') {
      if (value[i] == ' ' || value[i] == ',') {
        ++i;
        continue;
      }
      std::int64_t dim = 0;
      std::size_t digits = 0;
      for (; i < value.size() && value[i] >= '0' && value[i] <= '9'; ++i, ++digits) {
        if (digits >= 18) return fault(start_, "a dimension is too large");
        dim = dim * 10 + (value[i] - '0');
      }
      if (digits == 0 || dims.size() >= 32) return fault(start_, "shape is not a tuple of numbers");
      dims.push_back(dim);
    }
    return i < value.size() ? Status() : fault(start_, "shape has no end");
  }

  std::span<const std::byte> bytes_;
  std::string_view text_;
  std::size_t start_ = 10;  // of the text
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

Status parse_npy(std::span<const std::byte> bytes, Tensor& tensor) {
  Header h;
  NNQ_TRY(HeaderParser(bytes).parse(h));
  const auto count = checked_count(h.shape);
  const std::size_t have = bytes.size() - h.data, item = size_of(h.type);
  if (!count || static_cast<std::size_t>(*count) > have / item || static_cast<std::size_t>(*count) * item != have) {
    return fault(h.data, "shape ", to_string(h.shape), " of ", name_of(h.type), " needs ",
                 count ? text(*count) : "too many", " values, the file has ", have, " bytes of them");
  }
  tensor = Tensor(h.type, h.shape);
  if (have == 0) return {};
  if (h.fortran && h.shape.size() > 1)
    reorder(bytes.data() + h.data, tensor.mutable_data(), h.shape, item);
  else
    std::memcpy(tensor.mutable_data(), bytes.data() + h.data, have);
  if (h.type == DType::boolean) {
    for (std::uint8_t& v : std::span(tensor.mutable_as<std::uint8_t>(), have)) v = v != 0 ? 1 : 0;
  }
  return {};
}

Status format_npy(const Tensor& tensor, std::vector<std::byte>& bytes) {
  const char* type = nullptr;
  for (const TypeName& t : type_names) {
    if (t.type == tensor.dtype()) type = t.text;
  }
  if (type == nullptr) return Status::unsupported(text("NPY has no element type ", name_of(tensor.dtype())));
  std::string shape = "(";
  for (const std::int64_t d : tensor.shape()) shape += std::to_string(d) + ",";
  std::string header = text("{'descr': '", type, "', 'fortran_order': False, 'shape': ", shape, "), }");
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string front(magic);
  front += {'\x01', '\x00', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  front += header;
  bytes.resize(front.size() + tensor.bytes());
  std::memcpy(bytes.data(), front.data(), front.size());
  if (tensor.bytes() > 0) std::memcpy(bytes.data() + front.size(), tensor.data(), tensor.bytes());
  return {};
}

Status try_load_npy(const std::filesystem::path& file, Tensor& tensor) {
  std::vector<std::byte> bytes;
  NNQ_TRY(try_read_file(file, max_file_bytes, bytes));
  const Status status = parse_npy(bytes, tensor);
  return status.ok() ? status : Status(status.code(), text(file.string(), ": ", status.message()));
}

Status try_save_npy(const Tensor& tensor, const std::filesystem::path& file) {
  std::vector<std::byte> bytes;
  if (const Status status = format_npy(tensor, bytes); !status.ok())
    return {status.code(), text(file.string(), ": ", status.message())};
  return try_write_file_atomically(file, bytes);
}

}  // namespace nnq
