// SPDX-License-Identifier: BSD-3-Clause
// The thread pool. Where a test needs several threads at once it makes the pieces wait for each
// other, so that it holds on one core as well as on a hundred.
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "runtime/pool.h"
#include "runtime/pool_fp.h"

using fastnn::idx;

namespace {

template <class F>
void run(idx n, idx piece, F body) {
    fastnn::pool_run(
        n, piece, [](void* f, idx begin, idx end) { (*static_cast<F*>(f))(begin, end); }, &body);
}

void pause_ms(long milliseconds) {
    const timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
    nanosleep(&time, nullptr);
}

// A job of `threads` pieces of which none returns before all have begun: every piece needs a thread
// of its own.
template <class F>
void run_on_each_thread(int threads, F body) {
    std::atomic<int> arrived{0};
    run(threads, 1, [&](idx begin, idx) {
        arrived.fetch_add(1);
        while (arrived.load() < threads) pause_ms(1);
        body(begin);
    });
    CHECK_EQUAL(fastnn::pool_last_participants(), threads);
}

void check_all_threads(int threads) {
    CHECK_EQUAL(fastnn::pool_threads(), threads);
    run_on_each_thread(threads, [](idx) {});
}

// A job with a result that depends on every index.
void check_job(idx n, idx piece) {
    std::vector<std::int64_t> seen(static_cast<std::size_t>(n), 0);
    run(n, piece, [&](idx begin, idx end) {
        for (idx i = begin; i < end; ++i) seen[static_cast<std::size_t>(i)] += i + 1;
    });
    for (idx i = 0; i < n; ++i) CHECK_EQUAL(seen[static_cast<std::size_t>(i)], i + 1);
}

}  // namespace

TEST_CASE(pieces_cover_the_range_once) {
    for (const int threads : {1, 2, 4}) {
        fastnn::pool_set_threads(threads);
        for (const idx n : {1, 2, 3, 7, 64, 1000})
            for (const idx piece : {1, 2, 3, 64, 999, 1000, 5000}) {
                std::vector<std::atomic<int>> begun(static_cast<std::size_t>(n));
                std::atomic<int> wrong{0};
                run(n, piece, [&](idx begin, idx end) {
                    const idx expected = n - begin > piece ? begin + piece : n;
                    if (begin % piece != 0 || end != expected) wrong.fetch_add(1);
                    begun[static_cast<std::size_t>(begin)].fetch_add(1);
                });
                CHECK_EQUAL(wrong.load(), 0);
                for (idx i = 0; i < n; ++i)
                    CHECK_EQUAL(begun[static_cast<std::size_t>(i)].load(), i % piece == 0 ? 1 : 0);
            }
    }
}

TEST_CASE(empty_ranges_call_nothing) {
    int calls = 0;
    run(0, 4, [&](idx, idx) { ++calls; });
    run(-3, 4, [&](idx, idx) { ++calls; });
    CHECK_EQUAL(calls, 0);
}

TEST_CASE(the_largest_piece_does_not_overflow) {
    idx seen_begin = -1;
    idx seen_end = -1;
    run(INT64_MAX, INT64_MAX, [&](idx begin, idx end) {
        seen_begin = begin;
        seen_end = end;
    });
    CHECK_EQUAL(seen_begin, 0);
    CHECK_EQUAL(seen_end, INT64_MAX);
    fastnn::pool_set_threads(2);
    std::atomic<int> right{0};
    run(INT64_MAX, INT64_MAX - 5, [&](idx begin, idx end) {
        if (begin == 0 ? end == INT64_MAX - 5 : begin == INT64_MAX - 5 && end == INT64_MAX)
            right.fetch_add(1);
    });
    CHECK_EQUAL(right.load(), 2);
}

TEST_CASE(millions_of_pieces) {
    fastnn::pool_set_threads(3);
    const idx n = 2'500'003;
    std::vector<unsigned char> calls(static_cast<std::size_t>(n), 0);
    std::atomic<int> wrong{0};
    run(n, 1, [&](idx begin, idx end) {
        if (end != begin + 1) wrong.fetch_add(1);
        ++calls[static_cast<std::size_t>(begin)];
    });
    CHECK_EQUAL(wrong.load(), 0);
    for (const unsigned char count : calls) CHECK_EQUAL(count, 1);
}

TEST_CASE(partial_results_are_equal_on_any_number_of_threads) {
    const idx n = 100'000;
    const idx piece = 777;
    std::vector<float> values(static_cast<std::size_t>(n));
    for (idx i = 0; i < n; ++i)
        values[static_cast<std::size_t>(i)] = std::sin(static_cast<float>(i));
    float first = 0;
    for (const int threads : {1, 2, 3, 4, 7}) {
        fastnn::pool_set_threads(threads);
        std::vector<float> parts(static_cast<std::size_t>((n - 1) / piece + 1), 0.0F);
        run(n, piece, [&](idx begin, idx end) {
            float sum = 0;
            for (idx i = begin; i < end; ++i) sum += values[static_cast<std::size_t>(i)];
            parts[static_cast<std::size_t>(begin / piece)] = sum;
        });
        float total = 0;
        for (const float part : parts) total += part;
        if (threads == 1) first = total;
        CHECK(std::memcmp(&first, &total, sizeof total) == 0);
    }
}

TEST_CASE(four_threads_take_part_on_any_machine) {
    setenv("FASTNN_NUM_THREADS", "4", 1);
    for (int i = 0; i < 5; ++i) check_all_threads(4);
}

TEST_CASE(sleeping_workers_are_woken) {
    fastnn::pool_set_threads(4);
    for (int i = 0; i < 40; ++i) {
        check_all_threads(4);
        pause_ms(i % 4);  // longer than they spin
    }
}

TEST_CASE(many_short_jobs) {
    fastnn::pool_set_threads(4);
    for (int i = 0; i < 4000; ++i) check_job(1 + i % 50, 1 + i % 7);
}

TEST_CASE(the_caller_waits_for_a_claimed_piece) {
    fastnn::pool_set_threads(2);
    const pthread_t caller = pthread_self();
    for (int i = 0; i < 5; ++i) {
        std::atomic<bool> claimed{false};
        int written = 0;  // not atomic: the return of pool_run orders it
        run(2, 1, [&](idx, idx) {
            if (pthread_equal(pthread_self(), caller) != 0) {
                while (!claimed.load()) pause_ms(1);
            } else {
                claimed.store(true);
                pause_ms(5);
                written = 1;
            }
        });
        CHECK_EQUAL(written, 1);
    }
}

TEST_CASE(nested_calls_run_in_the_piece_s_thread) {
    fastnn::pool_set_threads(4);
    std::atomic<int> inner_pieces{0};
    std::atomic<int> elsewhere{0};
    run_on_each_thread(4, [&](idx) {
        const pthread_t outer = pthread_self();
        run(10, 1, [&](idx, idx) {
            inner_pieces.fetch_add(1);
            if (pthread_equal(pthread_self(), outer) == 0) elsewhere.fetch_add(1);
        });
        if (fastnn::pool_last_participants() != 1) elsewhere.fetch_add(1);
    });
    CHECK_EQUAL(inner_pieces.load(), 40);
    CHECK_EQUAL(elsewhere.load(), 0);
}

TEST_CASE(a_range_of_one_piece_leaves_the_pool_to_what_it_calls) {
    fastnn::pool_set_threads(3);
    run(5, 5, [](idx, idx) { check_all_threads(3); });
    CHECK_EQUAL(fastnn::pool_last_participants(), 1);
}

TEST_CASE(a_second_caller_runs_inline_while_the_pool_is_busy) {
    fastnn::pool_set_threads(2);
    std::atomic<int> begun{0};
    std::atomic<bool> release{false};
    std::thread first([&] {
        run(2, 1, [&](idx, idx) {
            begun.fetch_add(1);
            while (!release.load()) pause_ms(1);
        });
        CHECK_EQUAL(fastnn::pool_last_participants(), 2);
    });
    while (begun.load() < 2) pause_ms(1);
    const pthread_t second = pthread_self();
    int pieces = 0;
    run(100, 3, [&](idx, idx) {
        CHECK(pthread_equal(pthread_self(), second) != 0);
        ++pieces;
    });
    CHECK_EQUAL(pieces, 34);
    CHECK_EQUAL(fastnn::pool_last_participants(), 1);
    release.store(true);
    first.join();
    check_all_threads(2);
}

TEST_CASE(several_callers_at_once) {
    fastnn::pool_set_threads(3);
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t)
        callers.emplace_back([t] {
            for (int i = 0; i < 500; ++i) check_job(1 + (i * 7 + t) % 200, 1 + i % 9);
        });
    for (int i = 0; i < 20; ++i) fastnn::pool_set_threads(1 + i % 4);
    for (std::thread& caller : callers) caller.join();
}

TEST_CASE(the_caller_s_floating_point_mode_holds_on_every_thread) {
    fastnn::pool_set_threads(4);
    const fastnn::FpControl usual = fastnn::fp_control();
#if defined(__x86_64__)
    const fastnn::FpControl changed =
        usual | 0x8040 | 0x6000;  // flush and read denormals as zero; towards zero
#elif defined(__aarch64__)
    const fastnn::FpControl changed = usual | (std::uint64_t{7} << 22);  // FZ, round towards zero
#else
    const fastnn::FpControl changed = FE_TOWARDZERO;
#endif
    for (const fastnn::FpControl mode : {changed, usual, changed}) {
        fastnn::FpControl seen[4] = {};
        volatile float tiny = 1e-30F;
        float product[4] = {};
        fastnn::set_fp_control(mode);
        run_on_each_thread(4, [&](idx i) {
            seen[i] = fastnn::fp_control();
            product[i] = tiny * 1e-12F;  // denormal, or flushed
        });
        const float own = tiny * 1e-12F;
        fastnn::set_fp_control(usual);
        for (int i = 0; i < 4; ++i) {
            CHECK(seen[i] == mode);
            CHECK(std::memcmp(&product[i], &own, sizeof own) == 0);
        }
    }
}

TEST_CASE(workers_leave_signals_to_the_program) {
    fastnn::pool_set_threads(3);
    const pthread_t caller = pthread_self();
    std::atomic<int> workers{0};
    run_on_each_thread(3, [&](idx) {
        sigset_t mask;
        CHECK(pthread_sigmask(SIG_SETMASK, nullptr, &mask) == 0);
        const bool worker = pthread_equal(pthread_self(), caller) == 0;
        for (const int number : {SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1})
            CHECK_EQUAL(sigismember(&mask, number), worker ? 1 : 0);
        CHECK_EQUAL(sigismember(&mask, SIGSEGV), 0);  // fault handlers must see faults
        if (worker) workers.fetch_add(1);
    });
    CHECK_EQUAL(workers.load(), 2);
}

TEST_CASE(the_number_of_threads_changes_at_run_time) {
    for (const int threads : {1, 4, 2, 3, 1, 8, 2}) {
        fastnn::pool_set_threads(threads);
        check_all_threads(threads);
        pause_ms(1);
    }
    fastnn::pool_set_threads(0);
    CHECK_EQUAL(fastnn::pool_threads(), 1);
    fastnn::pool_set_threads(1 << 30);
    CHECK_EQUAL(fastnn::pool_threads(), 1024);
}

TEST_CASE(a_shrunk_pool_ends_its_threads) {
#if defined(__linux__)
    const auto workers = [] {  // by name: a sanitizer has threads of its own
        DIR* directory = opendir("/proc/self/task");
        CHECK(directory != nullptr);
        int count = 0;
        while (const dirent* entry = readdir(directory)) {
            std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/comm");
            std::string name;
            if (std::getline(file, name) && name == "fastnn-pool") ++count;
        }
        closedir(directory);
        return count;
    };
    fastnn::pool_set_threads(6);
    check_all_threads(6);
    CHECK_EQUAL(workers(), 5);
    fastnn::pool_set_threads(1);
    for (int i = 0; i < 5000 && workers() != 0; ++i) pause_ms(1);
    CHECK_EQUAL(workers(), 0);
#else
    skip("threads are counted through /proc");
#endif
}

TEST_CASE(setting_threads_inside_a_piece_holds_from_the_next_call) {
    fastnn::pool_set_threads(3);
    run_on_each_thread(3, [](idx i) {
        if (i == 0) fastnn::pool_set_threads(2);
    });
    check_all_threads(2);
}

#if defined(__linux__)
TEST_CASE(a_worker_is_woken_away_from_its_caller) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < 2)
        skip("needs two processors");
    fastnn::pool_set_threads(2);
    const pthread_t caller = pthread_self();
    // The caller may be moved in between, and the worker may not have slept: then again.
    for (int i = 0; i < 200; ++i) {
        pause_ms(5);
        const int before = sched_getcpu();
        bool kept_off = false;
        run_on_each_thread(2, [&](idx) {
            cpu_set_t mine;
            if (pthread_equal(pthread_self(), caller) != 0) return;
            kept_off = sched_getaffinity(0, sizeof mine, &mine) == 0 && !CPU_ISSET(before, &mine) &&
                       CPU_COUNT(&mine) == CPU_COUNT(&set) - 1;
        });
        if (kept_off) return;
    }
    CHECK(false);
}
#endif

TEST_CASE(a_forked_child_has_a_pool_of_its_own) {
    if (TEST_TSAN) skip("ThreadSanitizer does not follow threads that a forked child starts");
    fastnn::pool_set_threads(3);
    check_all_threads(3);
    CHECK(succeeded(run_in_child([] {
        check_all_threads(3);
        CHECK(succeeded(run_in_child([] { check_all_threads(3); })));
    })));
    check_all_threads(3);
}

TEST_CASE(fork_in_the_middle_of_another_thread_s_job) {
    if (TEST_TSAN) skip("ThreadSanitizer does not follow threads that a forked child starts");
    // Seen with GCC 12: `other` allocates, and the lock that it holds stays locked in the child.
    if (TEST_ASAN) skip("the sanitizer's own locks are not released in a forked child");
    fastnn::pool_set_threads(3);
    std::atomic<bool> stop{false};
    std::thread other([&] {
        while (!stop.load()) check_job(300, 3);
    });
    for (int i = 0; i < 20; ++i)
        CHECK(succeeded(run_in_child([] {
            check_all_threads(3);
            check_job(1000, 7);
        })));
    stop.store(true);
    other.join();
    check_all_threads(3);
}

TEST_CASE(participants_are_counted_per_calling_thread) {
    fastnn::pool_set_threads(2);
    check_all_threads(2);
    std::thread([] {
        CHECK_EQUAL(fastnn::pool_last_participants(), 0);
        run(3, 3, [](idx, idx) {});
        CHECK_EQUAL(fastnn::pool_last_participants(), 1);
    }).join();
    CHECK_EQUAL(fastnn::pool_last_participants(), 2);
}

TEST_CASE(gathered_workers_all_take_part) {
    fastnn::pool_gather_workers(true);
    for (const int threads : {1, 4, 2, 3}) {
        fastnn::pool_set_threads(threads);
        for (int i = 0; i < 50; ++i)
            for (const int pieces : {2, 3, 4, 40}) {
                std::atomic<int> calls{0};
                run(pieces, 1, [&](idx, idx) { calls.fetch_add(1); });
                CHECK_EQUAL(calls.load(), pieces);
                CHECK_EQUAL(fastnn::pool_last_participants(), std::min(threads, pieces));
            }
    }
    fastnn::pool_gather_workers(false);
    check_job(100, 3);
}

TEST_CASE(refused_threads_make_the_pool_smaller) {
    if (TEST_ASAN || TEST_TSAN) skip("a sanitizer needs more address space than the limit leaves");
    check_job(100, 3);
    long pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%ld", &pages) != 1) skip("needs /proc/self/statm");
    std::fclose(file);
    const auto used = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    const rlimit limit{used + (rlim_t{20} << 20), RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    fastnn::pool_set_threads(200);
    check_job(1000, 1);
    CHECK(fastnn::pool_threads() < 200);
    check_all_threads(fastnn::pool_threads());
}
