// TensorProto <-> Tensor and attribute conversion.
#pragma once

#include <filesystem>
#include <string>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#include <onnx/onnx_pb.h>
#pragma GCC diagnostic pop

#include "nnq/node.h"
#include "nnq/tensor.h"

namespace nnq::onnx_format {

/// Where external data may come from: beside the model file only. Empty folder: no external data (bytes in memory).
struct ExternalData {
  std::filesystem::path folder;
  std::size_t max_bytes = std::size_t{4} << 30;
};

/// Throws nnq::Error with `where` when the declared shape and the bytes really there disagree, before allocating.
Tensor read_tensor(const onnx::TensorProto& proto, const ExternalData& external, const std::string& where);
void write_tensor(const Tensor& tensor, const std::string& name, onnx::TensorProto& proto);

DType read_dtype(int onnx_type, const std::string& where);
int onnx_dtype(DType type);

Attribute read_attribute(const onnx::AttributeProto& proto, const ExternalData& external, const std::string& where);
void write_attribute(const std::string& name, const Attribute& value, onnx::AttributeProto& proto);

}  // namespace nnq::onnx_format
