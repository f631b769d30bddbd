// SPDX-License-Identifier: BSD-3-Clause
// The allocator: size classes (size_classes.h) with free lists on two levels. Blocks up to 16 KiB
// are kept by the thread that freed them, without a lock; what is too much there, and every larger
// block, goes to the shared store, under one mutex (allocator_shared.h). What a block looks like is
// said in allocator_block.h.
//
// Counters that only one thread writes are atomics stored without a locked instruction;
// allocator_stats() adds them up over all threads. A thread reports its live bytes to the shared
// counter, from which the peak is taken, when they have changed by 64 KiB or with a block that it
// does not keep itself.
//
// Source: per-thread caches over a shared store, Berger et al. 2000 (Hoard), Bonwick and Adams 2001
// (magazines).
#include "runtime/allocator.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "runtime/allocator_block.h"
#include "runtime/allocator_shared.h"
#include "runtime/environment.h"
#include "runtime/size_classes.h"
#include "runtime/system_memory.h"

namespace fastnn {
namespace {

using namespace blocks;

constexpr int kThreadClasses = kSmallClasses + 8 * 4;  // up to 16 KiB
constexpr std::size_t kThreadBytes = std::size_t{1} << 20;
constexpr std::uint32_t kThreadBlocks = 64;  // of one class
constexpr int kRefill = 16;                  // blocks taken from the shared store at once
constexpr std::int64_t kReport = 64 * 1024;
constexpr std::size_t kMegabyte = std::size_t{1} << 20;

// A counter that one thread writes and any reads.
class Counter {
  public:
    void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
    void add(std::int64_t amount) { set(get() + amount); }
    std::int64_t get() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::int64_t> value_{0};
};

struct ThreadCache {
    Header* lists[kThreadClasses] = {};
    std::uint32_t counts[kThreadClasses] = {};
    std::uint64_t epoch = 0;
    std::int64_t byte_limit = 0;
    Counter cached_bytes;
    Counter live_blocks;  // allocated minus freed by this thread: negative where others allocate
    Counter live_bytes;   // the same, of what is not reported yet
    ThreadCache* next = nullptr;
};

struct Threads {
    ThreadCache* first = nullptr;         // the list is under the store's mutex
    std::atomic<std::uint64_t> epoch{1};  // moves when the threads' caches are to be emptied
    std::atomic<std::int64_t> live_bytes{0};
    std::atomic<std::int64_t> peak_bytes{0};
    std::atomic<std::int64_t> live_blocks{0};  // of threads that have no cache (any more)
};

Threads threads;
thread_local ThreadCache* thread_cache = nullptr;
thread_local bool thread_ended = false;

pthread_once_t setup_once = PTHREAD_ONCE_INIT;
pthread_key_t thread_end_key;
bool has_thread_end_key = false;
bool poisoning = false;
char problem[160] = "";

Header* pop(ThreadCache* cache, int c) {
    Header* header = pop_block(&cache->lists[c]);
    --cache->counts[c];
    cache->cached_bytes.add(-static_cast<std::int64_t>(header->bytes));
    return header;
}

void push(ThreadCache* cache, Header* header) {
    const int c = header->size_class;
    push_block(&cache->lists[c], header);
    ++cache->counts[c];
    cache->cached_bytes.add(static_cast<std::int64_t>(header->bytes));
}

// Detaches about half of a class's list, at least one block.
Header* split_half(ThreadCache* cache, int c) {
    Header* list = nullptr;
    for (std::uint32_t left = (cache->counts[c] + 1) / 2; left != 0; --left)
        push_block(&list, pop(cache, c));
    return list;
}

template <class F>
void empty_thread_cache(ThreadCache* cache, const F& take) {
    for (int c = 0; c < kThreadClasses; ++c) {
        Header* list = cache->lists[c];
        if (list == nullptr) continue;
        std::int64_t bytes = 0;
        for (const Header* header = list; header != nullptr; header = header->next)
            bytes += static_cast<std::int64_t>(header->bytes);
        cache->lists[c] = nullptr;
        cache->counts[c] = 0;
        cache->cached_bytes.add(-bytes);
        take(list);
    }
}

void report_live(std::int64_t bytes) {
    const std::int64_t live =
        threads.live_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    std::int64_t peak = threads.peak_bytes.load(std::memory_order_relaxed);
    while (live > peak &&
           !threads.peak_bytes.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
    }
}

// One block more (sign = 1) or less (-1) is live.
void count_live(ThreadCache* cache, const Header* header, std::int64_t sign) {
    std::int64_t bytes = sign * static_cast<std::int64_t>(header->bytes);
    if (cache == nullptr) {
        threads.live_blocks.fetch_add(sign, std::memory_order_relaxed);
        report_live(bytes);
        return;
    }
    cache->live_blocks.add(sign);
    bytes += cache->live_bytes.get();
    const bool keeps = header->size_class < kThreadClasses;
    if (keeps && bytes < kReport && bytes > -kReport) {
        cache->live_bytes.set(bytes);
    } else {
        cache->live_bytes.set(0);
        report_live(bytes);
    }
}

// Under the store's mutex.
void unlink(ThreadCache* cache) {
    ThreadCache** link = &threads.first;
    while (*link != cache) link = &(*link)->next;
    *link = cache->next;
    threads.live_blocks.fetch_add(cache->live_blocks.get(), std::memory_order_relaxed);
    report_live(cache->live_bytes.get());
}

// A thread ends: what it kept is for the others.
void end_thread(void* argument) {
    auto* cache = static_cast<ThreadCache*>(argument);
    thread_cache = nullptr;
    thread_ended = true;
    empty_thread_cache(cache, share);
    {
        const StoreLock lock;
        unlink(cache);
    }
    cache->~ThreadCache();
    std::free(cache);
}

void lock_before_fork() { pthread_mutex_lock(&shared_store.mutex); }
void unlock_after_fork() { pthread_mutex_unlock(&shared_store.mutex); }

// The other threads' caches may have been caught in the middle of a change: what is in them is lost
// in the child.
void unlock_in_child() {
    ThreadCache* cache = threads.first;
    while (cache != nullptr) {
        ThreadCache* following = cache->next;
        if (cache != thread_cache) unlink(cache);
        cache = following;
    }
    pthread_mutex_unlock(&shared_store.mutex);
}

void setup() {
    has_thread_end_key = pthread_key_create(&thread_end_key, end_thread) == 0;
    pthread_atfork(lock_before_fork, unlock_after_fork, unlock_in_child);
    poisoning = poison_requested();
    shared_store.limit = half_of_available_memory();
    long long megabytes = 0;
    constexpr long long kMost = static_cast<long long>(kMaxBlock / kMegabyte);
    switch (read_env_number("FASTNN_CACHE_MB", 0, kMost, false, &megabytes)) {
        case EnvNumber::kValid:
            shared_store.limit = static_cast<std::size_t>(megabytes) * kMegabyte;
            break;
        case EnvNumber::kMalformed:
            std::snprintf(problem, sizeof problem,
                          "FASTNN_CACHE_MB: expected a whole number of megabytes from 0 to %lld, "
                          "got '%.40s'; it is "
                          "ignored",
                          kMost, std::getenv("FASTNN_CACHE_MB"));
            break;
        case EnvNumber::kUnset:
            break;
    }
}

// Creates the calling thread's cache, or brings it up to the epoch. Null: the thread has none (it
// is ending, or there is no memory), the shared store serves it.
ThreadCache* refresh_thread_cache() {
    pthread_once(&setup_once, setup);
    if (thread_ended || !has_thread_end_key) return nullptr;
    ThreadCache* cache = thread_cache;
    if (cache == nullptr) {
        void* memory = std::malloc(sizeof(ThreadCache));
        if (memory == nullptr) return nullptr;
        cache = new (memory) ThreadCache{};
        if (pthread_setspecific(thread_end_key, cache) != 0) {
            std::free(memory);
            return nullptr;
        }
        thread_cache = cache;
        const StoreLock lock;
        cache->next = threads.first;
        threads.first = cache;
    }
    empty_thread_cache(cache, give_back);
    const StoreLock lock;
    cache->epoch = threads.epoch.load(std::memory_order_relaxed);
    cache->byte_limit = static_cast<std::int64_t>(std::min(kThreadBytes, shared_store.limit));
    return cache;
}

ThreadCache* current_thread_cache() {
    ThreadCache* cache = thread_cache;
    if (cache != nullptr && cache->epoch == threads.epoch.load(std::memory_order_relaxed))
        return cache;
    return refresh_thread_cache();
}

Header* cached_block(ThreadCache* cache, int c) {
    if (cache == nullptr || c >= kThreadClasses) return unshare(c, 1);
    if (cache->lists[c] == nullptr) {
        Header* list = unshare(c, cache->byte_limit != 0 ? kRefill : 1);
        while (list != nullptr) push(cache, pop_block(&list));
        if (cache->lists[c] == nullptr) return nullptr;
    }
    return pop(cache, c);
}

}  // namespace

void* allocate(std::size_t bytes) {
    if (bytes > kMaxBlock) return nullptr;
    const int c = size_class_of(bytes);
    ThreadCache* cache = current_thread_cache();
    Header* header = cached_block(cache, c);
    if (header == nullptr) header = fresh_block(c);
    if (header == nullptr) {
        empty_cache();
        header = fresh_block(c);
        if (header == nullptr) return nullptr;
        cache = current_thread_cache();
    }
    count_live(cache, header, 1);
    header->requested = bytes;
    header->state = kLive;
    show_data(header, bytes);
    if (poisoning) poison(header);
    close_header(header);
    return data_of(header);
}

void deallocate(void* block) {
    if (block == nullptr) return;
    Header* header = header_of(block);
    open_header(header);
    if (header->state != kLive) die_of_bad_free(block);
    header->state = kFree;
    if (poisoning) poison(header);
    hide_data(header);
    ThreadCache* cache = current_thread_cache();
    count_live(cache, header, -1);
    const int c = header->size_class;
    header->next = nullptr;
    if (cache == nullptr || c >= kThreadClasses) {
        share(header);
        return;
    }
    const auto bytes = static_cast<std::int64_t>(header->bytes);
    if (cache->counts[c] >= kThreadBlocks ||
        cache->cached_bytes.get() + bytes > cache->byte_limit) {
        if (cache->counts[c] != 0) share(split_half(cache, c));
        if (cache->cached_bytes.get() + bytes > cache->byte_limit) {
            share(header);
            return;
        }
    }
    push(cache, header);
}

#if FASTNN_ASAN
__attribute__((no_sanitize("address")))
#endif
std::size_t block_bytes(const void* block) {
    const Header* header = static_cast<const Header*>(block) - 1;
    return FASTNN_ASAN ? header->requested : header->bytes;
}

void empty_cache() {
    pthread_once(&setup_once, setup);
    Header* all = nullptr;
    {
        const StoreLock lock;
        const std::size_t limit = shared_store.limit;
        shared_store.limit = 0;
        all = make_room(1);
        shared_store.limit = limit;
        threads.epoch.fetch_add(1, std::memory_order_relaxed);
    }
    give_back(all);
    if (thread_cache != nullptr) refresh_thread_cache();
}

void set_cache_limit(std::size_t bytes) {
    pthread_once(&setup_once, setup);
    Header* evicted = nullptr;
    {
        const StoreLock lock;
        shared_store.limit = bytes;
        evicted = make_room(0);
        threads.epoch.fetch_add(1, std::memory_order_relaxed);
    }
    give_back(evicted);
    if (thread_cache != nullptr) refresh_thread_cache();
}

AllocatorStats allocator_stats() {
    pthread_once(&setup_once, setup);
    const StoreLock lock;
    std::int64_t live = threads.live_bytes.load(std::memory_order_relaxed);
    std::int64_t live_blocks = threads.live_blocks.load(std::memory_order_relaxed);
    auto cached = static_cast<std::int64_t>(shared_store.cached_bytes);
    for (const ThreadCache* cache = threads.first; cache != nullptr; cache = cache->next) {
        live += cache->live_bytes.get();
        live_blocks += cache->live_blocks.get();
        cached += cache->cached_bytes.get();
    }
    const std::int64_t peak = std::max(live, threads.peak_bytes.load(std::memory_order_relaxed));
    AllocatorStats stats{};
    stats.live_bytes = static_cast<std::size_t>(live);
    stats.cached_bytes = static_cast<std::size_t>(cached);
    stats.peak_bytes = static_cast<std::size_t>(peak);
    stats.live_blocks = static_cast<std::size_t>(live_blocks);
    stats.system_calls = system_allocation_count();
    stats.cache_limit = shared_store.limit;
    return stats;
}

const char* allocator_config_problem() {
    pthread_once(&setup_once, setup);
    return problem;
}

}  // namespace fastnn
