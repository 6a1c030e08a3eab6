// IDX files: any bytes are a tensor whose header and data are exactly the file, or an nnq::Error.
#include <cstdlib>
#include <cstring>

#include "data/registry.h"
#include "nnq/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const nnq::Tensor tensor = nnq::data::parse_idx(std::as_bytes(std::span(data, size)), "fuzz.idx");
    const std::size_t header = 4 + 4 * static_cast<std::size_t>(tensor.rank());
    if (header + tensor.bytes() != size || std::memcmp(tensor.data(), data + header, tensor.bytes()) != 0) std::abort();
  } catch (const nnq::Error&) {
  }
  return 0;
}
