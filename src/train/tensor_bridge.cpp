// nnq::Tensor <-> at::Tensor.
#include <cstring>
#include <string>

#include "nnq/error.h"
#include "train/executor.h"

namespace nnq::train {
namespace {

at::ScalarType torch_type(DType type) {
  switch (type) {
    case DType::f32:
      return at::kFloat;
    case DType::f64:
      return at::kDouble;
    case DType::f16:
      return at::kHalf;
    case DType::bf16:
      return at::kBFloat16;
    case DType::i8:
      return at::kChar;
    case DType::u8:
      return at::kByte;
    case DType::i16:
      return at::kShort;
    case DType::i32:
      return at::kInt;
    case DType::i64:
      return at::kLong;
    case DType::boolean:
      return at::kBool;
    default:
      break;
  }
  throw Error(std::string("LibTorch has no tensors of type ") + name_of(type), {}, "cast it to int64 or float32");
}

DType nnq_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::f32;
    case at::kDouble:
      return DType::f64;
    case at::kHalf:
      return DType::f16;
    case at::kBFloat16:
      return DType::bf16;
    case at::kChar:
      return DType::i8;
    case at::kByte:
      return DType::u8;
    case at::kShort:
      return DType::i16;
    case at::kInt:
      return DType::i32;
    case at::kLong:
      return DType::i64;
    case at::kBool:
      return DType::boolean;
    default:
      break;
  }
  throw Error(std::string("tensors of LibTorch type ") + c10::toString(type) + " have no nnq type");
}

}  // namespace

at::Tensor to_torch(const Tensor& tensor) {
  NNQ_CHECK(tensor.defined(), "an undefined tensor cannot go to LibTorch");
  at::Tensor result = at::empty(tensor.shape(), at::TensorOptions(torch_type(tensor.dtype())));
  if (tensor.bytes() > 0) std::memcpy(result.data_ptr(), tensor.data(), tensor.bytes());
  return result;
}

Tensor from_torch(const at::Tensor& tensor) {
  NNQ_CHECK(tensor.defined(), "an undefined LibTorch tensor has no value");
  const at::Tensor dense = tensor.detach().cpu().contiguous();
  Tensor result(nnq_type(dense.scalar_type()), dense.sizes().vec());
  if (result.bytes() > 0) std::memcpy(result.mutable_data(), dense.data_ptr(), result.bytes());
  return result;
}

}  // namespace nnq::train
