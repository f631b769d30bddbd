// SPDX-License-Identifier: BSD-3-Clause
// The floating-point control word of a thread: rounding, flush-to-zero, denormals-are-zero,
// exception masks. A worker takes over the caller's for each job, because results must not depend
// on which thread computed them. The sticky status bits stay the thread's own. Compiled at the
// baseline only.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace fastnn {

#if defined(__x86_64__)

using FpControl = std::uint32_t;
inline constexpr FpControl kFpStatusBits = 0x3f;

inline FpControl fp_control() { return _mm_getcsr() & ~kFpStatusBits; }
inline void set_fp_control(FpControl control) {
    const FpControl now = _mm_getcsr();
    if ((now & ~kFpStatusBits) != control) _mm_setcsr(control | (now & kFpStatusBits));
}

#elif defined(__aarch64__)  // FPCR holds control bits only, the status is in FPSR

using FpControl = std::uint64_t;

inline FpControl fp_control() {
    FpControl control;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(control));
    return control;
}
inline void set_fp_control(FpControl control) {
    if (fp_control() != control) __asm__ __volatile__("msr fpcr, %0" : : "r"(control));
}

#else

using FpControl = int;

inline FpControl fp_control() { return std::fegetround(); }
inline void set_fp_control(FpControl control) {
    if (fp_control() != control) std::fesetround(control);
}

#endif

}  // namespace fastnn
