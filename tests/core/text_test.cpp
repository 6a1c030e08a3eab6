#include "core/text.h"

#include <gtest/gtest.h>

namespace nnq {
namespace {

TEST(Text, EditDistance) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("flaw", "lawn"), 2u);
  EXPECT_EQ(edit_distance("resnet20", "resnet20"), 0u);
  EXPECT_EQ(edit_distance("ab", "ba"), 2u);
}

TEST(Text, NearestAndSuggestion) {
  const std::vector<std::string> names = {"cifar10", "cifar100", "fashion_mnist", "mnist"};
  EXPECT_EQ(nearest("cifar-10", names), "cifar10");
  EXPECT_EQ(nearest("fashion-mnist", names), "fashion_mnist");
  EXPECT_EQ(nearest("minst", names), "mnist");
  EXPECT_EQ(nearest("imagenet_1k_validation", names), "");
  EXPECT_EQ(nearest("x", {}), "");
  EXPECT_EQ(suggestion("minst", names), "did you mean 'mnist'?");
  EXPECT_EQ(suggestion("imagenet_1k_validation", names), "known: cifar10, cifar100, fashion_mnist, mnist");
}

TEST(Text, Glob) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("", "a"));
  EXPECT_TRUE(glob_match("layer*.conv?", "layer1.0.conv2"));
  EXPECT_FALSE(glob_match("layer*.conv?", "layer1.0.conv"));
  EXPECT_FALSE(glob_match("layer*.conv?", "layer1.0.conv12"));
  EXPECT_TRUE(glob_match("*a*b*c", "xxaxxbxxbc"));
  EXPECT_FALSE(glob_match("*a*b*c", "xxaxxcxxb"));
  EXPECT_TRUE(glob_match("fc[123]", "fc2"));
  EXPECT_FALSE(glob_match("fc[123]", "fc4"));
  EXPECT_FALSE(glob_match("fc[123", "fc1"));
  EXPECT_TRUE(glob_match("*[12].bn", "layer1.2.bn"));
  EXPECT_TRUE(glob_match("/model/layers.[[]0]", "/model/layers.[0]"));  // a set that holds the bracket itself
  EXPECT_TRUE(glob_match("?", "*"));
}

TEST(Text, GlobWithManyStarsEndsSoon) {
  const std::string name(2000, 'a');
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "*a";
  EXPECT_TRUE(glob_match(pattern, name));
  EXPECT_FALSE(glob_match(pattern + "b", name));
}

TEST(Text, WordsForAShell) {
  EXPECT_EQ(shell_word("runs/w4a4-1/model.nnq"), "runs/w4a4-1/model.nnq");
  EXPECT_EQ(shell_word("réseau.nnq"), "réseau.nnq");
  EXPECT_EQ(shell_word("out dir/m.nnq"), "'out dir/m.nnq'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Text, FractionsAreNumbers) {
  EXPECT_EQ(parse_fraction("8/255"), 8.0 / 255);
  EXPECT_EQ(parse_fraction("0.03"), 0.03);
  EXPECT_EQ(parse_fraction("-1e-3"), -1e-3);
  for (const char* text : {"", "/", "8/", "/255", "8/0", "8/255/2", "8 /255", "nan", "inf", "1x", "0x1p3", "1e999"})
    EXPECT_FALSE(parse_fraction(text).has_value()) << text;
}

}  // namespace
}  // namespace nnq
