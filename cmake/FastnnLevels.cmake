# SPDX-License-Identifier: BSD-3-Clause
#
# The instruction-set levels of this architecture, lowest first. The first is the baseline: the rest of
# the module is compiled for it, and only its pass over csrc/ops may see Python and the C++ library.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(FASTNN_LEVELS x86_v2 x86_v3 x86_v4)
  set(FASTNN_LEVELS_DEFINITION FASTNN_LEVELS_X86=1)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  set(FASTNN_LEVELS neon)
  set(FASTNN_LEVELS_DEFINITION FASTNN_LEVELS_NEON=1)
else()
  set(FASTNN_LEVELS generic)
  set(FASTNN_LEVELS_DEFINITION FASTNN_LEVELS_GENERIC=1)
endif()
list(GET FASTNN_LEVELS 0 FASTNN_BASELINE)

set(fastnn_flags_x86_v2 -march=x86-64-v2)
set(fastnn_flags_x86_v3 -march=x86-64-v3)
# Without the width preference compilers keep to 256-bit registers on many x86-64-v4 machines.
set(fastnn_flags_x86_v4 -march=x86-64-v4 -mprefer-vector-width=512)
set(fastnn_flags_neon "")
set(fastnn_flags_generic "")
message(STATUS "fastnn: levels: ${FASTNN_LEVELS}")
