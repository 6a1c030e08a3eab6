# Compiler settings and the helpers every room uses. A room is a folder of src/; adding a file to it needs no build edit.
include(GNUInstallDirs)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")   # asserts stay on: they are cheap and say what broke
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)

# Float steps of a program are exactly rounded operation by operation, on every target: no fused multiply-add behind
# our back (docs/program.md).
add_compile_options(-ffp-contract=off)
if(NNQ_SANITIZE)
  add_compile_options(-fsanitize=${NNQ_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NNQ_SANITIZE})
endif()

if(NNQ_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

set(NNQ_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)

# nnq_of_this_architecture(LIST): takes files of other architectures' instruction sets out of a list.
function(nnq_of_this_architecture list)
  set(files "${${list}}")
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(FILTER files EXCLUDE REGEX "_avx(2|512)\\.cpp$")
  endif()
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    list(FILTER files EXCLUDE REGEX "_neon(_dot)?\\.cpp$")
  endif()
  set(${list} "${files}" PARENT_SCOPE)
endfunction()

# nnq_room(NAME): object library nnq_room_NAME of every .cpp under src/NAME. Files named *_main.cpp, *_test.cpp and
# *_bench.cpp are left to other targets. Files named *_avx2.cpp, *_avx512.cpp, *_neon.cpp, *_neon_dot.cpp are compiled
# for that instruction set, on its architecture, and only called after the CPU has been asked.
function(nnq_room name)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp")
  list(FILTER files EXCLUDE REGEX "_(main|test|bench)\\.cpp$")
  nnq_of_this_architecture(files)
  if(NOT files)
    set(files "${PROJECT_SOURCE_DIR}/cmake/empty.cpp")
  endif()
  add_library(nnq_room_${name} OBJECT ${files})
  target_compile_options(nnq_room_${name} PRIVATE ${NNQ_WARNINGS})
  target_include_directories(nnq_room_${name} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>"
    "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>")
  foreach(file IN LISTS files)
    if(file MATCHES "_avx2\\.cpp$")
      set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma;-mpopcnt;-mbmi;-mbmi2;-mtune=znver3")
    elseif(file MATCHES "_avx512\\.cpp$")
      set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS
        "-O3;-mavx2;-mfma;-mpopcnt;-mbmi;-mbmi2;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mavx512vpopcntdq;-mavx512vbmi;-mtune=znver3")
    elseif(file MATCHES "_neon(_dot)?\\.cpp$")
      # Scheduled before registers are given out, 32 of them are not enough: a tenth of the inner loops would be spills.
      set(options "-O3;$<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>")
      if(file MATCHES "_dot\\.cpp$")
        list(APPEND options "-march=armv8.2-a+dotprod")
      endif()
      set_source_files_properties("${file}" PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
  endforeach()
endfunction()

# nnq_unity(TARGET FILES): compiles FILES of a target's files at a time, so that what several of them instantiate (LibTorch,
# JSON, fmt, GoogleTest) is instantiated once. Names in the unnamed namespaces of a room are then shared.
function(nnq_unity target files)
  if(NNQ_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${files})
    # A neighbour's helper is no outer scope of a local name.
    target_compile_options(${target} PRIVATE -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>)
  endif()
endfunction()

# nnq_registry(FOLDER KIND): writes generated/nnq_registry/KIND.inc with NNQ_ROW(stem) for every .cpp directly in
# src/FOLDER, so that a registry lists what the folder holds and a file without its registration is a link error.
function(nnq_registry folder kind)
  file(GLOB files CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp")
  set(rows "")
  foreach(file IN LISTS files)
    cmake_path(GET file STEM stem)
    if(NOT stem STREQUAL "registry" AND NOT stem MATCHES "_(test|bench|main)$")
      string(APPEND rows "NNQ_ROW(${stem})\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/nnq_registry/${kind}.inc" CONTENT "${rows}" @ONLY)
endfunction()
