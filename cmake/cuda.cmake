# SPDX-License-Identifier: BSD-3-Clause
#
# fastnn._cuda, where FASTNN_CUDA_MODE is AUTO or ON.
#
# The module is a project of its own (cuda/CMakeLists.txt), configured and built by cuda/build.cmake as one step of
# this build. So whatever goes wrong with CUDA (a toolkit that CMake cannot use, a source that does not compile, a link
# error) is the failure of one step. With AUTO the step then keeps the log, writes its first line and its end to
# _cuda_missing.txt in the package, and succeeds: fastnn._cpu is built as ever. With ON it fails.
#
# Where there is no toolkit, or one older than 12, AUTO is OFF and ON is an error, here and at once.
include(CheckLanguage)

function(fastnn_cuda_unavailable reason)
  if(FASTNN_CUDA_MODE STREQUAL "ON")
    message(FATAL_ERROR "fastnn: FASTNN_CUDA=ON, but ${reason}")
  endif()
  message(STATUS "fastnn: no fastnn._cuda: ${reason}")
endfunction()

function(fastnn_add_cuda)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    fastnn_cuda_unavailable("no working nvcc was found (set CUDACXX to its path)")
    return()
  endif()
  execute_process(
    COMMAND "${CMAKE_CUDA_COMPILER}" --version
    OUTPUT_VARIABLE version_text
    ERROR_QUIET)
  if(NOT version_text MATCHES "release ([0-9]+\\.[0-9]+)")
    fastnn_cuda_unavailable("${CMAKE_CUDA_COMPILER} does not tell its version as nvcc does")
    return()
  endif()
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_LESS 12.0)
    fastnn_cuda_unavailable("CUDA ${version} is too old, 12.0 is the oldest that works")
    return()
  endif()

  # Machine code for each generation, and PTX of the newest for those to come. sm_100 and sm_120 came with CUDA 12.8.
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    if(version VERSION_LESS 12.8)
      set(CMAKE_CUDA_ARCHITECTURES "75-real;80-real;86-real;89-real;90")
    else()
      set(CMAKE_CUDA_ARCHITECTURES "75-real;80-real;86-real;89-real;90-real;100-real;120")
    endif()
  endif()

  set(build_dir "${CMAKE_BINARY_DIR}/cuda")
  set(output_dir "${CMAKE_BINARY_DIR}/cuda-package")
  # Through an initial cache, not the command line: lists stay whole.
  set(settings "")
  foreach(
    name IN
    ITEMS CMAKE_BUILD_TYPE
          CMAKE_CXX_COMPILER
          CMAKE_CUDA_COMPILER
          CMAKE_CUDA_HOST_COMPILER
          CMAKE_CUDA_ARCHITECTURES
          CMAKE_CUDA_FLAGS
          CMAKE_MAKE_PROGRAM
          CMAKE_TOOLCHAIN_FILE
          FASTNN_WERROR
          Python_EXECUTABLE
          Python_INCLUDE_DIR
          pybind11_DIR)
    if(NOT "${${name}}" STREQUAL "")
      string(APPEND settings "set(${name} [==[${${name}}]==] CACHE STRING \"\" FORCE)\n")
    endif()
  endforeach()
  string(APPEND settings "set(FASTNN_OUTPUT_DIR [==[${output_dir}]==] CACHE PATH \"\" FORCE)\n")
  file(WRITE "${build_dir}.settings.new" "${settings}")
  configure_file("${build_dir}.settings.new" "${build_dir}.settings.cmake" COPYONLY)

  add_custom_target(
    fastnn_cuda ALL
    COMMAND
      "${CMAKE_COMMAND}" -D "MODE=${FASTNN_CUDA_MODE}" -D "SOURCE_DIR=${FASTNN_SOURCE_DIR}/cuda" -D
      "BUILD_DIR=${build_dir}" -D "OUTPUT_DIR=${output_dir}" -D
      "SETTINGS=${build_dir}.settings.cmake" -D "GENERATOR=${CMAKE_GENERATOR}" -P
      "${FASTNN_SOURCE_DIR}/cuda/build.cmake"
    COMMENT "Building fastnn._cuda with CUDA ${version} (FASTNN_CUDA=${FASTNN_CUDA_MODE})"
    VERBATIM)
  install(
    DIRECTORY "${output_dir}/"
    DESTINATION fastnn
    FILES_MATCHING
    PATTERN "_cuda*")
  message(STATUS "fastnn: fastnn._cuda with CUDA ${version} for ${CMAKE_CUDA_ARCHITECTURES}")
endfunction()

fastnn_add_cuda()
