// SPDX-License-Identifier: BSD-3-Clause
// What the pool's threads wait with: the processor's pause hint, a clock, and sleeping on a 32-bit
// word. On Linux sleeping is a futex (Franke, Russell, Kirkwood 2002); elsewhere, or with
// FASTNN_NO_FUTEX, one mutex and one condition variable serve every word, which is correct and
// slower. Compiled at the baseline only.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>

#if defined(__linux__) && !defined(FASTNN_NO_FUTEX)
#define FASTNN_FUTEX 1
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define FASTNN_FUTEX 0
#include <pthread.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fastnn {

inline void cpu_pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__(
        "isb");  // stalls about as long as the x86 pause; `yield` does nothing on most cores
#endif
}

inline std::int64_t now_ns() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

using WaitWord = std::atomic<std::uint32_t>;
static_assert(sizeof(WaitWord) == 4 && WaitWord::is_always_lock_free);

#if FASTNN_FUTEX

// Sleeps while the word holds `value`; may also return early, so callers look again.
inline void sleep_while_equal(WaitWord* word, std::uint32_t value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

// Wakes up to `count` sleepers of the word. The caller has changed the word before.
inline void wake_sleepers(WaitWord* word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

inline void reset_sleep_after_fork() {}

#else

inline pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
inline pthread_cond_t sleep_condition = PTHREAD_COND_INITIALIZER;

inline void sleep_while_equal(WaitWord* word, std::uint32_t value) {
    pthread_mutex_lock(&sleep_mutex);
    if (word->load(std::memory_order_seq_cst) == value)
        pthread_cond_wait(&sleep_condition, &sleep_mutex);
    pthread_mutex_unlock(&sleep_mutex);
}

// The word was changed before, so passing through the mutex makes every sleeper either see the
// change or be waiting.
inline void wake_sleepers(WaitWord*, int) {
    pthread_mutex_lock(&sleep_mutex);
    pthread_mutex_unlock(&sleep_mutex);
    pthread_cond_broadcast(&sleep_condition);
}

// A thread that no longer exists may have held them.
inline void reset_sleep_after_fork() {
    sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
    sleep_condition = PTHREAD_COND_INITIALIZER;
}

#endif

}  // namespace fastnn
