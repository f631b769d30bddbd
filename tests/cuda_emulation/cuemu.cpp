// SPDX-License-Identifier: BSD-3-Clause
// The scheduler of the emulation: the limits of a launch, run orders, and the loop that runs the
// resident threads.
#include "cuemu.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuemu_fiber.h"
#include "cuemu_state.h"

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuemu {

Scheduler scheduler;

namespace {

constexpr unsigned kMaxResidentThreads = 16384;
constexpr int kSpinRounds = 1000;

std::mutex run_mutex;
int chosen_order = 0;

std::size_t count_of(dim3 d) { return static_cast<std::size_t>(d.x) * d.y * d.z; }

dim3 index_of(std::size_t number, dim3 extent) {
    return dim3(static_cast<unsigned>(number % extent.x),
                static_cast<unsigned>(number / extent.x % extent.y),
                static_cast<unsigned>(number / extent.x / extent.y));
}

void run_thread() {
    tsan_acquire(&scheduler.launch_sync);
    scheduler.run->launch->body(scheduler.run->launch->context);
    finish_thread();
}

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
    scheduler.current = &thread;
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
    std::snprintf(scheduler.failure, sizeof scheduler.failure,
                  "deadlock: %u threads wait at barriers and %u in warp collectives, thread %u of "
                  "block (%u, %u, %u) at %s:%d",
                  at_barriers, in_collectives, example->number, example->block->index.x,
                  example->block->index.y, example->block->index.z, base_name(example->place.file),
                  example->place.line);
    scheduler.failed = true;
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
    while (unfinished > 0 && !scheduler.failed) {
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
                std::snprintf(scheduler.failure, sizeof scheduler.failure,
                              "livelock: %zu threads spin without end, thread %u at %s:%d%s",
                              run.spinning.size(), thread.number, base_name(thread.place.file),
                              thread.place.line,
                              run.launch->cooperative
                                  ? ""
                                  : " (only a cooperative launch may wait for another block)");
                scheduler.failed = true;
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
    scheduler.run = &run;
    scheduler.failed = false;
    blockDim = launch.block;
    gridDim = launch.grid;
    std::size_t started = 0;
    for (const std::size_t number : block_order(count_of(launch.grid))) {
        start_block(run, number);
        ++started;
        if (launch.cooperative && started < count_of(launch.grid)) continue;
        tsan_release(&scheduler.launch_sync);
        schedule(run, started);
        if (scheduler.failed) break;
        if (!kTsan) run.blocks.clear();  // see cuemu_shared.h for why they are kept
    }
    tsan_acquire(&scheduler.finish_sync);
    scheduler.run = nullptr;
    scheduler.current = nullptr;
    if (scheduler.failed) throw std::runtime_error(scheduler.failure);
}

}  // namespace cuemu

// 0 forward, 1 reverse, 2 random; 3 and 4 greedy forward and reverse: always the first thread that
// can run, so that a warp or block gets as far ahead of the others as the barriers allow. Called
// through ctypes by the tests.
extern "C" __attribute__((visibility("default"))) void cuemu_set_order(int order) {
    const std::lock_guard<std::mutex> lock(cuemu::run_mutex);
    cuemu::chosen_order = order;
}
