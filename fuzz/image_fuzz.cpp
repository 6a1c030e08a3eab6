// PNG and JPEG files: any bytes are a picture of the size it says, or an nnq::Error.
#include <cstdlib>

#include "data/image.h"
#include "nnq/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A header that claims many pixels is legal and slow; it is at byte 16 of a PNG.
  if (size > 24 && data[1] == 'P' &&
      (data[16] != 0 || data[17] != 0 || data[18] > 1 || data[20] != 0 || data[21] != 0 || data[22] > 1))
    return 0;
  try {
    const nnq::data::Pixels image = nnq::data::decode_image(std::as_bytes(std::span(data, size)), "fuzz.png");
    const auto pixels = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
    if (pixels == 0 || image.chw.size() != pixels * static_cast<std::size_t>(image.channels)) std::abort();
  } catch (const nnq::Error&) {
  }
  return 0;
}
