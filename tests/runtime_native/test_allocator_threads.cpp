// SPDX-License-Identifier: BSD-3-Clause
// The allocator in several threads and across fork().
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "allocator_blocks.h"
#include "check.h"

TEST_CASE(any_thread_frees_what_another_allocated) {
    std::mutex mutex;
    std::deque<std::pair<void*, std::size_t>> queue;
    std::atomic<int> producers{3};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            std::mt19937 random(static_cast<unsigned>(t));
            for (int i = 0; i < 4000; ++i) {
                const std::size_t bytes = kSizes[random() % 7] + random() % 50;
                void* block = filled(bytes);
                const std::lock_guard<std::mutex> lock(mutex);
                queue.emplace_back(block, bytes);
            }
            producers.fetch_sub(1);
        });
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&] {
            for (;;) {
                std::pair<void*, std::size_t> item{nullptr, 0};
                {
                    const bool last = producers.load() == 0;
                    const std::lock_guard<std::mutex> lock(mutex);
                    if (queue.empty() && last) return;
                    if (!queue.empty()) {
                        item = queue.front();
                        queue.pop_front();
                    }
                }
                if (item.first == nullptr) {
                    std::this_thread::yield();
                    continue;
                }
                check_filled(item.first, item.second);
                deallocate(item.first);
            }
        });
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(allocator_stats().live_blocks, 0U);
    CHECK_EQUAL(allocator_stats().live_bytes, 0U);
}

TEST_CASE(an_ending_thread_leaves_its_blocks_to_the_others) {
    constexpr int kBlocks = 20;
    std::thread([] {
        void* blocks[kBlocks];
        for (void*& block : blocks) block = allocate(1000);
        for (void* block : blocks) deallocate(block);
    }).join();
    CHECK_EQUAL(allocator_stats().cached_bytes, kBlocks * class_of(1000));
    const std::size_t calls = allocator_stats().system_calls;
    void* blocks[kBlocks];
    for (void*& block : blocks) block = filled(1000);
    CHECK_EQUAL(allocator_stats().system_calls, calls);
    for (void* block : blocks) deallocate(block);
}

TEST_CASE(a_thread_may_free_after_its_cache_is_gone) {
    static pthread_key_t key;
    deallocate(allocate(1));  // the allocator's key comes first, so its destructor runs first
    CHECK(pthread_key_create(&key, [](void* block) {
              deallocate(block);
              deallocate(allocate(100));
          }) == 0);
    std::thread([] { CHECK(pthread_setspecific(key, allocate(100)) == 0); }).join();
    CHECK_EQUAL(allocator_stats().live_blocks, 0U);
    CHECK_EQUAL(allocator_stats().live_bytes, 0U);
}

TEST_CASE(fork_while_other_threads_allocate) {
    // A sanitizer's own locks may be held by the other threads: the child then waits for ever. Seen
    // with AddressSanitizer too (GCC 12's), to whose allocator ours then hands every block.
    if (TEST_TSAN || TEST_ASAN)
        skip("the sanitizer's own locks are not released in a forked child");
    std::atomic<bool> stop{false};
    std::atomic<int> started{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t)
        threads.emplace_back([&] {
            ++started;
            while (!stop.load())
                for (const std::size_t bytes : kSizes) deallocate(allocate(bytes));
        });
    // A sanitizer's registry of threads is locked while one starts, and would stay so in the child.
    while (started.load() < 2) std::this_thread::yield();
    void* kept = filled(5000);
    for (int i = 0; i < 20; ++i)
        CHECK(succeeded(run_in_child([&] {
            check_filled(kept, 5000);
            deallocate(kept);
            for (const std::size_t bytes : kSizes) deallocate(filled(bytes));
            fastnn::empty_cache();
            CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
            std::thread([] { deallocate(filled(100)); }).join();
        })));
    stop.store(true);
    for (std::thread& thread : threads) thread.join();
    deallocate(kept);
    CHECK_EQUAL(allocator_stats().live_bytes, 0U);
    CHECK_EQUAL(allocator_stats().live_blocks, 0U);
}

TEST_CASE(threads_flush_and_change_limits_at_once) {
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            std::mt19937 random(static_cast<unsigned>(t));
            std::vector<std::pair<void*, std::size_t>> blocks;
            for (int i = 0; i < 3000; ++i) {
                const std::size_t bytes = kSizes[random() % 7];
                blocks.emplace_back(filled(bytes), bytes);
                if (blocks.size() > 20) {
                    std::swap(blocks[random() % blocks.size()], blocks.back());
                    check_filled(blocks.back().first, blocks.back().second);
                    deallocate(blocks.back().first);
                    blocks.pop_back();
                }
            }
            for (const auto& [block, bytes] : blocks) deallocate(block);
        });
    std::thread disturber([&] {
        for (std::size_t i = 0; !stop.load(); ++i) {
            fastnn::set_cache_limit(i % 3 * kMiB);
            fastnn::empty_cache();
            CHECK(allocator_stats().live_blocks < 100);
        }
    });
    for (std::thread& thread : threads) thread.join();
    stop.store(true);
    disturber.join();
    CHECK_EQUAL(allocator_stats().live_bytes, 0U);
}

TEST_CASE(the_thread_s_own_cache_is_bounded) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{1000}, 16 * kKiB}) {
        std::vector<void*> blocks(1000);
        for (void*& block : blocks) block = filled(bytes);
        for (void* block : blocks) deallocate(block);
        const std::size_t calls = allocator_stats().system_calls;
        CHECK_EQUAL(allocator_stats().live_blocks, 0U);
        std::thread([&] {  // what the first thread does not keep, another can have
            for (int i = 0; i < 800; ++i) blocks[static_cast<std::size_t>(i)] = allocate(bytes);
            for (int i = 0; i < 800; ++i) deallocate(blocks[static_cast<std::size_t>(i)]);
        })
            .join();
        CHECK_EQUAL(allocator_stats().system_calls, calls);
        fastnn::empty_cache();
        CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
    }
}
