#include "data/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "nnq/error.h"

namespace {

/// What stb_image allocates while one picture is decoded: bounded, and freed however the decoding ends.
class Memory {
 public:
  Memory() = default;
  ~Memory() {
    for (void* p : live_) std::free(p);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Chunks that claim to be long and data that unpack to more than the picture end at `allowed` bytes.
  void* resize(void* old, std::size_t size) {
    if (size > allowed) return nullptr;
    live_.reserve(live_.size() + 1);
    void* fresh = std::realloc(old, size);
    if (fresh == nullptr) return nullptr;
    std::erase(live_, old);
    live_.push_back(fresh);
    return fresh;
  }
  void release(void* p) {
    std::erase(live_, p);
    std::free(p);
  }

  std::size_t allowed = 0;

 private:
  std::vector<void*> live_;
};

thread_local Memory* memory = nullptr;  // of the picture this thread decodes

struct DecoderAssertion {};

[[noreturn]] void assertion_failed() { throw DecoderAssertion{}; }

}  // namespace

#define STBI_MALLOC(size) memory->resize(nullptr, size)
#define STBI_REALLOC(old, size) memory->resize(old, size)
#define STBI_FREE(p) memory->release(p)
// Damaged files reach some of stb_image's assertions; they must not end the process.
#define STBI_ASSERT(condition) ((condition) ? static_cast<void>(0) : assertion_failed())
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_MAX_DIMENSIONS 16384
#ifdef __clang__
// memcpy of nothing to nowhere, overflowing and shifted coefficients of damaged files: without effect on memory.
#pragma clang attribute push(__attribute__((no_sanitize("nonnull-attribute", "signed-integer-overflow", "shift"))), \
                             apply_to = function)
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop
#ifdef __clang__
#pragma clang attribute pop
#endif

namespace nnq::data {
namespace {

/// Whether a JPEG's Huffman tables all have at most 256 codes. stb_image 2.27 writes beyond its tables otherwise.
/// Behind the leading application segments everything that looks like a table segment is checked: no decoder that reads
/// markers can then find one that was not.
bool huffman_tables_fit(std::span<const std::byte> bytes) {
  const auto at = [&](std::size_t i) { return i < bytes.size() ? std::to_integer<unsigned>(bytes[i]) : 0U; };
  const auto length = [&](std::size_t i) { return static_cast<std::int64_t>(at(i) << 8 | at(i + 1)); };
  std::size_t i = 2;
  while (at(i) == 0xff && ((at(i + 1) >= 0xe0 && at(i + 1) <= 0xef) || at(i + 1) == 0xfe))
    i += 2 + static_cast<std::size_t>(std::max<std::int64_t>(length(i + 2), 2));
  for (; i + 1 < bytes.size(); ++i) {
    if (at(i) != 0xff || at(i + 1) != 0xc4) continue;
    std::int64_t left = length(i + 2) - 2;
    for (std::size_t table = i + 4; left > 0;) {
      unsigned codes = 0;
      for (std::size_t k = 1; k <= 16; ++k) codes += at(table + k);
      if (codes > 256) return false;
      table += 17 + codes;
      left -= 17 + static_cast<std::int64_t>(codes);
    }
  }
  return true;
}

Pixels decode(std::span<const std::byte> bytes, const std::string& name) {
  memory->allowed = 4 * bytes.size() + (std::size_t{4} << 20);
  Pixels image;
  int in_file = 0;
  const auto* raw = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  if (stbi_info_from_memory(raw, size, &image.width, &image.height, &in_file) == 0)
    throw Error("is neither PNG nor JPEG", name);
  if (static_cast<std::int64_t>(image.width) * image.height > 64'000'000)
    throw Error(fmt::format("{} x {} pixels are too many", image.width, image.height), name);
  const auto plane = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  memory->allowed += 20 * plane;  // 8 bytes a pixel in the file at most, and unpacking doubles its memory as it goes
  image.channels = in_file <= 2 ? 1 : 3;
  const stbi_uc* data = stbi_load_from_memory(raw, size, &image.width, &image.height, &in_file, image.channels);
  if (data == nullptr) throw Error(fmt::format("cannot be decoded: {}", stbi_failure_reason()), name);
  const auto channels = static_cast<std::size_t>(image.channels);
  image.chw.resize(plane * channels);
  for (std::size_t p = 0; p < plane; ++p) {
    for (std::size_t c = 0; c < channels; ++c) image.chw[c * plane + p] = data[p * channels + c];
  }
  return image;
}

}  // namespace

Pixels decode_image(std::span<const std::byte> bytes, const std::string& name) {
  if (!bytes.empty() && bytes[0] == std::byte{0xff} && !huffman_tables_fit(bytes))
    throw Error("cannot be decoded: a Huffman table of more than 256 codes", name);
  Memory mine;
  memory = &mine;
  try {
    return decode(bytes, name);
  } catch (const DecoderAssertion&) {
    throw Error("cannot be decoded: corrupt data", name);
  }
}

}  // namespace nnq::data
