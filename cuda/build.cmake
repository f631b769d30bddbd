# SPDX-License-Identifier: BSD-3-Clause
#
# cmake -D MODE=AUTO|ON -D SOURCE_DIR= -D BUILD_DIR= -D OUTPUT_DIR= -D SETTINGS= -D GENERATOR= -P build.cmake
#
# Configures and builds the module. A failure is fatal with MODE=ON; with AUTO it leaves OUTPUT_DIR/_cuda_missing.txt:
# one sentence, then the end of the log. Either way the whole log is BUILD_DIR.log.
set(log "${BUILD_DIR}.log")
set(note "${OUTPUT_DIR}/_cuda_missing.txt")
file(MAKE_DIRECTORY "${OUTPUT_DIR}")
file(REMOVE "${note}")
file(WRITE "${log}" "")

set(failed_step "")
foreach(step IN ITEMS configure build)
  if(step STREQUAL "configure")
    set(command "${CMAKE_COMMAND}" -S "${SOURCE_DIR}" -B "${BUILD_DIR}" -G "${GENERATOR}" -C
                "${SETTINGS}")
  else()
    set(command "${CMAKE_COMMAND}" --build "${BUILD_DIR}" --config Release)
  endif()
  execute_process(
    COMMAND ${command}
    RESULT_VARIABLE result
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output
    ECHO_OUTPUT_VARIABLE ECHO_ERROR_VARIABLE)
  file(APPEND "${log}" "${output}")
  if(NOT result EQUAL 0)
    set(failed_step "${step}")
    break()
  endif()
endforeach()
if(failed_step STREQUAL "")
  return()
endif()

file(GLOB stale "${OUTPUT_DIR}/_cuda.*")
if(stale)
  file(REMOVE ${stale})
endif()
if(MODE STREQUAL "ON")
  message(FATAL_ERROR "fastnn: the CUDA ${failed_step} step failed (FASTNN_CUDA=ON); log: ${log}")
endif()
string(LENGTH "${output}" length)
if(length GREATER 6000)
  math(EXPR start "${length} - 6000")
  string(SUBSTRING "${output}" ${start} -1 output)
endif()
file(WRITE "${note}" "the CUDA ${failed_step} step failed when fastnn was built\n\n${output}")
message(WARNING "fastnn: built without fastnn._cuda: the CUDA ${failed_step} step failed; log: ${log}")
