#include "data/perplexity.h"

#include <cmath>

#include "data/carried_model.h"
#include "support.h"

namespace nnq {
namespace {

using test::holds;
using test::refusal;

Text numbers(std::int64_t count, std::int32_t vocabulary) {
  Text corpus;
  for (std::int64_t i = 0; i < count; ++i)
    corpus.tokens.push_back(static_cast<std::int32_t>((i * i + 3 * i) % vocabulary));
  for (std::int32_t v = 0; v < vocabulary; ++v) corpus.vocabulary.push_back(std::to_string(v));
  corpus.source = "numbers";
  return corpus;
}

TEST(PerplexityOfText, OfAUniformModelIsTheVocabulary) {
  const RunPiece uniform = [](const Tensor& tokens, std::vector<Tensor>&) {
    return Tensor(DType::f32, {tokens.shape()[0], 1, 7});
  };
  const Perplexity measured = measure_perplexity(numbers(1000, 7), 0, "test", uniform);
  EXPECT_NEAR(measured.value, 7, 1e-6);
  EXPECT_EQ(measured.count, 999);
  EXPECT_EQ(measure_perplexity(numbers(1000, 7), 10, "test", uniform).count, 9);
}

TEST(PerplexityOfText, OfAModelThatKnowsIsOne) {
  const Text corpus = numbers(200, 5);
  std::size_t at = 0;
  const RunPiece knows = [&](const Tensor& tokens, std::vector<Tensor>&) {
    Tensor logits(DType::f32, {tokens.shape()[0], 1, 5});
    for (std::int64_t t = 0; t < tokens.shape()[0]; ++t) logits.mutable_as<float>()[t * 5 + corpus.tokens[++at]] = 100;
    return logits;
  };
  EXPECT_NEAR(measure_perplexity(corpus, 0, "test", knows).value, 1, 1e-9);
}

TEST(PerplexityOfText, StateIsHandedFromPieceToPieceAndThePieceDoesNotMatter) {
  const Text corpus = numbers(300, 5);
  // The logits depend on the sum of all tokens so far, which only the state knows.
  const RunPiece sums = [](const Tensor& tokens, std::vector<Tensor>& state) {
    float sum = state.empty() ? 0 : *state[0].as<float>();
    Tensor logits(DType::f32, {tokens.shape()[0], 1, 5});
    for (std::int64_t t = 0; t < tokens.shape()[0]; ++t) {
      sum = std::fmod(sum + static_cast<float>(tokens.as<std::int64_t>()[t]), 5.0F);
      logits.mutable_as<float>()[t * 5 + static_cast<std::int64_t>(sum)] = 2;
    }
    state = {Tensor::of<float>({1}, std::vector<float>{sum})};
    return logits;
  };
  const double value = measure_perplexity(corpus, 0, "test", sums, 64).value;
  EXPECT_EQ(measure_perplexity(corpus, 0, "test", sums, 1).value, value);
  EXPECT_EQ(measure_perplexity(corpus, 0, "test", sums, 1000).value, value);
}

TEST(PerplexityOfText, RefusesWhatMakesNoSense) {
  const auto of = [](std::int64_t tokens, float logit, std::int64_t width) {
    const RunPiece run = [=](const Tensor& piece, std::vector<Tensor>&) {
      Tensor logits(DType::f32, {piece.shape()[0], 1, width});
      for (float& v : logits.mutable_values<float>()) v = logit;
      return logits;
    };
    return refusal([&] { (void)measure_perplexity(numbers(tokens, 5), 0, "test", run); });
  };
  EXPECT_TRUE(holds(of(1, 0, 5), "at least 2 tokens"));
  EXPECT_TRUE(holds(of(9, 0, 6), "vocabulary of 5"));
  EXPECT_TRUE(holds(of(9, std::nanf(""), 5), "not finite"));
  EXPECT_EQ(of(9, 0, 5), "");
}

TEST(PerplexityOfText, LikelihoodsSurviveLargeLogits) {
  const float row[] = {1000, 999, -1000};
  EXPECT_NEAR(negative_log_likelihood(row, 3, 0), std::log1p(std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(negative_log_likelihood(row, 3, 2), 2000 + std::log1p(std::exp(-1.0)), 1e-3);
}

TEST(PerplexityOfText, OnlyLanguageModelsAreCarried) {
  const GraphInput image{"x", {DType::f32, true, {Dim(1), Dim(1)}}};
  const GraphInput tokens{"tokens", {DType::i64, true, {Dim(std::string("T")), Dim(1)}}};
  const GraphInput state{"h", {DType::f32, true, {Dim(1), Dim(1), Dim(3)}}};
  EXPECT_TRUE(holds(refusal([&] { CarriedModel({image}, {"y"}, {}, "m"); }), "is no language model"));
  EXPECT_TRUE(holds(refusal([&] { CarriedModel({tokens, state}, {"y"}, {}, "m"); }), "'h' is no carried state"));
  EXPECT_TRUE(holds(refusal([&] { CarriedModel({tokens, state}, {"y"}, {{"nnq.state.h", "z"}}, "m"); }), "damaged"));
  const CarriedModel good({tokens, state}, {"y", "h2"}, {{"nnq.state.h", "h2"}}, "m");
  EXPECT_EQ(good.inputs(Tensor(DType::i64, {4, 1}), {}).at(1).shape(), (Shape{1, 1, 3}));
}

}  // namespace
}  // namespace nnq
