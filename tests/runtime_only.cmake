# The tests of a build of the runtime alone (NNQ_RUNTIME_ONLY): the kernels, and layers of every precision against the
# interpreter. Cross-compiled they run under the toolchain's emulator; GoogleTest is then compiled from Debian's sources.
if(CMAKE_CROSSCOMPILING)
  set(googletest /usr/src/googletest/googletest)
  add_library(nnq_gtest STATIC ${googletest}/src/gtest-all.cc ${googletest}/src/gtest_main.cc)
  target_compile_options(nnq_gtest PRIVATE -O0)
  target_include_directories(nnq_gtest SYSTEM PUBLIC ${googletest}/include PRIVATE ${googletest})
  target_link_libraries(nnq_gtest PUBLIC Threads::Threads)
else()
  find_package(GTest REQUIRED)
  add_library(nnq_gtest INTERFACE)
  target_link_libraries(nnq_gtest INTERFACE GTest::gtest GTest::gtest_main)
endif()

set(sanitized 0)
if(NNQ_SANITIZE)
  set(sanitized 1)
endif()

function(nnq_runtime_test name)
  add_executable(${name} ${ARGN})
  target_compile_definitions(${name} PRIVATE NNQ_SANITIZED=${sanitized})
  target_compile_options(${name} PRIVATE ${NNQ_WARNINGS} -O1)
  if(TARGET test_kernels AND NOT name STREQUAL test_kernels)
    target_precompile_headers(${name} REUSE_FROM test_kernels)
  else()
    target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <algorithm> <cstring> <vector>)
  endif()
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE nnq_runtime nnq_gtest)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()

file(GLOB kernel_tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/kernels/*_test.cpp" "${PROJECT_SOURCE_DIR}/src/kernels/*/*_test.cpp")
nnq_runtime_test(test_kernels ${kernel_tests})
nnq_runtime_test(test_runtime runtime/layer_geometry_test.cpp runtime/real_planes_test.cpp runtime/winograd_layer_test.cpp)
if(CMAKE_CROSSCOMPILING AND CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
  # A CPU without the dot product: its rows are skipped, and nothing may need it.
  add_test(NAME test_kernels_cortex_a53
           COMMAND ${CMAKE_CROSSCOMPILING_EMULATOR} -cpu cortex-a53 $<TARGET_FILE:test_kernels> --gtest_brief=1)
  set_tests_properties(test_kernels_cortex_a53 PROPERTIES TIMEOUT 900 PASS_REGULAR_EXPRESSION "the CPU lacks neon_dot"
                       FAIL_REGULAR_EXPRESSION "FAILED")
endif()
