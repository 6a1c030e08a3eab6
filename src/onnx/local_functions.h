// Model-local functions: foreign ones are inlined on import, nnq's own are written on export.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "nnq/graph.h"
#include "onnx/tensors.h"

namespace nnq::onnx_format {

/// Function bodies by "domain::name".
using FunctionTable = std::map<std::string, const onnx::FunctionProto*>;

/// Expands calls of foreign functions until none is left. Attributes given by reference are filled in; names inside a
/// body get the call's name in front. Throws nnq::Error on recursion and on expansions beyond 100,000 nodes or
/// 256 MiB.
std::vector<onnx::NodeProto> inline_functions(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& nodes,
                                              const FunctionTable& functions);

/// Adds the bodies of the ai.nnq operators in `used` (operator names) to the model, in terms of standard operators of
/// opset `opset`.
void write_functions(const std::set<std::string>& used, std::int64_t opset, onnx::ModelProto& model);

}  // namespace nnq::onnx_format
