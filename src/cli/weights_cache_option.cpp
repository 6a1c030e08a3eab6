#include "cli/weights_cache_option.h"

#include "nnq/runtime.h"

namespace nnq::cli {

void add_weights_cache(CLI::App& app, std::string& folder) {
  const auto take = [&folder](const std::string& given) {
    if (given.empty())
      throw CLI::ValidationError("--weights-cache", "neither XDG_CACHE_HOME nor HOME is set: name a folder");
    folder = given;
  };
  app.add_option_function<std::string>("--weights-cache", take,
                                       "keep weights as kernels want them in DIR (nnq's cache folder when none is "
                                       "named): later processes map them instead of packing")
      ->type_name("[DIR]")
      ->expected(0, 1)
      ->default_str(cache_folder());
}

}  // namespace nnq::cli
