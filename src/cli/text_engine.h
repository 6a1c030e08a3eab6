// Language models on nnq's own engines: text instead of images, state carried from piece to piece.
#pragma once

#include <cstdint>
#include <string>

#include "cli/models.h"
#include "data/perplexity.h"
#include "nnq/text.h"

namespace nnq::cli {

/// The engine that runs text for `kind`: "auto" and "program" are the packed runtime (an .onnx is lowered),
/// "interpreter" the reference, "graph" the reference for an .onnx and the packed runtime for a .nnq. Throws nnq::Error
/// for others.
std::string text_engine(const std::string& kind, const LoadedModel& model);
/// A language model as a function of tokens and the state before them, which an .onnx without carried state gets.
/// `threads` 0: all cores. Throws nnq::Error naming the file when the model is no language model.
RunPiece text_runner(const std::string& kind, const LoadedModel& model, int threads);
/// Perplexity of a language model over the first `limit` tokens (0: all). `threads` 0: all cores. Throws nnq::Error
/// naming the file when the model is no language model or has another vocabulary.
Perplexity perplexity(const std::string& kind, const LoadedModel& model, const Text& text, std::int64_t limit,
                      int threads);
/// The split of a corpus in the vocabulary of the model, or in its own when the model does not say.
Text text_for(const LoadedModel& model, const std::string& data, Split split);

}  // namespace nnq::cli
