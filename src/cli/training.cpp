#include "cli/training.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "cli/program_folder.h"
#include "nnq/error.h"

namespace nnq::cli {
namespace {

const TrainApi* load() {
  // Threads of OpenMP spin for milliseconds where they wait; with anything else running on the machine a training of
  // small layers is several times slower. OpenMP reads this when it is loaded, i.e. below.
  setenv("OMP_WAIT_POLICY", "passive", 0);
  const std::filesystem::path bin = program_folder();
  std::string tried;
  for (const std::filesystem::path& candidate :
       {bin / "../lib/libnnq_train.so", bin / "../lib/x86_64-linux-gnu/libnnq_train.so",
        bin / "../lib/aarch64-linux-gnu/libnnq_train.so", bin / "../lib64/libnnq_train.so",
        std::filesystem::path("libnnq_train.so")}) {
    if (candidate.has_parent_path() && !std::filesystem::exists(candidate)) continue;
    // RTLD_GLOBAL: exceptions thrown there are caught here, so type information must be shared.
    void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      if (const char* why = dlerror(); why != nullptr) tried = why;
      continue;
    }
    using Entry = const TrainApi* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "nnq_train_api"));
    if (entry != nullptr) return entry();
  }
  throw Error("the training library libnnq_train.so cannot be loaded" + (tried.empty() ? "" : ": " + tried), {},
              "build nnq with NNQ_TRAIN=ON; verbs that do not train work without it");
}

}  // namespace

const TrainApi& training() {
  static const TrainApi* api = load();
  return *api;
}

}  // namespace nnq::cli
