// SPDX-License-Identifier: BSD-3-Clause
// Scratch memory of the calling thread: four buffers that only grow and go back when the thread
// ends. They come from the system directly, so that the allocator's figures are about arrays alone.
#include <cstddef>
#include <cstring>

#include "runtime/allocator.h"
#include "runtime/pool.h"
#include "runtime/system_memory.h"

namespace fastnn {
namespace {

constexpr int kSlots = 4;
constexpr std::size_t kGrain = 4096;

struct Scratch {
    void* memory[kSlots] = {};
    std::size_t bytes[kSlots] = {};

    ~Scratch() {
        for (int slot = 0; slot < kSlots; ++slot) release(slot);
    }

    void release(int slot) {
        if (memory[slot] != nullptr) system_free(memory[slot], bytes[slot], 0);
        memory[slot] = nullptr;
        bytes[slot] = 0;
    }

    void* grow(std::size_t wanted, int slot) {
        release(slot);  // first, so that the peak is the new size alone
        if (wanted > static_cast<std::size_t>(-1) / 2) return nullptr;
        const std::size_t grains = wanted == 0 ? 1 : (wanted - 1) / kGrain + 1;
        const std::size_t rounded = grains * kGrain;
        memory[slot] = system_allocate(rounded, 0);
        if (memory[slot] == nullptr) {
            empty_cache();
            memory[slot] = system_allocate(rounded, 0);
        }
        if (memory[slot] != nullptr) bytes[slot] = rounded;
        return memory[slot];
    }
};

thread_local Scratch scratch;

}  // namespace

void* pool_scratch(std::size_t bytes, int slot) {
    if (slot < 0 || slot >= kSlots) return nullptr;
    Scratch& mine = scratch;
    void* memory = mine.memory[slot];
    if (memory == nullptr || bytes > mine.bytes[slot]) memory = mine.grow(bytes, slot);
    if (memory != nullptr && poison_requested()) std::memset(memory, 0xff, mine.bytes[slot]);
    return memory;
}

}  // namespace fastnn
