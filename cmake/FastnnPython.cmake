# SPDX-License-Identifier: BSD-3-Clause
#
# Finds Python's headers, NumPy's headers, pybind11 and the thread library.
find_package(Python 3.11 COMPONENTS Interpreter Development.Module NumPy)
if(NOT Python_Interpreter_FOUND)
  message(FATAL_ERROR "fastnn: missing: Python >= 3.11")
endif()
if(NOT Python_Development.Module_FOUND)
  message(FATAL_ERROR "fastnn: missing: the headers of ${Python_EXECUTABLE} (Python.h; "
                      "Debian and Ubuntu have them in python3-dev)")
endif()
if(NOT Python_NumPy_FOUND)
  message(FATAL_ERROR "fastnn: missing: NumPy's headers for ${Python_EXECUTABLE}")
endif()

# Outside of pip's builds nothing has put pybind11's directory on the prefix path.
if(NOT pybind11_DIR)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE pybind11_hint
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(PYBIND11_FINDPYTHON ON)
find_package(pybind11 3 CONFIG QUIET HINTS "${pybind11_hint}")
if(NOT pybind11_FOUND)
  message(FATAL_ERROR "fastnn: missing: pybind11 >= 3 for ${Python_EXECUTABLE}")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
