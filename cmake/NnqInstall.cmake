# An installed nnq works outside the source tree; find_package(nnq) gives nnq::runtime (no torch) and nnq::nnq.
install(DIRECTORY include/nnq DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS nnq_runtime EXPORT nnqTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS nnq-run RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(NOT NNQ_RUNTIME_ONLY)
  install(TARGETS nnq_lib EXPORT nnqTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(TARGETS nnq RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(NNQ_TRAIN)
  install(TARGETS nnq_train LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
# models/ beside recipes/: recipes name their float model by a relative path.
if(NOT NNQ_RUNTIME_ONLY)
  install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/nnq)
  install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/nnq OPTIONAL)
endif()
install(EXPORT nnqTargets NAMESPACE nnq:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnq)
include(CMakePackageConfigHelpers)
configure_package_config_file(cmake/nnqConfig.cmake.in "${CMAKE_BINARY_DIR}/nnqConfig.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnq)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/nnqConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/nnqConfig.cmake" "${CMAKE_BINARY_DIR}/nnqConfigVersion.cmake"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/nnq)
