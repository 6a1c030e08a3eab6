#include "nnq/status.h"

#include <gtest/gtest.h>

#include <limits>

#include "nnq/error.h"

namespace nnq {
namespace {

TEST(Status, DefaultIsOkAndOthersCarryTheirCode) {
  EXPECT_TRUE(Status().ok());
  EXPECT_TRUE(static_cast<bool>(Status()));
  EXPECT_TRUE(Status().message().empty());
  EXPECT_EQ(Status::invalid("a").code(), StatusCode::invalid_argument);
  EXPECT_EQ(Status::bad_file("b").code(), StatusCode::bad_file);
  EXPECT_EQ(Status::unsupported("c").code(), StatusCode::unsupported);
  EXPECT_FALSE(Status::bad_file("b").ok());
  EXPECT_EQ(Status::bad_file("b").message(), "b");
}

TEST(Status, TextJoinsStringsAndNumbersOfEveryWidth) {
  const std::string name = "conv1";
  EXPECT_EQ(text(), "");
  EXPECT_EQ(text("node ", name, std::string_view(": "), -3, " of ", 4u), "node conv1: -3 of 4");
  EXPECT_EQ(text(std::numeric_limits<std::int64_t>::min(), " ", std::numeric_limits<std::uint64_t>::max()),
            "-9223372036854775808 18446744073709551615");
  EXPECT_EQ(text(static_cast<std::uint8_t>(200), " ", static_cast<std::int8_t>(-100)), "200 -100");
  EXPECT_EQ(text(0.5), "0.500000");
}

Status positive(int v) {
  NNQ_REQUIRE(v > 0, "expected a positive number, got ", v);
  return {};
}
Status both(int a, int b, int& reached) {
  NNQ_TRY(positive(a));
  ++reached;
  NNQ_TRY(positive(b));
  ++reached;
  return {};
}

TEST(Status, RequireAndTryReturnTheFirstFailure) {
  int reached = 0;
  EXPECT_TRUE(both(1, 2, reached).ok());
  EXPECT_EQ(reached, 2);
  reached = 0;
  const Status status = both(1, -2, reached);
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_EQ(status.message(), "expected a positive number, got -2");
}

TEST(Error, SaysWhereWhatAndWhatToDo) {
  const Error error("is damaged", "model.nnq: offset 12", "write it again");
  EXPECT_STREQ(error.what(), "model.nnq: offset 12: is damaged (write it again)");
  EXPECT_FALSE(error.fault());
  EXPECT_STREQ(Error("plain").what(), "plain");
  EXPECT_EQ(Error("m", "node 'a'").inside("net.onnx").where(), "net.onnx: node 'a'");
  EXPECT_EQ(Error("m").inside("net.onnx").where(), "net.onnx");
}

TEST(Error, StatusBecomesErrorAndOnlyInternalIsAFault) {
  EXPECT_NO_THROW(throw_if_error(Status()));
  try {
    throw_if_error(Status::bad_file("short"), "a.idx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a.idx: short");
    EXPECT_FALSE(error.fault());
  }
  try {
    throw_if_error(Status(StatusCode::internal, "ours"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_TRUE(error.fault());
  }
}

TEST(Error, CheckBuildsItsMessageOnlyOnFailure) {
  int built = 0;
  const auto message = [&] {
    ++built;
    return std::string("wrong");
  };
  NNQ_CHECK(1 + 1 == 2, message(), "here");
  EXPECT_EQ(built, 0);
  EXPECT_THROW(NNQ_CHECK(1 + 1 == 3, message(), "here"), Error);
  EXPECT_EQ(built, 1);
}

}  // namespace
}  // namespace nnq
