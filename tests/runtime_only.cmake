# The tests of a build of the runtime alone (NNQ_RUNTIME_ONLY): the kernels, and layers of every precision against the
# interpreter. Cross-compiled they run under the toolchain's emulator; GoogleTest is then compiled from Debian's sources.
if(CMAKE_CROSSCOMPILING)
  set(googletest /usr/src/googletest)
  add_library(nnq_gtest STATIC ${googletest}/googletest/src/gtest-all.cc ${googletest}/googlemock/src/gmock-all.cc
              ${googletest}/googletest/src/gtest_main.cc)
  target_include_directories(nnq_gtest SYSTEM PUBLIC ${googletest}/googletest/include ${googletest}/googlemock/include
                             PRIVATE ${googletest}/googletest ${googletest}/googlemock)
  target_link_libraries(nnq_gtest PUBLIC Threads::Threads)
else()
  find_package(GTest REQUIRED)
  add_library(nnq_gtest INTERFACE)
  target_link_libraries(nnq_gtest INTERFACE GTest::gtest GTest::gmock GTest::gtest_main)
endif()

function(nnq_runtime_test name)
  add_executable(${name} ${ARGN})
  target_compile_options(${name} PRIVATE ${NNQ_WARNINGS} -O1)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${CMAKE_CURRENT_SOURCE_DIR}")
  target_link_libraries(${name} PRIVATE nnq_runtime nnq_gtest)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

file(GLOB kernel_tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/kernels/*_test.cpp" "${PROJECT_SOURCE_DIR}/src/kernels/*/*_test.cpp")
nnq_runtime_test(test_kernels ${kernel_tests})
nnq_runtime_test(test_runtime runtime/layer_geometry_test.cpp runtime/real_planes_test.cpp)
