// SPDX-License-Identifier: BSD-3-Clause
// The work-claiming thread pool.
//
// One job at a time. A job's pieces are handed out as units (one piece each; several only when a
// range is cut into more than a million). `unclaimed` is the whole protocol: a compare-and-swap
// from r > 0 to r - 1 claims a unit, and only after that does a thread read the job's description.
// So a worker that wakes late, or was descheduled between reading r and the swap, can do no harm:
// either the swap fails, or it has claimed a unit of the job that is current now, which cannot end
// before that unit is reported. The caller works too, and when nothing is left to claim it waits
// only for units that workers have claimed.
//
// The caller's claims are the first units in order, the workers' the last ones from the end: there
// are as many as claims, so these never meet. Thus a thread has about the same part of the range in
// each of the operations on a batch, and finds what it has written in the cache of its own core.
//
// Memory order: the caller's store to `unclaimed` heads a release sequence that every claim (a
// read-modify-write) continues, so a claimant sees the description; a worker's addition to
// `finished` makes its results and its last look at the description visible to the caller. Sleeping
// uses two Dekker pairs (store, then look at the other side, all sequentially consistent):
// unclaimed/sleepers and finished/caller_waits.
//
// Source: self-scheduling of loop iterations by an atomic counter, Smith 1981; spin-then-block,
// Karlin, Li, Manasse, Owicki 1991.
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>

#include "runtime/cpu_count.h"
#include "runtime/pool_fp.h"
#include "runtime/pool_placement.h"
#include "runtime/pool_wait.h"

namespace fastnn {
namespace {

// Waking a sleeping thread costs 30-80 us, so a thread that has just worked looks for more for a
// while, as long as the parts of a training step that run on one thread take. At first it keeps its
// core; then it offers it to others between looks, because on a busy machine it may sit on the very
// core that the thread it waits for needs. With more threads than cores it does so from the start,
// and gives up sooner.
constexpr std::int64_t kEagerNs = 20'000;
constexpr std::int64_t kSpinNs = 400'000;
constexpr std::int64_t kCrowdedSpinNs = 10'000;
constexpr int kLooksPerClockRead = 16;
constexpr idx kMaxUnits = idx{1} << 20;
constexpr std::size_t kWorkerStack = std::size_t{2} << 20;

struct Range {
    idx n;
    idx piece;
    idx unit_pieces;
    RangeFn fn;
    void* context;

    void run_unit(std::uint32_t unit) const {
        idx begin = unit * unit_pieces * piece;
        for (idx i = 0; i < unit_pieces && begin < n; ++i) {
            const idx end = n - begin > piece ? begin + piece : n;
            fn(context, begin, end);
            begin = end;
        }
    }
};

// The first line is what a worker needs to start (one transfer between cores), the second what it
// reports.
struct Pool {
    alignas(128) WaitWord unclaimed{0};
    std::uint32_t units = 0;
    Range range{};
    FpControl control = 0;
    std::uint32_t gathering = 0;  // workers that wait for each other before their first unit

    alignas(128) WaitWord finished{0};           // units reported by workers
    std::atomic<std::uint32_t> helpers{0};       // workers that ran a unit of this job
    std::atomic<std::uint32_t> caller_waits{0};  // the caller sleeps on `finished`
    std::atomic<std::uint32_t> gathered{0};      // of those `gathering`, the ones that have come
    std::atomic<std::uint32_t> from_end{0};      // units that workers have begun

    alignas(128) std::atomic<std::uint32_t> sleepers{0};  // workers asleep and not yet called
    WaitWord tokens{0};                                   // calls: each wakes one sleeper
    std::atomic<bool> crowded{false};
    std::atomic<int> allowed{0};  // workers with a number from here on retire
    std::atomic<int> alive{0};

    alignas(128) std::atomic<bool> busy{false};  // held by the thread whose job this is
    int workers = 0;                             // started and not retired; under `busy`
    Placement placement;
};

// Never destroyed: workers are detached and may look at it until the process is gone.
Pool pool;

std::atomic<int> thread_count{0};  // 0: not yet read from the environment
std::atomic<bool> gather_workers{false};
ThreadSettings settings;
pthread_once_t settings_once = PTHREAD_ONCE_INIT;

thread_local bool inside_piece = false;
thread_local int last_participants = 0;

// The parent's workers do not exist in the child, and whoever used the pool during the fork does
// not either.
void reset_after_fork() {
    reset_sleep_after_fork();
    pool.unclaimed.store(0);
    pool.finished.store(0);
    pool.caller_waits.store(0);
    pool.sleepers.store(0);
    pool.tokens.store(0);
    pool.allowed.store(0);
    pool.alive.store(0);
    pool.workers = 0;
    pool.placement.forget();
    pool.busy.store(false);
}

void load_settings() {
    settings = read_thread_settings();
    pthread_atfork(nullptr, nullptr, reset_after_fork);
}

const ThreadSettings& loaded_settings() {
    pthread_once(&settings_once, load_settings);
    return settings;
}

// Looks until ready() or until the time is up; false: it is up.
template <class F>
bool spin_until(const F& ready, std::int64_t eager_ns) {
    const bool crowded = pool.crowded.load(std::memory_order_relaxed);
    const std::int64_t limit_ns = crowded ? kCrowdedSpinNs : kSpinNs;
    const std::int64_t start = now_ns();
    for (std::int64_t spent = 0; spent < limit_ns; spent = now_ns() - start) {
        if (crowded || spent >= eager_ns) sched_yield();
        for (int i = 0; i < kLooksPerClockRead; ++i) {
            if (ready()) return true;
            cpu_pause();
        }
    }
    return ready();
}

// ---- workers ----

// Claims one unit; false: none is left.
bool claim() {
    std::uint32_t r = pool.unclaimed.load(std::memory_order_acquire);
    while (r != 0) {
        if (pool.unclaimed.compare_exchange_weak(r, r - 1, std::memory_order_acquire,
                                                 std::memory_order_acquire))
            return true;
    }
    return false;
}

void wait_for_gathering() {
    while (pool.gathered.load(std::memory_order_acquire) < pool.gathering) sched_yield();
}

// Runs units until none is left; false: there was none. All are of one job, because it cannot end
// before the first is reported.
bool help() {
    if (!claim()) return false;
    const Range range = pool.range;
    const std::uint32_t units = pool.units;
    set_fp_control(pool.control);
    if (pool.gathering != 0) {
        pool.gathered.fetch_add(1, std::memory_order_release);
        wait_for_gathering();
    }
    std::uint32_t done = 0;
    do {
        range.run_unit(units - 1 - pool.from_end.fetch_add(1, std::memory_order_relaxed));
        ++done;
    } while (claim());
    pool.helpers.fetch_add(1, std::memory_order_relaxed);
    pool.finished.fetch_add(done, std::memory_order_seq_cst);
    if (pool.caller_waits.load(std::memory_order_seq_cst) != 0) wake_sleepers(&pool.finished, 1);
    return true;
}

// Withdraws this worker from the sleepers; false: it was called meanwhile, and its token is there
// or coming.
bool withdraw() {
    std::uint32_t count = pool.sleepers.load();
    while (count != 0)
        if (pool.sleepers.compare_exchange_weak(count, count - 1)) return true;
    return false;
}

void sleep_until_called() {
    for (;;) {
        std::uint32_t count = pool.tokens.load();
        while (count != 0)
            if (pool.tokens.compare_exchange_weak(count, count - 1)) return;
        sleep_while_equal(&pool.tokens, 0);
    }
}

void* worker_main(void* argument) {
    const int number = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
    inside_piece = true;
    pool.placement.begin(number);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "fastnn-pool");
#endif
    const auto retired = [number] {
        return number >= pool.allowed.load(std::memory_order_seq_cst);
    };
    const auto has_work = [] { return pool.unclaimed.load(std::memory_order_acquire) != 0; };
    while (!retired()) {
        const std::int64_t eager_ns = help() ? kEagerNs : 0;
        if (spin_until([&] { return has_work() || retired(); }, eager_ns)) continue;
        pool.sleepers.fetch_add(1, std::memory_order_seq_cst);
        const bool wanted = pool.unclaimed.load(std::memory_order_seq_cst) != 0 || retired();
        if (wanted && withdraw()) continue;
        sleep_until_called();
    }
    pool.placement.end(number);
    pool.alive.fetch_sub(1, std::memory_order_release);
    return nullptr;
}

// ---- under `busy` ----

void call_sleepers(std::uint32_t count) {
    const std::uint32_t asleep = pool.sleepers.load(std::memory_order_seq_cst);
    // Withdrawing workers lower the number meanwhile, hence the loop.
    std::uint32_t left = asleep;
    std::uint32_t called = std::min(count, left);
    while (called != 0 && !pool.sleepers.compare_exchange_weak(left, left - called))
        called = std::min(count, left);
    if (called == 0) return;
    pool.tokens.fetch_add(called);
    wake_sleepers(&pool.tokens, static_cast<int>(called));
}

// Asks the workers for help with `units` units: those awake will look by themselves.
void call_helpers(std::uint32_t units) {
    const std::uint32_t asleep = pool.sleepers.load(std::memory_order_seq_cst);
    if (asleep == 0) return;
    const auto workers = static_cast<std::uint32_t>(pool.workers);
    const std::uint32_t awake = workers - std::min(asleep, workers);
    if (units <= awake) return;
    if (!pool.crowded.load(std::memory_order_relaxed))
        pool.placement.keep_off_this_cpu(pool.workers);
    call_sleepers(units - awake);
}

bool start_worker(int number) {
    // Signals are the main thread's business; those that a fault raises in its own thread stay
    // open, so that fault handlers work. Blocked before the start: a new thread inherits the mask.
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS})
        sigdelset(&blocked, fault);
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kWorkerStack);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pool.alive.fetch_add(1);
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, worker_main,
                                     reinterpret_cast<void*>(static_cast<std::intptr_t>(number)));
    if (error != 0) pool.alive.fetch_sub(1);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

// Starts or retires workers until there are threads - 1. What retires has ended when this returns,
// so that it cannot take part in a later job.
void resize(int threads) {
    const int wanted = threads - 1;
    pool.crowded.store(threads > loaded_settings().cpus, std::memory_order_relaxed);
    pool.placement.renew();
    if (wanted < pool.workers) {
        pool.allowed.store(wanted, std::memory_order_seq_cst);
        while (pool.alive.load(std::memory_order_acquire) > wanted) {
            // Again and again: a call goes to any sleeper, perhaps to one that stays.
            call_sleepers(static_cast<std::uint32_t>(pool.workers));
            sched_yield();
        }
        pool.workers = wanted;
        return;
    }
    pool.allowed.store(wanted, std::memory_order_seq_cst);
    while (pool.workers < wanted && start_worker(pool.workers)) ++pool.workers;
    if (pool.workers <
        wanted) {  // the system refuses more: say so in pool_threads() and do not ask again
        pool.allowed.store(pool.workers, std::memory_order_seq_cst);
        thread_count.compare_exchange_strong(threads, pool.workers + 1);
    }
}

void wait_for_helpers(std::uint32_t claimed) {
    const auto ready = [claimed] {
        return pool.finished.load(std::memory_order_acquire) == claimed;
    };
    if (ready() || spin_until(ready, kEagerNs)) return;
    pool.caller_waits.store(1, std::memory_order_seq_cst);
    for (;;) {
        const std::uint32_t count = pool.finished.load(std::memory_order_seq_cst);
        if (count == claimed) break;
        sleep_while_equal(&pool.finished, count);
    }
    pool.caller_waits.store(0, std::memory_order_relaxed);
}

// Returns the number of participants.
int run_job(const Range& range, std::uint32_t units) {
    pool.units = units;
    pool.range = range;
    pool.control = fp_control();
    pool.finished.store(0, std::memory_order_relaxed);
    pool.helpers.store(0, std::memory_order_relaxed);
    // Not more than there are units for: each of them holds one while it waits.
    const bool gather = gather_workers.load(std::memory_order_relaxed);
    pool.gathering = gather ? std::min(units - 1, static_cast<std::uint32_t>(pool.workers)) : 0;
    pool.gathered.store(0, std::memory_order_relaxed);
    pool.from_end.store(0, std::memory_order_relaxed);
    pool.unclaimed.store(units - 1, std::memory_order_seq_cst);  // unit 0 is the caller's
    call_helpers(units - 1);
    wait_for_gathering();
    range.run_unit(0);
    std::uint32_t mine = 1;
    for (; claim(); ++mine) range.run_unit(mine);
    wait_for_helpers(units - mine);
    return 1 + static_cast<int>(pool.helpers.load(std::memory_order_relaxed));
}

}  // namespace

void pool_run(idx n, idx piece, RangeFn fn, void* context) {
    if (n <= 0) return;
    if (piece <= 0 || piece >= n) {
        fn(context, 0, n);
        last_participants = 1;
        return;
    }
    const idx pieces = (n - 1) / piece + 1;
    const idx unit_pieces = (pieces - 1) / kMaxUnits + 1;
    const auto units = static_cast<std::uint32_t>((pieces - 1) / unit_pieces + 1);
    const Range range{n, piece, unit_pieces, fn, context};
    const bool nested = inside_piece;
    int participants = 1;
    inside_piece = true;
    if (nested || pool_threads() == 1 || pool.busy.exchange(true, std::memory_order_acquire)) {
        for (std::uint32_t unit = 0; unit < units; ++unit) range.run_unit(unit);
    } else {
        const int threads = pool_threads();
        if (pool.workers != threads - 1) resize(threads);
        participants = run_job(range, units);
        pool.busy.store(false, std::memory_order_release);
    }
    inside_piece = nested;
    last_participants = participants;
}

int pool_threads() {
    int threads = thread_count.load(std::memory_order_relaxed);
    if (threads == 0 && thread_count.compare_exchange_strong(threads, loaded_settings().threads))
        threads = loaded_settings().threads;
    return threads;
}

void pool_set_threads(int n) {
    const int threads = std::clamp(n, 1, kMaxThreads);
    loaded_settings();
    thread_count.store(threads, std::memory_order_relaxed);
    // Retire what is too many at once if nobody uses the pool; the next job does the rest.
    if (!inside_piece && !pool.busy.exchange(true, std::memory_order_acquire)) {
        if (threads - 1 < pool.workers) resize(threads);
        pool.busy.store(false, std::memory_order_release);
    }
}

void pool_gather_workers(bool on) { gather_workers.store(on, std::memory_order_relaxed); }

int pool_last_participants() { return last_participants; }

const char* pool_config_problem() { return loaded_settings().problem; }

}  // namespace fastnn
