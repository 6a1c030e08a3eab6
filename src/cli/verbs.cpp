#include <algorithm>
#include <array>
#include <string_view>

#include "cli/verb.h"

#define NNQ_ROW(id)                      \
  namespace nnq::cli {                   \
  std::unique_ptr<Verb> register_##id(); \
  }
#include "nnq_registry/verbs.inc"
#undef NNQ_ROW

namespace nnq::cli {

std::vector<std::unique_ptr<Verb>> all_verbs() {
  std::vector<std::unique_ptr<Verb>> verbs;
#define NNQ_ROW(id) verbs.push_back(register_##id());
#include "nnq_registry/verbs.inc"
#undef NNQ_ROW
  // The order in which a newcomer meets them; verbs not named here follow alphabetically.
  constexpr std::array<std::string_view, 13> order = {"zoo",       "methods",   "data",    "inspect", "train",
                                                      "compress",  "evaluate",  "compare", "export",  "run",
                                                      "benchmark", "reproduce", "report"};
  const auto rank = [&](const std::unique_ptr<Verb>& verb) {
    return std::find(order.begin(), order.end(), verb->name()) - order.begin();
  };
  std::stable_sort(verbs.begin(), verbs.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return verbs;
}

}  // namespace nnq::cli
