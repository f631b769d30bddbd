// SPDX-License-Identifier: BSD-3-Clause
// Fibers: stacks that the scheduler switches to and from, and what the sanitizers must be told
// about that.
//
// A switch is 15 instructions of assembler on x86-64 and swapcontext elsewhere (or with
// CUEMU_UCONTEXT); swapcontext makes a system call each time and is several times slower.
//
// Sanitizers. AddressSanitizer is told the bounds of each stack. For ThreadSanitizer (CUEMU_TSAN;
// the scheduler itself is compiled without -fsanitize=thread) each fiber is a thread of its own,
// and a switch orders nothing: what orders is said with tsan_release and tsan_acquire alone.
#pragma once

namespace cuemu {

struct Fiber;

// A fiber that is not in use. Without ThreadSanitizer: the last one given back, so that a kernel
// without barriers runs on one warm stack. With it: always the same fiber for one identity, because
// a stack that changed hands would make the locals of two threads look like one shared variable.
Fiber* take_fiber(unsigned identity);
void give_back(Fiber* fiber);

// The next enter() of the fiber calls entry(), which must not return but leave for good.
void prepare(Fiber* fiber, void (*entry)());

void enter(Fiber* fiber);                 // scheduler to fiber; returns when the fiber leaves
void leave(Fiber* fiber, bool for_good);  // fiber to scheduler

// Everything before release(p) of one fiber comes before everything after acquire(p) of another.
void tsan_release(void* p);
void tsan_acquire(void* p);

#if defined(CUEMU_TSAN)
inline constexpr bool kTsan = true;
#else
inline constexpr bool kTsan = false;
#endif

}  // namespace cuemu
