# SPDX-License-Identifier: BSD-3-Clause
#
# Finds the C++ compiler and refuses all but GCC >= 12 and Clang >= 14: other compilers lack the vector
# extensions that csrc/simd is written in, or have not been tried. The build backend recognises the
# messages that start with "fastnn:", so their wording is part of its interface.
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
enable_language(CXX)

set(minimum_GNU 12)
set(minimum_Clang 14)
if(NOT DEFINED minimum_${CMAKE_CXX_COMPILER_ID}
   OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS minimum_${CMAKE_CXX_COMPILER_ID})
  message(
    FATAL_ERROR
      "fastnn: unsupported compiler ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} "
      "(${CMAKE_CXX_COMPILER}), needs GCC >= 12 or Clang >= 14")
endif()
message(STATUS "fastnn: compiler accepted: ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")

# Clang without GCC's development files compiles C++ that includes nothing, and CMake asks no more.
include(CheckCXXSourceCompiles)
check_cxx_source_compiles(
  "#include <atomic>\n#include <string>\n#include <vector>\nint main() { return std::vector<std::string>(1).size() != 1; }"
  FASTNN_HAVE_CXX_LIBRARY)
if(NOT FASTNN_HAVE_CXX_LIBRARY)
  message(FATAL_ERROR "fastnn: missing: the C++ standard library of ${CMAKE_CXX_COMPILER} "
                      "(Debian and Ubuntu have it in g++)")
endif()
