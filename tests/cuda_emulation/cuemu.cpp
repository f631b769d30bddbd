// SPDX-License-Identifier: BSD-3-Clause
// The scheduler of the emulation: launches, run orders, barriers, warp collectives, and the checks
// of each.
//
// Compiled without -fsanitize=thread even in the ThreadSanitizer build: what the scheduler reads
// and writes is no business of the kernel's, and only tsan_release and tsan_acquire say what a
// barrier orders. Per barrier there are two such objects, used in turn: with one, a thread that
// leaves late would also acquire what a fast thread released at the next barrier, and a race
// between the two phases would go unseen.
#include "cuemu.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuemu_fiber.h"
#include "cuemu_ready.h"
#include "cuemu_shared.h"

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuemu {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxResidentThreads = 16384;
constexpr int kSpinRounds = 1000;

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
    std::vector<std::unique_ptr<Block>>
        blocks;  // resident, in the order in which they were started
    ReadySet ready;
    std::vector<Thread*> spinning;
    std::vector<Thread*> by_position;
    bool progress;  // since the last round of spinning
};

std::mutex run_mutex;  // one launch at a time; guards all that follows
int chosen_order = 0;
Run* active = nullptr;
Thread* current = nullptr;
bool failed = false;
char failure[512];  // no std::string: the frames that would own it are abandoned
char launch_sync;
char finish_sync;

std::size_t count_of(dim3 d) { return static_cast<std::size_t>(d.x) * d.y * d.z; }

dim3 index_of(std::size_t number, dim3 extent) {
    return dim3(static_cast<unsigned>(number % extent.x),
                static_cast<unsigned>(number / extent.x % extent.y),
                static_cast<unsigned>(number / extent.x / extent.y));
}

const char* base_name(const char* path) {
    if (path == nullptr) return "?";
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr ? slash + 1 : path;
}

bool same_place(Place a, Place b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

// ---- waiting and waking, called by fibers ----

void wait(State state, Place place) {
    Thread& self = *current;
    self.state = state;
    self.place = place;
    leave(self.fiber, false);
}

void wake(Thread& thread) {
    thread.state = State::kReady;
    active->ready.insert(thread.position);
    active->progress = true;
}

void finish_thread() {
    Thread& self = *current;
    Block& block = *self.block;
    if (block.waiting > 0) {
        fail(block.barrier_place, "thread %u exits while %u threads wait at this barrier",
             self.number, block.waiting);
    }
    Thread* warp = &block.threads[self.number / kWarp * kWarp];
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        const Thread& other = warp[lane];
        if (other.state == State::kInCollective &&
            (other.call.mask >> self.number % kWarp & 1u) != 0) {
            fail(other.place, "lane %u exits while lane %u waits for it in %s", self.number % kWarp,
                 lane, other.call.name);
        }
    }
    tsan_release(&finish_sync);
    self.state = State::kFinished;
    ++block.finished;
    active->progress = true;
    leave(self.fiber, true);
}

void run_thread() {
    tsan_acquire(&launch_sync);
    active->launch->body(active->launch->context);
    finish_thread();
}

// ---- the scheduler ----

void check_limits(const Launch& launch) {
    const dim3 g = launch.grid;
    const dim3 b = launch.block;
    const auto refuse = [](const std::string& what) {
        throw std::runtime_error("the launch failed: " + what);
    };
    const std::size_t threads = count_of(b);
    if (count_of(g) == 0) refuse("a grid of no blocks");
    if (g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535) {
        refuse("a grid larger than 2^31-1 x 65535 x 65535");
    }
    if (threads == 0 || threads > 1024 || b.x > 1024 || b.y > 1024 || b.z > 64) {
        refuse("a block of " + std::to_string(threads) + " threads, expected 1 to 1024");
    }
    if (threads % kWarp != 0) {
        refuse("a block of " + std::to_string(threads) + " threads, expected a multiple of 32");
    }
    if (launch.shared_bytes > kSharedLimit) {
        refuse(std::to_string(launch.shared_bytes) + " bytes of shared memory, expected at most " +
               std::to_string(kSharedLimit));
    }
    if (launch.cooperative && count_of(g) > kMaxResidentThreads / threads) {
        refuse("a cooperative grid whose blocks are not all resident");
    }
}

bool is_reversed(int order) { return order == 1 || order == 4; }
bool is_random(int order) { return order == 2; }
bool is_greedy(int order) { return order >= 3; }

void start_block(Run& run, std::size_t number) {
    const Launch& launch = *run.launch;
    const unsigned count = static_cast<unsigned>(count_of(launch.block));
    const unsigned first = static_cast<unsigned>(run.by_position.size());
    run.blocks.push_back(
        std::make_unique<Block>(index_of(number, launch.grid), count, launch.shared_bytes));
    Block& block = *run.blocks.back();
    for (unsigned t = 0; t < count; ++t) {
        Thread& thread = block.threads[t];
        thread = {};
        thread.block = &block;
        thread.index = index_of(t, launch.block);
        thread.number = t;
        thread.position = first + (is_reversed(chosen_order) ? count - 1 - t : t);
    }
    run.by_position.resize(first + count);
    for (Thread& thread : block.threads) run.by_position[thread.position] = &thread;
}

// The identity of a thread's fiber. Block by block it shifts by one, so that thread t of two blocks
// is not one and the same thread for ThreadSanitizer, which would then see no race between them.
unsigned fiber_identity(const Run& run, const Thread& thread, std::size_t block_number) {
    const std::size_t count = run.by_position.size();
    return static_cast<unsigned>((thread.position + block_number) % count);
}

void resume(Run& run, Thread& thread, std::size_t block_number) {
    if (thread.fiber == nullptr) {
        thread.fiber = take_fiber(fiber_identity(run, thread, block_number));
        prepare(thread.fiber, run_thread);
    }
    current = &thread;
    threadIdx = thread.index;
    blockIdx = thread.block->index;
    enter(thread.fiber);
    if (thread.state == State::kFinished) {
        give_back(thread.fiber);
        thread.fiber = nullptr;
    }
}

void report_deadlock(const Run& run) {
    unsigned at_barriers = 0;
    unsigned in_collectives = 0;
    const Thread* example = nullptr;
    for (const Thread* thread : run.by_position) {
        if (thread->state == State::kFinished) continue;
        if (thread->state == State::kAtBarrier) ++at_barriers;
        if (thread->state == State::kInCollective) ++in_collectives;
        if (example == nullptr || thread->state == State::kInCollective) example = thread;
    }
    std::snprintf(failure, sizeof failure,
                  "deadlock: %u threads wait at barriers and %u in warp collectives, thread %u of "
                  "block (%u, %u, %u) at %s:%d",
                  at_barriers, in_collectives, example->number, example->block->index.x,
                  example->block->index.y, example->block->index.z, base_name(example->place.file),
                  example->place.line);
    failed = true;
}

// Runs the resident threads to their end, or until something fails.
void schedule(Run& run, std::size_t block_number) {
    std::mt19937 random(chosen_order + static_cast<unsigned>(block_number));
    const unsigned count = static_cast<unsigned>(run.by_position.size());
    std::size_t unfinished = count;
    unsigned next = 0;
    int idle_rounds = 0;
    run.ready.reset(count, true);
    run.spinning.reserve(count);  // fibers push here, and must not allocate: see cuemu_shared.h
    while (unfinished > 0 && !failed) {
        if (is_random(chosen_order)) next = static_cast<unsigned>(random() % count);
        if (is_greedy(chosen_order)) next = 0;
        const int position = run.ready.first_from(next);
        if (position >= 0) {
            run.ready.erase(static_cast<unsigned>(position));
            Thread& thread = *run.by_position[static_cast<unsigned>(position)];
            resume(run, thread, block_number);
            if (thread.state == State::kFinished) --unfinished;
            next = static_cast<unsigned>(position + 1) % count;
        } else if (!run.spinning.empty()) {
            idle_rounds = run.progress ? 0 : idle_rounds + 1;
            if (idle_rounds > kSpinRounds) {
                const Thread& thread = *run.spinning.front();
                std::snprintf(failure, sizeof failure,
                              "livelock: %zu threads spin without end, thread %u at %s:%d%s",
                              run.spinning.size(), thread.number, base_name(thread.place.file),
                              thread.place.line,
                              run.launch->cooperative
                                  ? ""
                                  : " (only a cooperative launch may wait for another block)");
                failed = true;
            }
            for (Thread* thread : run.spinning) run.ready.insert(thread->position);
            run.spinning.clear();
            run.progress = false;
        } else {
            report_deadlock(run);
        }
    }
    for (Thread* thread : run.by_position) {  // after a failure some are left
        if (thread->fiber != nullptr) give_back(thread->fiber);
    }
    run.by_position.clear();
    run.spinning.clear();
}

std::vector<std::size_t> block_order(std::size_t count) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (is_reversed(chosen_order)) std::reverse(order.begin(), order.end());
    if (is_random(chosen_order)) std::shuffle(order.begin(), order.end(), std::mt19937(7));
    return order;
}

}  // namespace

void run(const Launch& launch) {
    const std::lock_guard<std::mutex> lock(run_mutex);
    check_limits(launch);
    Run run{&launch, {}, {}, {}, {}, false};
    active = &run;
    failed = false;
    blockDim = launch.block;
    gridDim = launch.grid;
    std::size_t started = 0;
    for (const std::size_t number : block_order(count_of(launch.grid))) {
        start_block(run, number);
        ++started;
        if (launch.cooperative && started < count_of(launch.grid)) continue;
        tsan_release(&launch_sync);
        schedule(run, started);
        if (failed) break;
        if (!kTsan) run.blocks.clear();  // see cuemu_shared.h for why they are kept
    }
    tsan_acquire(&finish_sync);
    active = nullptr;
    current = nullptr;
    if (failed) throw std::runtime_error(failure);
}

// ---- what kernels call ----

void fail(Place place, const char* format, ...) {
    char what[384];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const dim3 b = current->block->index;
    std::snprintf(failure, sizeof failure, "%s:%d: %s (block (%u, %u, %u), thread %u)",
                  base_name(place.file), place.line, what, b.x, b.y, b.z, current->number);
    failed = true;
    leave(current->fiber, true);
    __builtin_unreachable();
}

int barrier(Place place, Reduction reduction, int value) {
    Block& block = *current->block;
    if (block.finished > 0) {
        fail(place, "barrier after %u of %zu threads have exited", block.finished,
             block.threads.size());
    }
    const unsigned parity = block.parity;
    if (block.waiting == 0) {
        block.barrier_place = place;
        block.reduction = reduction;
        block.result[parity] = reduction == Reduction::kAnd ? 1 : 0;
    } else if (!same_place(place, block.barrier_place)) {
        fail(place, "divergent barrier: %u threads wait at %s:%d", block.waiting,
             base_name(block.barrier_place.file), block.barrier_place.line);
    }
    switch (reduction) {
        case Reduction::kNone:
            break;
        case Reduction::kCount:
            block.result[parity] += value != 0 ? 1 : 0;
            break;
        case Reduction::kAnd:
            block.result[parity] &= value != 0 ? 1 : 0;
            break;
        case Reduction::kOr:
            block.result[parity] |= value != 0 ? 1 : 0;
            break;
    }
    tsan_release(block.barrier_sync(parity));
    if (++block.waiting == block.threads.size()) {
        block.waiting = 0;
        block.parity ^= 1u;
        for (Thread& thread : block.threads) wake(thread);
        leave(current->fiber, false);  // so that the run order decides who goes first
    } else {
        wait(State::kAtBarrier, place);
    }
    tsan_acquire(block.barrier_sync(parity));
    return block.result[parity];
}

void collective(const Collective& call) {
    Thread& self = *current;
    Thread* warp = &self.block->threads[self.number / kWarp * kWarp];
    const unsigned own_lane = lane_index();
    if ((call.mask >> own_lane & 1u) == 0) {
        fail(call.place, "lane %u calls %s with the mask 0x%08x, which lacks it", own_lane,
             call.name, call.mask);
    }
    self.call = call;
    self.state = State::kInCollective;
    unsigned arrived = 0;
    void* operands[kWarp] = {};
    Thread* lowest = nullptr;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if ((call.mask >> lane & 1u) == 0) continue;
        Thread& other = warp[lane];
        if (lowest == nullptr) lowest = &other;
        if (other.state == State::kFinished) {
            fail(call.place, "the mask 0x%08x of %s names lane %u, which has exited", call.mask,
                 call.name, lane);
        }
        if (other.state != State::kInCollective) continue;
        const Collective& theirs = other.call;
        if (theirs.mask != call.mask || !same_place(theirs.place, call.place) ||
            std::strcmp(theirs.name, call.name) != 0) {
            fail(call.place,
                 "lane %u calls %s with the mask 0x%08x while lane %u waits in %s at %s:%d with "
                 "0x%08x",
                 own_lane, call.name, call.mask, lane, theirs.name, base_name(theirs.place.file),
                 theirs.place.line, theirs.mask);
        }
        arrived |= 1u << lane;
        operands[lane] = theirs.operands;
    }
    const unsigned parity = lowest->warp_barriers & 1u;
    void* const sync = self.block->warp_sync(lowest->number, parity);
    if (call.orders_memory) tsan_release(sync);
    if (arrived == call.mask) {
        call.compute(operands, call.mask);
        ++lowest->warp_barriers;
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            if ((call.mask >> lane & 1u) != 0) wake(warp[lane]);
        }
        leave(self.fiber, false);
    } else {
        wait(State::kInCollective, call.place);
    }
    if (call.orders_memory) tsan_acquire(sync);
}

unsigned lane_index() { return current->number % kWarp; }

void spin(Place place) {
    current->place = place;
    active->spinning.push_back(current);
    leave(current->fiber, false);
}

void* shared_variable(const void* key, std::size_t bytes) {
    return current->block->shared.variable(key, bytes);
}
void* dynamic_shared() { return current->block->shared.dynamic(); }

}  // namespace cuemu

// 0 forward, 1 reverse, 2 random; 3 and 4 greedy forward and reverse: always the first thread that
// can run, so that a warp or block gets as far ahead of the others as the barriers allow. Called
// through ctypes by the tests.
extern "C" __attribute__((visibility("default"))) void cuemu_set_order(int order) {
    const std::lock_guard<std::mutex> lock(cuemu::run_mutex);
    cuemu::chosen_order = order;
}
