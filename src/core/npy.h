// NumPy's NPY files: one array each. Reads versions 1 to 3 in C and Fortran order, writes version 1.0 in C order.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "nnq/status.h"
#include "nnq/tensor.h"

namespace nnq {

/// The array in `bytes`, which are not trusted; a failure names the offset. Booleans become 0 or 1.
Status parse_npy(std::span<const std::byte> bytes, Tensor& tensor);

/// The file's bytes; unsupported for element types NPY does not have (bfloat16, string).
Status format_npy(const Tensor& tensor, std::vector<std::byte>& bytes);

/// The same on files, at most 8 GiB; failures name the file. Writes atomically.
Status try_load_npy(const std::filesystem::path& file, Tensor& tensor);
Status try_save_npy(const Tensor& tensor, const std::filesystem::path& file);

}  // namespace nnq
