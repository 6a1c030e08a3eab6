#include "nnq/encoding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/finite.h"

namespace nnq {
namespace {

/// Beyond it code - zero_point is no longer exact in float32.
constexpr std::int32_t max_zero_point = (1 << 24) - 256;

}  // namespace

std::string to_string(EncodingKind kind) {
  switch (kind) {
    case EncodingKind::uniform:
      return "uniform";
    case EncodingKind::bit_planes:
      return "bit planes";
    case EncodingKind::codebook:
      return "codebook";
  }
  return "?";
}

std::int64_t bucket_groups(std::int64_t count, std::int64_t bucket) {
  return count > bucket ? (count - 1) / bucket + 1 : 1;
}

float bucket_level(float low, float high, float point) {
  const float rest = 1.0F - point;
  const float below = low * rest, above = high * point;
  return below + above;
}

std::int64_t Encoding::group_size() const {
  const auto count = static_cast<std::int64_t>(codes.size());
  if (bucket > 0) return bucket;
  return groups > 0 ? count / groups : 0;
}

Status Encoding::check() const {
  NNQ_REQUIRE(bits >= 1 && bits <= 8, "an encoding has 1 to 8 bits, got ", bits);
  const auto count = checked_count(shape);
  NNQ_REQUIRE(count && static_cast<std::size_t>(*count) == codes.size(), "expected ", count ? *count : -1,
              " codes, got ", codes.size());
  NNQ_REQUIRE(bucket >= 0 && (bucket == 0 || kind == EncodingKind::codebook), "buckets go with a codebook, got ",
              bucket, " weights a bucket of ", nnq::to_string(kind));
  if (bucket > 0) {
    NNQ_REQUIRE(groups == bucket_groups(*count, bucket), "expected ", bucket_groups(*count, bucket),
                " groups for buckets of ", bucket, ", got ", groups);
  } else {
    NNQ_REQUIRE(groups == 1 || (!shape.empty() && groups == shape[0] && groups > 0),
                "groups must be 1 or shape[0], got ", groups);
  }
  for (const std::uint8_t code : codes)
    NNQ_REQUIRE(code < (1 << bits), "code ", static_cast<int>(code), " does not fit ", bits, " bits");
  const auto g = static_cast<std::size_t>(groups);
  switch (kind) {
    case EncodingKind::uniform:
      NNQ_REQUIRE(scale.size() == g && zero_point.size() == g, "expected ", g, " scales and zero points, got ",
                  scale.size(), " and ", zero_point.size());
      NNQ_REQUIRE(all_finite(scale), "a scale is not finite");
      for (const std::int32_t zero : zero_point)
        NNQ_REQUIRE(zero >= -max_zero_point && zero <= max_zero_point, "zero point ", zero, " is outside +-",
                    max_zero_point);
      break;
    case EncodingKind::bit_planes:
      NNQ_REQUIRE(offset.size() == g && plane_scale.size() == g * static_cast<std::size_t>(bits), "expected ", g,
                  " offsets and ", g * static_cast<std::size_t>(bits), " plane scales, got ", offset.size(), " and ",
                  plane_scale.size());
      NNQ_REQUIRE(all_finite(offset) && all_finite(plane_scale), "an offset or plane scale is not finite");
      break;
    case EncodingKind::codebook:
      NNQ_REQUIRE(table.size() == (bucket > 0 ? std::size_t{1} : g) << bits, "expected a table of ",
                  (bucket > 0 ? std::size_t{1} : g) << bits, " values, got ", table.size());
      NNQ_REQUIRE(all_finite(table), "a table value is not finite");
      NNQ_REQUIRE(bucket > 0 ? low.size() == g && high.size() == g : low.empty() && high.empty(), "expected ",
                  bucket > 0 ? g : 0, " lows and highs of buckets, got ", low.size(), " and ", high.size());
      NNQ_REQUIRE(all_finite(low) && all_finite(high), "the low or high of a bucket is not finite");
      break;
  }
  return {};
}

float Encoding::level(std::int64_t group, std::uint8_t code) const {
  const auto g = static_cast<std::size_t>(group);
  switch (kind) {
    case EncodingKind::uniform:
      return scale[g] * static_cast<float>(static_cast<std::int32_t>(code) - zero_point[g]);
    case EncodingKind::bit_planes: {
      float value = offset[g];
      for (int k = 0; k < bits; ++k) {
        if ((code >> k) & 1) value += plane_scale[g * static_cast<std::size_t>(bits) + static_cast<std::size_t>(k)];
      }
      return value;
    }
    case EncodingKind::codebook:
      return bucket > 0 ? bucket_level(low[g], high[g], table[code]) : table[(g << bits) + code];
  }
  return 0;
}

Tensor Encoding::decode() const {
  Tensor values(DType::f32, shape);
  float* out = values.mutable_as<float>();
  const std::int64_t size = group_size(), count = values.count();
  std::vector<float> levels(std::size_t{1} << bits);
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::size_t c = 0; c < levels.size(); ++c) levels[c] = level(g, static_cast<std::uint8_t>(c));
    for (std::int64_t i = g * size; i < std::min(count, (g + 1) * size); ++i)
      out[i] = levels[codes[static_cast<std::size_t>(i)]];
  }
  return values;
}

Encoding::IntegerForm Encoding::integer_form() const {
  IntegerForm form;
  const std::int64_t size = group_size();
  if (kind == EncodingKind::uniform) {
    for (const std::int32_t zero : zero_point) {
      if (zero < -255 || zero > 255) return form;
    }
    form.step = scale;
    form.values.resize(codes.size());
    form.binary = true;
    for (std::int64_t g = 0; g < groups; ++g) {
      for (std::int64_t i = g * size; i < (g + 1) * size; ++i) {
        const int value = codes[static_cast<std::size_t>(i)] - zero_point[static_cast<std::size_t>(g)];
        if (value < -255 || value > 255) return {};
        form.values[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(value);
        form.binary = form.binary && (value == 1 || value == -1);
      }
    }
    form.ok = true;
    return form;
  }
  if (kind != EncodingKind::bit_planes) return form;
  const auto top = static_cast<float>((1 << bits) - 1);
  for (std::size_t g = 0; g < static_cast<std::size_t>(groups); ++g) {
    const float* planes = plane_scale.data() + g * static_cast<std::size_t>(bits);
    const float step = planes[0] / 2;
    if (offset[g] != -(top * step)) return {};
    for (int k = 0; k < bits; ++k)
      if (planes[k] != static_cast<float>(2 << k) * step) return {};
    form.step.push_back(step);
  }
  for (const std::uint8_t code : codes) form.values.push_back(static_cast<std::int16_t>(2 * code - ((1 << bits) - 1)));
  form.binary = bits == 1;
  form.ok = true;
  return form;
}

std::size_t Encoding::packed_bytes() const { return static_cast<std::size_t>(bits) * ((codes.size() + 7) / 8); }

std::vector<std::uint8_t> pack_planes(std::span<const std::uint8_t> codes, int bits) {
  const std::size_t plane_bytes = (codes.size() + 7) / 8;
  std::vector<std::uint8_t> planes(plane_bytes * static_cast<std::size_t>(bits), 0);
  for (int k = 0; k < bits; ++k) {
    std::uint8_t* plane = planes.data() + static_cast<std::size_t>(k) * plane_bytes;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      plane[i / 8] = static_cast<std::uint8_t>(plane[i / 8] | (((codes[i] >> k) & 1) << (i % 8)));
    }
  }
  return planes;
}

namespace {

/// Bit i of the index in byte i, least significant first.
constexpr auto spread_bits = [] {
  std::array<std::array<std::uint8_t, 8>, 256> table{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t i = 0; i < 8; ++i) table[byte][i] = static_cast<std::uint8_t>(byte >> i & 1);
  }
  return table;
}();

}  // namespace

std::vector<std::uint8_t> unpack_planes(std::span<const std::uint8_t> planes, int bits, std::int64_t count) {
  const std::size_t n = count > 0 ? static_cast<std::size_t>(count) : 0, plane_bytes = (n + 7) / 8;
  std::vector<std::uint8_t> codes;
  if (bits < 1 || bits > 8 || planes.size() < plane_bytes * static_cast<std::size_t>(bits)) return codes;
  codes.assign(n, 0);
  // Eight codes at once: a byte of each plane, spread over eight bytes.
  for (std::size_t byte = 0; byte < plane_bytes; ++byte) {
    std::uint64_t eight = 0;
    for (int k = 0; k < bits; ++k) {
      std::uint64_t spread;
      std::memcpy(&spread, spread_bits[planes[static_cast<std::size_t>(k) * plane_bytes + byte]].data(), 8);
      eight |= spread << k;
    }
    std::memcpy(codes.data() + byte * 8, &eight, std::min<std::size_t>(8, n - byte * 8));
  }
  return codes;
}

}  // namespace nnq
