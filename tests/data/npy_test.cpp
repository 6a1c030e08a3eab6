#include <cstring>

#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::refusal;

/// A version 1.0 file with this header text, unpadded.
std::string npy(const std::string& header, const std::string& data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + data;
}
std::string header(const std::string& type, const std::string& shape, const char* fortran = "False") {
  return "{'descr': '" + type + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}
Tensor parse_npy(const std::string& bytes) {
  return load_npy_bytes(std::as_bytes(std::span<const char>(bytes.data(), bytes.size())), "x.npy");
}
std::string said(const std::string& bytes) {
  return refusal([&] { (void)parse_npy(bytes); });
}

using Npy = test::FolderTest;

TEST_F(Npy, EveryTypeAndShapeComesBack) {
  const DType types[] = {DType::f32, DType::f64, DType::f16, DType::i8,  DType::u8,  DType::i16,
                         DType::u16, DType::i32, DType::u32, DType::i64, DType::u64, DType::boolean};
  const Shape shapes[] = {{}, {1}, {7}, {2, 3}, {0, 4}, {2, 3, 4, 5}};
  for (const DType type : types) {
    for (const Shape& shape : shapes) {
      Tensor tensor(type, shape);
      for (std::size_t i = 0; i < tensor.bytes(); ++i)
        tensor.mutable_data()[i] = static_cast<std::byte>(type == DType::boolean ? i % 2 : i * 37 + 1);
      save_npy(tensor, folder / "t.npy");
      ASSERT_EQ(load_npy(folder / "t.npy"), tensor) << name_of(type) << to_string(shape);
    }
  }
  EXPECT_TRUE(holds(refusal([&] { save_npy(Tensor(DType::bf16, {1}), folder / "t.npy"); }), "bfloat16"));
}

TEST_F(Npy, WritesWhatNumPyWrites) {
  save_npy(Tensor::of<float>({2, 1}, {1, 2}), folder / "t.npy");
  std::ifstream in(folder / "t.npy", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ((bytes.size() - 8) % 64, 0u) << "values begin at a multiple of 64";
  EXPECT_EQ(bytes[bytes.size() - 9], '\n');
  EXPECT_TRUE(holds(bytes, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,1,), }"));
}

TEST_F(Npy, ReadsHeadersOfOtherWriters) {
  const std::string two("\1\0\2\0", 4);
  EXPECT_EQ(parse_npy(npy(header("<i2", "(2,)"), two)).to_int64(), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(parse_npy(npy("{'shape':(2,),'fortran_order':False,'descr':'<i2'}", two)).shape(), (Shape{2}));
  EXPECT_EQ(parse_npy(npy(header("=i2", "(1, 2)"), two)).shape(), (Shape{1, 2}));
  EXPECT_EQ(parse_npy(npy(header("|u1", "( 4 , )"), two)).shape(), (Shape{4}));
  EXPECT_EQ(parse_npy(npy(header("|b1", "(4,)"), two)).to_int64(), (std::vector<std::int64_t>{1, 0, 1, 0}));
  const std::string text = header("<i2", "(2,)");
  std::string version2("\x93NUMPY\x02\x00", 8);
  version2 += static_cast<char>(text.size());
  version2 += std::string(3, '\0');
  EXPECT_EQ(parse_npy(version2 + text + two).to_int64(), (std::vector<std::int64_t>{1, 2}));
}

TEST_F(Npy, FortranOrderIsConverted) {
  // [[1, 2, 3], [4, 5, 6]] column by column
  const Tensor t = parse_npy(npy(header("|u1", "(2, 3)", "True"), "\1\4\2\5\3\6"));
  EXPECT_EQ(t.to_int64(), (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}));
  // [2, 2, 2] with value 4i + 2j + k at (i, j, k)
  const Tensor cube = parse_npy(npy(header("|u1", "(2, 2, 2)", "True"), std::string("\0\4\2\6\1\5\3\7", 8)));
  EXPECT_EQ(cube.to_int64(), (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(parse_npy(npy(header("|u1", "(3,)", "True"), "abc")).as<char>()[2], 'c');
}

TEST_F(Npy, EveryTruncationIsRefusedNamingFileAndOffset) {
  const std::string whole = npy(header("<f4", "(2, 3)"), std::string(24, 'x'));
  ASSERT_EQ(said(whole), "");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_TRUE(holds(said(whole.substr(0, size)), "x.npy: offset ")) << size;
  EXPECT_TRUE(holds(said(whole + "!"), "needs 6 values, the file has 25 bytes"));
}

TEST_F(Npy, WhatItCannotReadIsSaid) {
  EXPECT_TRUE(holds(said("PK\3\4 a zip archive (.npz)"), "expected the magic"));
  EXPECT_TRUE(holds(said(npy(header(">f4", "(1,)"), "1234")), "element type '>f4' is not supported"));
  EXPECT_TRUE(holds(said(npy(header("|O", "(1,)"), "1234")), "element type '|O'"));
  EXPECT_TRUE(holds(said(npy(header("<f4", "(-1,)"), "")), "shape is not a tuple"));
  EXPECT_TRUE(holds(said(npy(header("<f4", "4"), "")), "shape is not a tuple"));
  EXPECT_TRUE(holds(said(npy("{'descr': '<f4', 'shape': (1,)}", "1234")), "no 'fortran_order'"));
  EXPECT_TRUE(holds(said(npy("{'descr': '<f4', 'fortran_order': maybe, 'shape': (1,)}", "1234")), "True or False"));
  EXPECT_TRUE(holds(said(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "1234")), "shape has no end"));
  EXPECT_TRUE(holds(said(npy("{'descr', 'fortran_order': False, 'shape': (1,)}", "")), "not a string"));
  std::string version = npy(header("<f4", "(1,)"), "1234");
  version[6] = 9;
  EXPECT_TRUE(holds(said(version), "x.npy: offset 6: version 9 is not supported"));
}

TEST_F(Npy, HugeClaimsAreRefusedWithoutAllocating) {
  EXPECT_TRUE(holds(said(npy(header("<f8", "(1000000000, 1000)"), "12345678")), "needs 1000000000000 values"));
  EXPECT_TRUE(holds(said(npy(header("<f8", "(4294967296, 4294967296)"), "")), "needs too many values"));
  EXPECT_TRUE(holds(said(npy(header("<f8", "(99999999999999999999,)"), "")), "a dimension is too large"));
  std::string long_header("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
  EXPECT_TRUE(holds(said(long_header), "header of 4294967295 bytes in a file of 12"));
}

TEST_F(Npy, AsADataSet) {
  const auto spec = [&] { return "npy:" + (folder / "x.npy").string() + "," + (folder / "y.npy").string(); };
  save_npy(Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6}), folder / "x.npy");
  save_npy(Tensor::of<std::int32_t>({3}, {0, 2, 1}), folder / "y.npy");
  const Samples samples = load_dataset(spec(), Split::train);
  EXPECT_EQ(samples.images.shape(), (Shape{3, 2}));
  EXPECT_EQ(samples.labels.to_int64(), (std::vector<std::int64_t>{0, 2, 1}));
  EXPECT_EQ(samples.classes.size(), 3u);
  const auto refused = [&] { return refusal([&] { (void)load_dataset(spec(), Split::train); }); };
  save_npy(Tensor::of<std::int32_t>({3}, {0, -1, 1}), folder / "y.npy");
  EXPECT_TRUE(holds(refused(), "label -1 is outside"));
  save_npy(Tensor::of<std::uint64_t>({3}, {0, ~0ull, 1}), folder / "y.npy");
  EXPECT_TRUE(holds(refused(), "is outside"));
  save_npy(Tensor::of<std::int32_t>({2}, {0, 1}), folder / "y.npy");
  EXPECT_TRUE(holds(refused(), "images [3, 2] and labels [2] do not belong together"));
  save_npy(Tensor(DType::f16, {3}), folder / "y.npy");
  EXPECT_TRUE(holds(refused(), "labels must be integers"));
  save_npy(Tensor(DType::i64, {3}), folder / "y.npy");
  save_npy(Tensor(DType::f64, {3, 2}), folder / "x.npy");
  EXPECT_TRUE(holds(refused(), "expected uint8 or float32 images, got float64"));
  EXPECT_TRUE(holds(refusal([] { (void)load_dataset("npy:only.npy", Split::train); }), "expected npy:IMAGES.npy,LAB"));
}

}  // namespace
}  // namespace nnq
