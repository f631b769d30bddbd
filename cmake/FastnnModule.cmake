# SPDX-License-Identifier: BSD-3-Clause
#
# The Python module fastnn._cpu. Globs, so that a new operator is one new file; CONFIGURE_DEPENDS makes
# the next build see it.
file(GLOB runtime_sources CONFIGURE_DEPENDS csrc/*.cpp csrc/runtime/*.cpp csrc/tape/*.cpp)
file(GLOB op_sources CONFIGURE_DEPENDS csrc/ops/*.cpp)

pybind11_add_module(_cpu MODULE NO_EXTRAS ${runtime_sources})
fastnn_flags(_cpu ${FASTNN_BASELINE})
target_compile_definitions(_cpu PRIVATE FASTNN_VERSION="${FASTNN_VERSION}")
target_link_libraries(_cpu PRIVATE Python::NumPy Threads::Threads)

# GCC would write many loops twice, for a stride of 1 and for others: a tenth of the module. Where that
# pays the sources do it.
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-fno-version-loops-for-strides FASTNN_HAVE_NO_VERSION_LOOPS)

# Kernels neither throw nor call what does, so that nothing is unwound through them: without the tables
# for it the module is a thirtieth smaller, and the compiler has less to do.
check_cxx_compiler_flag("-fno-exceptions -fno-asynchronous-unwind-tables" FASTNN_HAVE_NO_UNWIND_TABLES)

# With AddressSanitizer, -Og and checks by calls compile in half the time of -O1 and checks in line, find
# the same, and cost the tests a tenth. Only in the tiles of matrix products they would cost four times.
set(FASTNN_SANITIZED_KERNEL_FLAGS -O1)
check_cxx_compiler_flag(--param=asan-instrumentation-with-call-threshold=0 FASTNN_HAVE_ASAN_CALLS)
if(FASTNN_SANITIZE MATCHES "address" AND FASTNN_HAVE_ASAN_CALLS)
  set(FASTNN_SANITIZED_KERNEL_FLAGS -Og --param=asan-instrumentation-with-call-threshold=0)
  set_source_files_properties(
    csrc/ops/gemm.cpp csrc/ops/rnn.cpp
    PROPERTIES COMPILE_OPTIONS "-O1;--param=asan-instrumentation-with-call-threshold=7000")
endif()

foreach(level IN LISTS FASTNN_LEVELS)
  add_library(fastnn_${level} OBJECT ${op_sources})
  fastnn_flags(fastnn_${level} ${level})
  # FASTNN_SHARED_KERNELS: the tiles of matrix products are compiled in one object and not in ten.
  target_compile_definitions(fastnn_${level} PRIVATE FASTNN_ISA=${level} FASTNN_SHARED_KERNELS=1)
  # Never -O0: unoptimised vector code is too slow to test with, and more of it becomes shared
  # symbols. Under a sanitizer -O3 takes long to compile and shows nothing more.
  if(FASTNN_SANITIZE)
    target_compile_options(fastnn_${level} PRIVATE ${FASTNN_SANITIZED_KERNEL_FLAGS})
  else()
    target_compile_options(fastnn_${level} PRIVATE $<IF:$<CONFIG:Debug>,-O1,-O3>)
  endif()
  if(level STREQUAL "x86_v2" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # For processors before 2013. The kernels are vectors already; what GCC makes of their other
    # loops is a sixth of the level's code. Without it products and tanh take 1.2 times as long.
    target_compile_options(fastnn_${level} PRIVATE -fvect-cost-model=very-cheap)
  endif()
  if(FASTNN_HAVE_NO_UNWIND_TABLES AND NOT FASTNN_SANITIZE)
    target_compile_options(fastnn_${level} PRIVATE -fno-exceptions -fno-asynchronous-unwind-tables)
  endif()
  if(FASTNN_HAVE_NO_VERSION_LOOPS)
    target_compile_options(fastnn_${level} PRIVATE -fno-version-loops-for-strides)
  endif()
  if(level STREQUAL FASTNN_BASELINE)
    target_compile_definitions(fastnn_${level} PRIVATE FASTNN_ONCE=1)
    target_link_libraries(fastnn_${level} PRIVATE Python::Module Python::NumPy)
  endif()
  target_sources(_cpu PRIVATE $<TARGET_OBJECTS:fastnn_${level}>)
endforeach()

if(FASTNN_NATIVE_CHECK)
  foreach(level IN LISTS FASTNN_LEVELS)
    if(level STREQUAL FASTNN_BASELINE)
      continue()
    endif()
    set(object_list "${CMAKE_CURRENT_BINARY_DIR}/objects_${level}.txt")
    file(GENERATE OUTPUT "${object_list}" CONTENT "$<JOIN:$<TARGET_OBJECTS:fastnn_${level}>,\n>\n")
    add_custom_command(
      TARGET _cpu
      POST_BUILD
      COMMAND "${Python_EXECUTABLE}" "${FASTNN_SOURCE_DIR}/cmake/check_symbols.py" "${CMAKE_NM}"
              ${level} "${object_list}"
      COMMENT "Checking ${level} for shared symbols"
      VERBATIM)
  endforeach()
endif()

install(TARGETS _cpu LIBRARY DESTINATION fastnn)
