#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::refusal;
using Corpora = test::FolderTest;
using Tokens = std::vector<std::int32_t>;
using Words = std::vector<std::string>;

TEST_F(Corpora, WordsInOrderOfFirstAppearanceWithEndOfSentence) {
  const Corpus corpus = load_corpus(write("t", " the cat\tsaw  the dog \r\n\nthe end"), false);
  EXPECT_EQ(corpus.vocabulary, (Words{"the", "cat", "saw", "dog", "<eos>", "end"}));
  EXPECT_EQ(corpus.tokens, (Tokens{0, 1, 2, 0, 3, 4, 4, 0, 5, 4}));
}

TEST_F(Corpora, ALastLineBreakEndsNoFurtherSentence) {
  EXPECT_EQ(load_corpus(write("t", "a\nb\n"), false).tokens, (Tokens{0, 1, 2, 1}));
  EXPECT_EQ(load_corpus(write("t", "a\nb"), false).tokens, (Tokens{0, 1, 2, 1}));
}

TEST_F(Corpora, CharactersAreWholeUtf8Sequences) {
  const Corpus corpus = load_corpus(write("t", "aé€😀a\n"), true);
  EXPECT_EQ(corpus.vocabulary, (Words{"a", "é", "€", "😀", "\n"}));
  EXPECT_EQ(corpus.tokens, (Tokens{0, 1, 2, 3, 0, 4}));
}

TEST_F(Corpora, BytesThatBeginNoCharacterStandAlone) {
  EXPECT_EQ(load_corpus(write("t",
                              "a\x80\xff"
                              "b\xe2"),
                        true)
                .vocabulary,
            (Words{"a", "\x80", "\xff", "b", "\xe2"}));
}

TEST_F(Corpora, UnknownWordsMapToUnk) {
  const Words vocabulary = {"<eos>", "cat", "<unk>"};
  const Corpus corpus = load_corpus(write("t", "cat dog cat\n"), false, vocabulary);
  EXPECT_EQ(corpus.tokens, (Tokens{1, 2, 1, 0}));
  EXPECT_EQ(corpus.vocabulary, vocabulary) << "a given vocabulary does not grow";
  const std::string said = refusal([&] { (void)load_corpus(folder / "t", false, {"<eos>", "cat"}); });
  EXPECT_TRUE(holds(said, (folder / "t").string() + ": token 1 ('dog') is not in the vocabulary, which has no <unk>"));
}

TEST_F(Corpora, EmptyAndMissingFilesAreNamed) {
  EXPECT_TRUE(holds(refusal([&] { (void)load_corpus(write("t", ""), false); }), "t: holds no text"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_corpus(folder / "none", true); }), "none"));
}

}  // namespace
}  // namespace nnq
