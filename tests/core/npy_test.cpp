#include "core/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

namespace nnq {
namespace {

std::vector<std::byte> npy(const std::string& header, const std::string& data, char version = 1) {
  std::string s = "\x93NUMPY";
  s += version;
  s += '\0';
  s += static_cast<char>(header.size() & 0xff);
  s += static_cast<char>(header.size() >> 8);
  if (version > 1) s += std::string(2, '\0');
  s += header + data;
  const auto* p = reinterpret_cast<const std::byte*>(s.data());
  return {p, p + s.size()};
}

TEST(Npy, WrittenIsReadBack) {
  const std::vector<Tensor> tensors = {Tensor::of<float>({2, 3}, std::vector<float>{1, 2, 3, -4, 5, 6.5f}),
                                       Tensor::of<std::int64_t>({2}, std::vector<std::int64_t>{-1, 1LL << 40}),
                                       Tensor::scalar<double>(2.5),
                                       Tensor(DType::f16, {3}),
                                       Tensor(DType::u8, {0, 4}),
                                       Tensor::of<std::uint8_t>({1, 2, 2}, std::vector<std::uint8_t>{1, 2, 3, 255})};
  for (const Tensor& tensor : tensors) {
    std::vector<std::byte> bytes;
    ASSERT_TRUE(format_npy(tensor, bytes).ok());
    EXPECT_EQ((bytes.size() - tensor.bytes()) % 64, 0u) << "values are aligned as NumPy aligns them";
    Tensor back;
    const Status status = parse_npy(bytes, back);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(back, tensor);
  }
}

TEST(Npy, FortranOrderVersionsAndBooleans) {
  Tensor t;
  const std::string columns("\1\4\2\5\3\6", 6);
  for (const char version : {'\1', '\2', '\3'}) {
    const auto bytes = npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", columns, version);
    ASSERT_TRUE(parse_npy(bytes, t).ok());
    EXPECT_EQ(t, Tensor::of<std::uint8_t>({2, 3}, std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6}));
  }
  ASSERT_TRUE(
      parse_npy(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", std::string("\0\2\1", 3)), t).ok());
  EXPECT_EQ(t.dtype(), DType::boolean);
  EXPECT_EQ(t.as<std::uint8_t>()[1], 1);
}

TEST(Npy, DamagedFilesNameTheOffset) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
  const std::string data(8, '\0');
  const std::vector<std::vector<std::byte>> bad = {
      {},
      npy(good, std::string(7, '\0')),
      npy(good, std::string(9, '\0')),
      npy(good, data, '\x09'),
      npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", data),
      npy("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }", data),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", data),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,", data),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", data),
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", data),
      npy("{'descr': '<f4', 'fortran_order': False}", data),
      npy("{'descr", data)};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    Tensor t;
    const Status status = parse_npy(bad[i], t);
    EXPECT_EQ(status.code(), StatusCode::bad_file) << i;
    EXPECT_NE(status.message().find("offset"), std::string::npos) << i << ": " << status.message();
  }
  const std::vector<std::byte> whole = npy(good, data);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Tensor t;
    EXPECT_FALSE(parse_npy(std::span(whole).first(length), t).ok()) << length;
  }
}

TEST(Npy, FilesAndTypesItDoesNotHave) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "npy_test.npy";
  const Tensor tensor = Tensor::of<float>({2}, std::vector<float>{1, 2});
  ASSERT_TRUE(try_save_npy(tensor, file).ok());
  Tensor back;
  ASSERT_TRUE(try_load_npy(file, back).ok());
  EXPECT_EQ(back, tensor);
  std::filesystem::remove(file);
  const Status missing = try_load_npy(file, back);
  EXPECT_NE(missing.message().find(file.string()), std::string::npos);
  EXPECT_EQ(try_save_npy(Tensor(DType::bf16, {1}), file).code(), StatusCode::unsupported);
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace nnq
