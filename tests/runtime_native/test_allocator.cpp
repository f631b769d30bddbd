// SPDX-License-Identifier: BSD-3-Clause
// The allocator: size classes, reuse, limits, threads, fork, exhaustion, and what debugging makes
// visible.
#include <signal.h>
#include <sys/resource.h>

#include <cstdint>
#include <random>
#include <vector>

#include "allocator_blocks.h"
#include "check.h"

#if TEST_ASAN
#include <sanitizer/asan_interface.h>
#endif

TEST_CASE(size_classes_waste_little) {
    int previous = 0;
    const auto check = [&](std::size_t bytes) {
        const int size_class = fastnn::size_class_of(bytes);
        const std::size_t rounded = fastnn::class_bytes(size_class);
        CHECK(rounded >= bytes);
        CHECK_EQUAL(rounded % 64, 0U);
        CHECK(rounded - bytes < 64 || (rounded - bytes) * 8 < bytes || bytes == 0);
        CHECK(size_class >= previous && size_class < fastnn::kSizeClasses);
        CHECK_EQUAL(fastnn::size_class_of(rounded), size_class);
        CHECK(size_class == 0 || fastnn::class_bytes(size_class - 1) < (bytes == 0 ? 1 : bytes));
        previous = size_class;
    };
    for (std::size_t bytes = 0; bytes < 100'000; ++bytes) check(bytes);
    for (std::size_t power = 17; power < 47; ++power)
        for (std::size_t part = 0; part < 16; ++part)
            for (const std::size_t offset : {0, 1, 2})
                check((std::size_t{1} << power) / 16 * (16 + part) + offset);
    check(fastnn::kMaxBlock);
    CHECK_EQUAL(fastnn::size_class_of(fastnn::kMaxBlock), fastnn::kSizeClasses - 1);
}

TEST_CASE(blocks_are_aligned_and_apart) {
    std::vector<std::pair<void*, std::size_t>> blocks;
    for (int round = 0; round < 3; ++round)
        for (const std::size_t bytes : kSizes) {
            void* block = filled(bytes);
            CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(block) % 64, 0U);
            if (bytes >= 2 * kMiB)
                CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(block) % (2 * kMiB), 0U);
            CHECK(fastnn::block_bytes(block) >= bytes);
            blocks.emplace_back(block, bytes);
        }
    for (const auto& [block, bytes] : blocks) check_filled(block, bytes);
    for (const auto& [block, bytes] : blocks) deallocate(block);
}

TEST_CASE(no_bytes_and_null_are_fine) {
    void* first = allocate(0);
    void* second = allocate(0);
    CHECK(first != nullptr && second != nullptr && first != second);
    deallocate(first);
    deallocate(second);
    deallocate(nullptr);
    CHECK_EQUAL(allocator_stats().live_blocks, 0U);
}

TEST_CASE(a_freed_block_is_used_again) {
    for (const std::size_t bytes : kSizes) {
        void* first = allocate(bytes);
        deallocate(first);
        void* second = allocate(bytes);
        CHECK(first == second);
        deallocate(second);
    }
}

TEST_CASE(a_steady_loop_asks_the_system_for_nothing) {
    std::size_t calls = 0;
    for (int step = 0; step < 60; ++step) {
        std::mt19937 random(7);  // the same sizes in every step
        std::vector<void*> blocks;
        for (int i = 0; i < 300; ++i) {
            const auto shift = random() % 22;
            blocks.push_back(allocate((random() % 2 + 1) << shift));
            CHECK(blocks.back() != nullptr);
            if (random() % 3 == 0) {
                std::swap(blocks[random() % blocks.size()], blocks.back());
                deallocate(blocks.back());
                blocks.pop_back();
            }
        }
        for (void* block : blocks) deallocate(block);
        if (step == 1) calls = allocator_stats().system_calls;
    }
    CHECK_EQUAL(allocator_stats().system_calls, calls);
}

TEST_CASE(the_figures_are_exact) {
    fastnn::empty_cache();
    const fastnn::AllocatorStats start = allocator_stats();
    CHECK_EQUAL(start.live_bytes, 0U);
    CHECK_EQUAL(start.cached_bytes, 0U);
    std::vector<void*> blocks;
    std::size_t live = 0;
    for (const std::size_t bytes : kSizes) {
        blocks.push_back(allocate(bytes));
        live += class_of(bytes);
    }
    const std::size_t count = blocks.size();
    const fastnn::AllocatorStats full = allocator_stats();
    CHECK_EQUAL(full.live_bytes, live);
    CHECK_EQUAL(full.peak_bytes, live);
    CHECK_EQUAL(full.live_blocks, count);
    CHECK_EQUAL(full.cached_bytes, 0U);
    CHECK_EQUAL(full.system_calls - start.system_calls, count);
    for (void* block : blocks) deallocate(block);
    const fastnn::AllocatorStats free = allocator_stats();
    CHECK_EQUAL(free.live_bytes, 0U);
    CHECK_EQUAL(free.live_blocks, 0U);
    CHECK_EQUAL(free.peak_bytes, live);
    CHECK_EQUAL(free.cached_bytes, live);
    fastnn::empty_cache();
    CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
    CHECK_EQUAL(allocator_stats().system_calls, full.system_calls);
}

TEST_CASE(exhaustion_flushes_the_cache_and_then_gives_null) {
    if (TEST_ASAN || TEST_TSAN) skip("a sanitizer needs more address space than the limit leaves");
    deallocate(allocate(1));
    fastnn::empty_cache();
    long pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%ld", &pages) != 1) skip("needs /proc/self/statm");
    std::fclose(file);
    const auto used = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
    const rlimit limit{used + rlim_t{256 * kMiB}, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    void* first = allocate(64 * kMiB);
    void* second = allocate(64 * kMiB);
    CHECK(first != nullptr && second != nullptr);
    deallocate(first);
    deallocate(second);
    CHECK_EQUAL(allocator_stats().cached_bytes, 128 * kMiB);
    CHECK(allocate(kMiB * kMiB) == nullptr);  // nothing could make room for this, yet it has tried
    CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
    first = allocate(64 * kMiB);
    second = allocate(64 * kMiB);
    deallocate(first);
    deallocate(second);
    void* large = allocate(200 * kMiB);  // fits only without the cache
    CHECK(large != nullptr);
    CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
    CHECK(allocate(200 * kMiB) == nullptr);
    CHECK_EQUAL(allocator_stats().live_blocks, 1U);
    deallocate(large);
    void* again = filled(100);  // and life goes on
    deallocate(again);
}

TEST_CASE(absurd_sizes_give_null_and_cost_nothing) {
    deallocate(allocate(kMiB));
    const fastnn::AllocatorStats before = allocator_stats();
    for (const std::size_t bytes : {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX / 2, fastnn::kMaxBlock + 1})
        CHECK(allocate(bytes) == nullptr);
    CHECK_EQUAL(allocator_stats().cached_bytes, before.cached_bytes);
    CHECK_EQUAL(allocator_stats().live_blocks, 0U);
}

TEST_CASE(the_cache_limit_comes_from_the_environment) {
    setenv("FASTNN_CACHE_MB", "8", 1);
    CHECK_EQUAL(allocator_stats().cache_limit, 8 * kMiB);
    CHECK(std::strcmp(fastnn::allocator_config_problem(), "") == 0);
    std::vector<void*> blocks(12);
    for (void*& block : blocks) block = allocate(kMiB);
    for (void* block : blocks) deallocate(block);
    CHECK_EQUAL(allocator_stats().cached_bytes, 8 * kMiB);
    deallocate(
        allocate(9 * kMiB));  // larger than the limit: never cached, and nothing makes way for it
    CHECK_EQUAL(allocator_stats().cached_bytes, 8 * kMiB);
    fastnn::set_cache_limit(3 * kMiB);
    CHECK_EQUAL(allocator_stats().cached_bytes, 3 * kMiB);
}

TEST_CASE(a_malformed_cache_limit_is_ignored_and_named) {
    const std::size_t usual = [] {
        std::size_t bytes = 0;
        int pipe_ends[2];
        CHECK(pipe(pipe_ends) == 0);
        CHECK(succeeded(run_in_child([&] {
            const std::size_t limit = allocator_stats().cache_limit;
            CHECK(write(pipe_ends[1], &limit, sizeof limit) == sizeof limit);
        })));
        CHECK(read(pipe_ends[0], &bytes, sizeof bytes) == sizeof bytes);
        return bytes;
    }();
    CHECK(usual > kMiB);
    for (const char* text : {"lots", "-1", "1.5", "12MB", "999999999999999999999"})
        CHECK(succeeded(run_in_child([&] {
            setenv("FASTNN_CACHE_MB", text, 1);
            CHECK_EQUAL(allocator_stats().cache_limit, usual);
            CHECK(std::strstr(fastnn::allocator_config_problem(), "FASTNN_CACHE_MB") != nullptr);
            CHECK(std::strstr(fastnn::allocator_config_problem(), text) != nullptr);
        })));
}

TEST_CASE(the_size_unused_for_longest_makes_way) {
    fastnn::set_cache_limit(8 * kMiB);
    std::vector<void*> old_size(6);
    for (void*& block : old_size) block = allocate(kMiB);
    void* new_size[2] = {allocate(3 * kMiB), allocate(3 * kMiB)};
    for (void* block : old_size) deallocate(block);
    for (void* block : new_size) deallocate(block);
    CHECK(allocator_stats().cached_bytes <= 8 * kMiB);
    const std::size_t calls = allocator_stats().system_calls;
    void* again[2] = {allocate(3 * kMiB), allocate(3 * kMiB)};
    CHECK_EQUAL(allocator_stats().system_calls, calls);
    for (void* block : again) deallocate(block);
}

TEST_CASE(a_limit_of_zero_keeps_nothing) {
    setenv("FASTNN_CACHE_MB", "0", 1);
    for (const std::size_t bytes : kSizes) deallocate(filled(bytes));
    CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
    fastnn::set_cache_limit(64 * kMiB);
    for (const std::size_t bytes : kSizes) deallocate(filled(bytes));
    CHECK(allocator_stats().cached_bytes > 5 * kMiB);
    fastnn::set_cache_limit(0);
    CHECK_EQUAL(allocator_stats().cached_bytes, 0U);
}

TEST_CASE(poison_fills_what_is_fresh_and_what_is_free) {
    setenv("FASTNN_DEBUG", "poison", 1);
    for (const std::size_t bytes : kSizes)
        for (int round = 0; round < 2; ++round) {  // fresh, then from the cache
            auto* block = static_cast<volatile unsigned char*>(allocate(bytes));
            const std::size_t usable = fastnn::block_bytes(const_cast<const unsigned char*>(block));
            for (std::size_t i = 0; i < usable; ++i) CHECK(block[i] == 0xff);
            for (std::size_t i = 0; i < bytes; ++i) block[i] = 0;
            deallocate(const_cast<unsigned char*>(block));
            if (!TEST_ASAN)
                for (std::size_t i = 0; i < usable; ++i) CHECK(block[i] == 0xff);
        }
}

TEST_CASE(without_poison_a_freed_block_keeps_its_bytes) {
    if (TEST_ASAN) skip("AddressSanitizer forbids the look");
    unsetenv("FASTNN_DEBUG");
    auto* block = static_cast<volatile unsigned char*>(filled(3 * kMiB));
    deallocate(const_cast<unsigned char*>(block));
    CHECK(block[12345] == 3 * kMiB % 251);
}

TEST_CASE(address_sanitizer_sees_every_byte_that_is_out_of_bounds) {
#if TEST_ASAN
    for (const std::size_t bytes : kSizes) {
        for (int round = 0; round < 2; ++round) {
            auto* block = static_cast<char*>(allocate(bytes));
            CHECK(__asan_region_is_poisoned(block, bytes) == nullptr);
            CHECK(__asan_address_is_poisoned(block - 1) != 0);
            CHECK(__asan_address_is_poisoned(block - 64) != 0);
            if (bytes < class_of(bytes)) CHECK(__asan_address_is_poisoned(block + bytes) != 0);
            CHECK_EQUAL(fastnn::block_bytes(block), bytes);
            deallocate(block);
            for (const std::size_t at : {std::size_t{0}, bytes / 2, bytes - 1})
                CHECK(__asan_address_is_poisoned(block + at) != 0);
        }
    }
    // A mapped block that went back must not leave its poison to who is given the addresses next.
    void* mapped = allocate(8 * kMiB);
    deallocate(mapped);
    fastnn::empty_cache();
    CHECK(__asan_region_is_poisoned(mapped, 8 * kMiB) == nullptr);
#else
    skip("built without AddressSanitizer");
#endif
}

TEST_CASE(freeing_twice_ends_the_program) {
    const int status = run_in_child([] {
        std::FILE* quiet = std::freopen("/dev/null", "w", stderr);
        CHECK(quiet != nullptr);
        void* block = allocate(100);
        deallocate(block);
        deallocate(block);
    });
    CHECK(!succeeded(status));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
