// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory of the pool's threads.
#include <cstdint>
#include <initializer_list>
#include <thread>

#include "check.h"
#include "runtime/pool.h"

TEST_CASE(scratch_is_aligned_stable_and_per_thread) {
    void* slots[4];
    for (int slot = 0; slot < 4; ++slot) {
        slots[slot] = fastnn::pool_scratch(1000, slot);
        CHECK(slots[slot] != nullptr);
        CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(slots[slot]) % 64, 0U);
        std::memset(slots[slot], slot, 1000);
        for (int other = 0; other < slot; ++other) CHECK(slots[other] != slots[slot]);
    }
    for (int slot = 0; slot < 4; ++slot) {
        CHECK_EQUAL(static_cast<unsigned char*>(slots[slot])[999], slot);
        CHECK(fastnn::pool_scratch(1000, slot) == slots[slot]);  // no second allocation
        CHECK(fastnn::pool_scratch(0, slot) == slots[slot]);
    }
    for (const std::size_t bytes : {std::size_t{1} << 16, std::size_t{5} << 20}) {
        void* grown = fastnn::pool_scratch(bytes, 0);
        CHECK(grown != nullptr);
        CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(grown) % 64, 0U);
        std::memset(grown, 1, bytes);
        CHECK(fastnn::pool_scratch(64, 0) == grown);
    }
    CHECK(fastnn::pool_scratch(64, -1) == nullptr);
    CHECK(fastnn::pool_scratch(64, 4) == nullptr);
    CHECK(fastnn::pool_scratch(SIZE_MAX, 1) == nullptr);
    CHECK(fastnn::pool_scratch(64, 1) != nullptr);
    std::thread([&] { CHECK(fastnn::pool_scratch(1000, 2) != slots[2]); }).join();
}
