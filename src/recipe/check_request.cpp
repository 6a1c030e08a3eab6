#include "recipe/check_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/atomic_file.h"
#include "nnq/error.h"
#include "recipe/check_quantizer.h"

namespace nnq::recipe {
namespace {

namespace fs = std::filesystem;

void check_values(const std::vector<float>& values, const char* option, bool above_zero) {
  for (const float value : values) {
    if (!std::isfinite(value)) throw Error(fmt::format("{} is not a finite number", value), option);
    if (above_zero && !(value > 0)) throw Error(fmt::format("must be above 0, not {}", value), option);
  }
}

/// The role that the options give the method; what keeps 8 bits or becomes signs is not the method's.
void check_method(const CompressRequest& request, const char* role, int bits) {
  if (const std::optional<QuantizerFault> fault = find_fault({request.method, bits, {}}, role))
    throw Error(fault->error.message(), "--method " + request.method, fault->error.hint());
}

std::optional<std::size_t> channels_of(const Graph& model) {
  if (model.inputs.empty()) return std::nullopt;
  const ValueType& type = model.inputs[0].type;
  if (!type.ranked || type.shape.size() < 2 || !type.shape[1].known()) return std::nullopt;
  return static_cast<std::size_t>(type.shape[1].value);
}

}  // namespace

fs::path run_folder(const std::optional<fs::path>& given) {
  if (given && given->empty()) throw Error("is empty", "--run", "name a folder, or leave it out");
  return given.value_or(fs::path());
}

void check_options(const CompressRequest& request) {
  if (!(request.max_drop >= 0 && request.max_drop <= 100))
    throw Error(fmt::format("must be 0 to 100 points, not {}", request.max_drop), "--max-drop");
  if (request.epochs && (*request.epochs < 0 || *request.epochs > 100000))
    throw Error(fmt::format("must be 0 to 100000, not {}", *request.epochs), "--epochs",
                "0: post-training only; left out: by the bits");
  check_values(request.mean, "--mean", false);
  check_values(request.std, "--std", true);
  run_folder(request.run_directory);
  if (request.output) throw_if_error(check_output(*request.output, {request.model, request.recipe}, ".nnq"));
  if (!request.recipe.empty()) return;  // says the method itself
  NNQ_CHECK(!request.data.empty(), "--data is missing", {},
            "calibration and the test need a data set; `nnq data` lists them");
  check_method(request, "weights", request.weights);
  // Uniform activations of one bit become signs (method bnn).
  check_method(request, "activations", request.activations);
}

void check_normalisation(const CompressRequest& request, const Graph& model) {
  const std::optional<std::size_t> channels = channels_of(model);
  const std::size_t means = request.mean.size(), stds = request.std.size();
  const auto check = [&](std::size_t count, const char* option) {
    if (count > 1 && channels && count != *channels)
      throw Error(
          fmt::format("has {} values, the model's input {} channel{}", count, *channels, *channels == 1 ? "" : "s"),
          option, "give one value, or one a channel");
  };
  check(means, "--mean");
  check(stds, "--std");
  if (means > 1 && stds > 1 && means != stds)
    throw Error(fmt::format("has {} values, --mean {}", stds, means), "--std", "give one value, or one a channel");
}

}  // namespace nnq::recipe
