#include "recipe/float_model.h"

#include <fstream>
#include <string>

#include "nnq/error.h"
#include "nnq/onnx.h"

namespace nnq::recipe {

Graph import_float_model(const std::filesystem::path& file) {
  std::string magic(4, '\0');
  std::ifstream(file, std::ios::binary).read(magic.data(), 4);
  if (magic == "NNQ1")
    throw Error("is a packed model already: its weights are codes, and what they were made from is not in it",
                file.string(), "start from the .onnx it was made from");
  return import_onnx(file);
}

}  // namespace nnq::recipe
