#include "nnq/text.h"
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

TEST_F(Corpora, AFileWithoutSplitsIsCut90To5To5) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>('a' + i % 4);
  const std::string spec = "chars:" + write("t", text).string();
  EXPECT_TRUE(is_text(spec));
  const Text train = load_text(spec, Split::train), validation = load_text(spec, Split::validation),
             test = load_text(spec, Split::test);
  EXPECT_EQ(train.tokens.size(), 90U);
  EXPECT_EQ(validation.tokens, (Tokens{2, 3, 0, 1, 2}));
  EXPECT_EQ(test.tokens, (Tokens{3, 0, 1, 2, 3}));
  EXPECT_EQ(test.vocabulary, train.vocabulary);
  EXPECT_EQ(train.hash, test.hash);
  EXPECT_NE(train.hash, 0U);
}

TEST_F(Corpora, AVocabularyKeepsTheMostFrequentWords) {
  std::string text = "a b b c c c <unk> d d d d\n";
  for (int i = 0; i < 3; ++i) text += text;
  const std::string spec = "text:" + write("t", text).string();
  EXPECT_EQ(load_text(spec, Split::train).vocabulary, (Words{"a", "b", "c", "<unk>", "d", "<eos>"}));
  const Text few = load_text(spec, Split::train, 3);
  EXPECT_EQ(few.vocabulary, (Words{"c", "d", "<unk>"}));
  EXPECT_EQ(Tokens(few.tokens.begin(), few.tokens.begin() + 12), (Tokens{2, 2, 2, 0, 0, 0, 2, 1, 1, 1, 1, 2}));
  EXPECT_TRUE(holds(refusal([&] { (void)load_text(spec, Split::train, 7); }),
                    "t: has a vocabulary of 6 tokens, 7 were asked for"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_text(spec, Split::train, 1); }), "ask for 2 to 6"));
}

TEST_F(Corpora, WordsOfOtherSplitsAreUnknown) {
  std::string text;
  for (int i = 0; i < 19; ++i) text += "a ";
  const std::string spec =
      "text:" + write("t", text + "b").string();  // 21 tokens with <eos>; b is validation, <eos> test
  EXPECT_EQ(load_text(spec, Split::train).vocabulary, (Words{"a", "<unk>"}));
  EXPECT_EQ(load_text(spec, Split::validation).tokens, (Tokens{1}));
  EXPECT_EQ(load_text(spec, Split::test).tokens, (Tokens{1}));
}

TEST_F(Corpora, ShortTextsAndUnknownCorporaAreRefused) {
  EXPECT_TRUE(holds(refusal([&] { (void)load_text("chars:" + write("t", "ab").string(), Split::validation); }),
                    "is too short"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_text("no_such_corpus", Split::train); }), "there is no corpus"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_text("mnist", Split::train); }), "there is no corpus 'mnist'"));
  const test::Environment nowhere("NNQ_DATA", folder.c_str()), home("HOME", folder.c_str());
  EXPECT_TRUE(holds(refusal([&] { (void)load_dataset("ptb", Split::train); }), "is text"));
  EXPECT_TRUE(holds(refusal([&] { (void)load_text("ptb", Split::train); }), "looked for"));
  EXPECT_FALSE(is_text("mnist"));
  EXPECT_TRUE(is_text("ptb"));
}

TEST_F(Corpora, RegisteredSplitsShareTheTrainingVocabulary) {
  write("ptb/ptb.train.txt", " a b <unk>\n");
  write("ptb/ptb.valid.txt", " b a\n");
  write("ptb/ptb.test.txt", " c\n");
  const test::Environment here("NNQ_DATA", folder.c_str());
  EXPECT_EQ(load_text("ptb", Split::train).vocabulary, (Words{"a", "b", "<unk>", "<eos>"}));
  EXPECT_EQ(load_text("ptb", Split::validation).tokens, (Tokens{1, 0, 3}));
  EXPECT_EQ(load_text("ptb", Split::test).tokens, (Tokens{2, 3}));
}

TEST_F(Corpora, VocabulariesSurviveAsText) {
  const Words vocabulary = {"the", "\n", "\\", "\\n", " ", "é", "n", ""};
  EXPECT_EQ(vocabulary_from_text(vocabulary_text(vocabulary)), vocabulary);
}

}  // namespace
}  // namespace nnq
