// The reference: a tile, a channel, an output at a time. Nothing takes it for its speed.
#include <algorithm>

#include "kernels/winograd/winograd.h"

namespace nnq::portable {
namespace {

/// One of 2 G g (2 G)^T's rows, or columns, from three weights.
void spread(std::int32_t a, std::int32_t b, std::int32_t c, std::int32_t* to, std::int64_t stride) {
  to[0] = 2 * a;
  to[stride] = a + b + c;
  to[2 * stride] = a - b + c;
  to[3 * stride] = 2 * c;
}

/// U of channel c, from the first of the call, of output o of the panel.
void transform_weights(const WinogradCall& call, const WinogradForm& form, std::int64_t c, std::int64_t o,
                       std::int32_t (&u)[16]) {
  const std::int64_t together = form.together;
  const std::uint8_t* const at = call.weights + (c / together * 9 * winograd_panel + o) * together + c % together;
  std::int32_t half[12];  // [4][3]
  for (std::int64_t x = 0; x < 3; ++x) {
    const auto weight = [&](std::int64_t y) {
      return static_cast<std::int8_t>(at[(y * 3 + x) * winograd_panel * together]);
    };
    spread(weight(0), weight(1), weight(2), half + x, 3);
  }
  for (std::int64_t y = 0; y < 4; ++y) spread(half[y * 3], half[y * 3 + 1], half[y * 3 + 2], u + y * 4, 1);
}

/// A^T m A / 4, and starts: a tile's sums of one output.
void put_sums(const WinogradCall& call, std::int64_t tile, std::int64_t o, const std::uint32_t (&m)[16]) {
  std::uint32_t half[2][4];
  for (std::int64_t x = 0; x < 4; ++x) {
    half[0][x] = m[x] + m[4 + x] + m[8 + x];
    half[1][x] = m[4 + x] - m[8 + x] - m[12 + x];
  }
  for (std::int64_t i = 0; i < 2; ++i) {
    std::uint32_t four[2] = {half[i][0] + half[i][1] + half[i][2], half[i][1] - half[i][2] - half[i][3]};
    for (std::int64_t j = 0; j < 2; ++j) {
      if (call.too_much != nullptr)
        four[j] -= static_cast<std::uint32_t>(call.too_much[(i * 2 + j) * call.stride + call.column + o]);
      call.sums[((i * call.tiles + tile) * 2 + j) * call.stride + call.column + o] =
          call.starts[tile * 4 + i * 2 + j][call.column + o] + (static_cast<std::int32_t>(four[j]) >> 2);
    }
  }
}

/// put(p, c, element p of channel c of B^T d B).
template <class Put>
void transform_codes(const std::uint8_t* const* pixels, std::int64_t channels, Put&& put) {
  for (std::int64_t c = 0; c < (channels + 15) / 16 * 16; ++c) {
    std::int32_t half[4][4];
    const auto difference = [](const auto& d, std::int64_t i) {  // row i of B^T
      return i == 0 ? d(0) - d(2) : i == 1 ? d(1) + d(2) : i == 2 ? d(2) - d(1) : d(1) - d(3);
    };
    for (std::int64_t i = 0; i < 4; ++i) {
      for (std::int64_t x = 0; x < 4; ++x)
        half[i][x] =
            difference([&](std::int64_t y) { return c < channels ? std::int32_t{pixels[y * 4 + x][c]} : 0; }, i);
    }
    for (std::int64_t p = 0; p < 16; ++p) put(p, c, difference([&](std::int64_t x) { return half[p / 4][x]; }, p % 4));
  }
}

/// value(bytes of an element p of a tile, c): what the input transform has put there.
template <class Value>
void products(const WinogradCall& call, const WinogradForm& form, Value&& value) {
  const std::int64_t plane = form.plane(call.tiles, call.channels), depth = form.row(call.channels);
  auto* const sums = reinterpret_cast<std::uint32_t(*)[winograd_panel][16]>(call.room);  // [tiles], modulo 2^32
  const std::int64_t from = call.first * form.together,
                     to = std::min(call.channels, (call.first + call.steps) * form.together);
  for (std::int64_t o = 0; o < winograd_panel; ++o) {
    for (std::int64_t t = 0; call.first == 0 && t < call.tiles; ++t) {
      for (std::uint32_t& sum : sums[t][o]) sum = 0;
    }
    for (std::int64_t c = from; c < to; ++c) {
      std::int32_t u[16];
      transform_weights(call, form, c - from, o, u);
      for (std::int64_t t = 0; t < call.tiles; ++t) {
        for (std::int64_t p = 0; p < 16; ++p)
          sums[t][o][p] += static_cast<std::uint32_t>(u[p] * value(call.v + p * plane + t * depth, c));
      }
    }
    for (std::int64_t t = 0; to == call.channels && t < call.tiles; ++t) put_sums(call, t, o, sums[t][o]);
  }
}

}  // namespace

void winograd_input(const std::uint8_t* const* pixels, std::int64_t channels, int, std::byte* v,
                    std::int64_t plane) noexcept {
  transform_codes(pixels, channels, [&](std::int64_t p, std::int64_t c, std::int32_t x) {
    reinterpret_cast<std::int16_t*>(v + p * plane)[c] = static_cast<std::int16_t>(x);
  });
}

void winograd_products(const WinogradCall& call) noexcept {
  products(call, {2}, [](const std::byte* v, std::int64_t c) {
    return std::int32_t{reinterpret_cast<const std::int16_t*>(v)[c]};
  });
}

void winograd_narrow_input(const std::uint8_t* const* pixels, std::int64_t channels, int largest, std::byte* v,
                           std::int64_t plane) noexcept {
  transform_codes(pixels, channels, [&](std::int64_t p, std::int64_t c, std::int32_t x) {
    v[p * plane + c] = static_cast<std::byte>(p == 5 ? x : x + 2 * largest);
  });
}

void winograd_narrow_products(const WinogradCall& call) noexcept {
  products(call, {4}, [](const std::byte* v, std::int64_t c) { return std::to_integer<std::int32_t>(v[c]); });
}

}  // namespace nnq::portable
