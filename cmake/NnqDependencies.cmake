# Libraries from Debian (scripts/packages.txt); why each one: docs/dependencies.md.
find_package(Threads REQUIRED)
find_program(NNQ_FLATC flatc REQUIRED)
if(NNQ_RUNTIME_ONLY)
  return()
endif()
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(Protobuf REQUIRED)

find_library(NNQ_ONNX_LIBRARY onnx REQUIRED)
find_library(NNQ_ONNX_PROTO_LIBRARY onnx_proto REQUIRED)
add_library(nnq_onnx_proto INTERFACE)
target_compile_definitions(nnq_onnx_proto INTERFACE ONNX_ML=1 ONNX_NAMESPACE=onnx)
target_link_libraries(nnq_onnx_proto INTERFACE ${NNQ_ONNX_LIBRARY} ${NNQ_ONNX_PROTO_LIBRARY} protobuf::libprotobuf)

find_library(NNQ_FLATBUFFERS_LIBRARY flatbuffers)

# LibTorch by hand: its CMake package drags in MKL, CUDA and Caffe2 checks that Debian's build does not need.
if(NNQ_TRAIN)
  find_path(NNQ_TORCH_INCLUDE torch/script.h REQUIRED)
  find_library(NNQ_TORCH_LIBRARY torch REQUIRED)
  find_library(NNQ_TORCH_CPU_LIBRARY torch_cpu REQUIRED)
  find_library(NNQ_C10_LIBRARY c10 REQUIRED)
  add_library(nnq_torch INTERFACE)
  target_include_directories(nnq_torch SYSTEM INTERFACE
    "${NNQ_TORCH_INCLUDE}" "${NNQ_TORCH_INCLUDE}/torch/csrc/api/include")
  target_link_libraries(nnq_torch INTERFACE ${NNQ_TORCH_LIBRARY} ${NNQ_TORCH_CPU_LIBRARY} ${NNQ_C10_LIBRARY})
endif()
