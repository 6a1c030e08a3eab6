// NPY files: any bytes are an array or a status; an array that was read is written and read back the same.
#include <cstdlib>

#include "core/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  nnq::Tensor tensor, again;
  if (!nnq::parse_npy({reinterpret_cast<const std::byte*>(data), size}, tensor).ok()) return 0;
  std::vector<std::byte> bytes;
  if (!nnq::format_npy(tensor, bytes).ok() || !nnq::parse_npy(bytes, again).ok() || !(tensor == again)) std::abort();
  return 0;
}
