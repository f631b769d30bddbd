# SPDX-License-Identifier: BSD-3-Clause
#
# fastnn_flags(<target> <level>): everything that all C++ sources of the project are compiled with.
#
# -ffp-contract=off: a fused multiply-add happens only where the source says so, so that results do not
# depend on the compiler's choice. -fno-math-errno lets sqrt be one instruction; it changes no value.
# Fast-math flags are never used.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

set(FASTNN_SANITIZER_FLAGS "")
if(FASTNN_SANITIZE)
  if(NOT FASTNN_SANITIZE MATCHES "^(address|undefined|thread|address,undefined)$")
    message(FATAL_ERROR "fastnn: FASTNN_SANITIZE must be address, undefined, thread or address,undefined, "
                        "not '${FASTNN_SANITIZE}'")
  endif()
  # Debug and RelWithDebInfo bring the lines of their reports along.
  set(FASTNN_SANITIZER_FLAGS -fsanitize=${FASTNN_SANITIZE} -fno-omit-frame-pointer
                             $<$<NOT:$<CONFIG:Debug,RelWithDebInfo>>:-g>)
  if(FASTNN_SANITIZE MATCHES "undefined")
    # Without this the sanitizer prints and goes on, and the test passes.
    list(APPEND FASTNN_SANITIZER_FLAGS -fno-sanitize-recover=undefined)
  endif()
endif()

function(fastnn_flags target level)
  target_include_directories(${target} PRIVATE "${FASTNN_SOURCE_DIR}/csrc")
  target_compile_features(${target} PRIVATE cxx_std_17)
  target_compile_definitions(
    ${target} PRIVATE ${FASTNN_LEVELS_DEFINITION} $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS=1>)
  target_compile_options(
    ${target}
    PRIVATE ${fastnn_flags_${level}}
            -ffp-contract=off
            -fno-math-errno
            -Wall
            -Wextra
            -Wconversion
            -Wshadow
            $<$<BOOL:${FASTNN_WERROR}>:-Werror>
            ${FASTNN_SANITIZER_FLAGS})
  target_link_options(${target} PRIVATE ${FASTNN_SANITIZER_FLAGS})
endfunction()
