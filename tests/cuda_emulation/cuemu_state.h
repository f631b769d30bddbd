// SPDX-License-Identifier: BSD-3-Clause
// The state of a launch, shared by the scheduler (cuemu.cpp) and by what kernels call
// (cuemu_sync.cpp).
//
// Both are compiled without -fsanitize=thread even in the ThreadSanitizer build: what the scheduler
// reads and writes is no business of the kernel's, and only tsan_release and tsan_acquire say what
// a barrier orders. Per barrier there are two such objects, used in turn: with one, a thread that
// leaves late would also acquire what a fast thread released at the next barrier, and a race
// between the two phases would go unseen.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "cuemu.h"
#include "cuemu_fiber.h"
#include "cuemu_ready.h"
#include "cuemu_shared.h"

namespace cuemu {

constexpr unsigned kWarp = 32;

enum class State { kReady, kAtBarrier, kInCollective, kFinished };

struct Block;

struct Thread {
    Block* block;
    dim3 index;
    unsigned number;    // in the block
    unsigned position;  // in the ready set
    Fiber* fiber;
    State state;
    Place place;             // where it waits
    Collective call;         // of a thread in a collective
    unsigned warp_barriers;  // that this thread, as the lowest lane, has completed
};

struct Block {
    Block(dim3 index_, unsigned thread_count, std::size_t shared_bytes)
        : index(index_),
          threads(thread_count),
          shared(shared_bytes),
          sync(new char[2 * (thread_count + 1) * kSyncStride]) {}

    // Objects for tsan_release and tsan_acquire: of the block barrier, and of the warp barriers
    // whose lowest lane is the given thread.
    void* barrier_sync(unsigned turn) { return &sync[turn * kSyncStride]; }
    void* warp_sync(unsigned thread, unsigned turn) {
        return &sync[(2 * (thread + 1) + turn) * kSyncStride];
    }

    static constexpr std::size_t kSyncStride = 8;

    dim3 index;
    std::vector<Thread> threads;
    SharedMemory shared;
    std::unique_ptr<char[]> sync;

    unsigned finished = 0;
    unsigned waiting = 0;  // at the barrier
    Place barrier_place{};
    unsigned parity = 0;
    Reduction reduction = Reduction::kNone;
    int result[2] = {};
};

struct Run {
    const Launch* launch;
    std::vector<std::unique_ptr<Block>> blocks;  // resident; with ThreadSanitizer all so far
    ReadySet ready;
    std::vector<Thread*> spinning;
    std::vector<Thread*> by_position;
    bool progress;  // since the last round of spinning
};

// One launch at a time; a lock in run() guards all of this.
struct Scheduler {
    Run* run;
    Thread* current;
    bool failed;
    char failure[512];  // no std::string: the frames that would own it are abandoned
    char launch_sync;   // released before threads start
    char finish_sync;   // released by each thread at its end
};
extern Scheduler scheduler;

// As the current thread: its end.
[[noreturn]] void finish_thread();

inline const char* base_name(const char* path) {
    if (path == nullptr) return "?";
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr ? slash + 1 : path;
}

}  // namespace cuemu
