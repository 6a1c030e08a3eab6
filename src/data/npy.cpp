// NPY files for the side that throws; core/npy.cpp reads and writes them.
#include "core/npy.h"

#include "nnq/dataset.h"
#include "nnq/error.h"

namespace nnq {

Tensor load_npy_bytes(std::span<const std::byte> bytes, const std::string& name) {
  Tensor tensor;
  throw_if_error(parse_npy(bytes, tensor), name);
  return tensor;
}

Tensor load_npy(const std::filesystem::path& file) {
  Tensor tensor;
  const Status status = try_load_npy(file, tensor);
  // The status names the file in front: an error has a place for it.
  if (const std::string name = file.string() + ": "; !name.starts_with(":") && status.message().starts_with(name))
    throw Error(status.message().substr(name.size()), file.string());
  throw_if_error(status);
  return tensor;
}

void save_npy(const Tensor& tensor, const std::filesystem::path& file) { throw_if_error(try_save_npy(tensor, file)); }

}  // namespace nnq
