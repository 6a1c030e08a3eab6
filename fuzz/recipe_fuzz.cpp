// Any text is a recipe that reads back the same, or an nnq::Error. A line "#set KEY=VALUE" is an override.
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "nnq/error.h"
#include "recipe/check_quantizer.h"
#include "recipe/recipe.h"

namespace nnq::recipe {

/// The methods are behind the wall; without them every quantizer is as good as another.
std::optional<QuantizerFault> find_fault(const QuantizerSpec&, std::string_view) { return std::nullopt; }
std::optional<Error> find_method_fault(const std::string&) { return std::nullopt; }

}  // namespace nnq::recipe

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> overrides;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#set ") && overrides.size() < 4) overrides.push_back(line.substr(5));
  }
  nnq::recipe::Recipe recipe;
  try {
    recipe = nnq::recipe::parse_recipe(text, "fuzz.toml", overrides);
  } catch (const nnq::Error&) {
    return 0;
  }
  // An error here is a fault: what the writer says must be a recipe.
  const std::string canonical = nnq::recipe::to_toml(recipe);
  if (nnq::recipe::to_toml(nnq::recipe::parse_recipe(canonical, "again.toml")) != canonical) std::abort();
  return 0;
}
