#include "cli/text_comparison.h"

#include <algorithm>
#include <cmath>

#include "core/progress.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

/// What one model says of a text whose state it carries along, a token at a time.
struct Stream {
  std::vector<Tensor> before;  // the state in front of the token
  std::vector<Tensor> state;   // behind it

  Tensor run(const RunPiece& model, const Tensor& token) {
    before = state;
    return model(token, state);
  }
};

std::int64_t best(const Tensor& logits) {
  const float* row = logits.as<float>();
  return std::max_element(row, row + logits.count()) - row;
}

bool same_states(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return x.shape() == y.shape(); });
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (std::int64_t i = 0; i < a.count(); ++i)
    largest =
        std::max(largest, std::abs(static_cast<double>(a.as<float>()[i]) - static_cast<double>(b.as<float>()[i])));
  return largest;
}

/// Sums over the tokens.
struct Sums {
  double loss_a = 0, loss_b = 0, largest = 0;
  std::int64_t free = 0, step = 0;
  bool shared = true;  // the models have states of the same shapes
};

}  // namespace

TextComparison compare_text(const Text& text, std::int64_t limit, const RunPiece& a, const RunPiece& b) {
  const auto all = static_cast<std::int64_t>(text.tokens.size());
  const std::int64_t count = (limit > 0 ? std::min(all, limit) : all) - 1;
  NNQ_CHECK(count >= 1, "a comparison needs at least 2 tokens", text.source);
  const auto vocabulary = static_cast<std::int64_t>(text.vocabulary.size());
  const auto checked = [&](const Tensor& logits) {
    NNQ_CHECK(logits.dtype() == DType::f32 && logits.count() == vocabulary,
              "a model's output is " + to_string(logits.shape()) + " for one token and a vocabulary of " +
                  std::to_string(vocabulary),
              text.source, "the models and the text must have the same vocabulary");
    // a copy: a runtime may use its output memory again
    return Tensor::of<float>(logits.shape(), {logits.as<float>(), static_cast<std::size_t>(logits.count())});
  };
  Stream of_a, of_b;
  Sums sums;
  Progress progress("tokens", count);
  for (std::int64_t i = 0; i < count; ++i) {
    Tensor token(DType::i64, {1, 1});
    token.mutable_as<std::int64_t>()[0] = text.tokens[static_cast<std::size_t>(i)];
    const std::int64_t label = text.tokens[static_cast<std::size_t>(i + 1)];
    const Tensor from_a = checked(of_a.run(a, token)), from_b = checked(of_b.run(b, token));
    sums.loss_a += negative_log_likelihood(from_a.as<float>(), vocabulary, label);
    sums.loss_b += negative_log_likelihood(from_b.as<float>(), vocabulary, label);
    sums.free += best(from_a) == best(from_b) ? 1 : 0;
    sums.shared = sums.shared && same_states(of_a.state, of_b.state);
    Tensor step = from_b;
    if (sums.shared && i > 0) {
      std::vector<Tensor> state = of_a.before;
      step = checked(b(token, state));
    }
    sums.step += best(from_a) == best(step) ? 1 : 0;
    sums.largest = std::max(sums.largest, largest_difference(from_a, step));
    progress.advance(1);
  }
  const auto n = static_cast<double>(count);
  TextComparison result;
  result.a = {std::exp(sums.loss_a / n), count};
  result.b = {std::exp(sums.loss_b / n), count};
  result.free_agreement = 100 * static_cast<double>(sums.free) / n;
  if (sums.shared) result.step_agreement = 100 * static_cast<double>(sums.step) / n;
  result.largest = sums.largest;
  return result;
}

}  // namespace nnq::cli
