// SPDX-License-Identifier: BSD-3-Clause
// What kernels call: barriers, warp collectives, spinning, shared memory; and the checks of each.
// All of it runs on the current thread's fiber; with ThreadSanitizer it must not allocate
// (cuemu_shared.h says why).
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "cuemu.h"
#include "cuemu_state.h"

namespace cuemu {
namespace {

bool same_place(Place a, Place b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

void wait(State state, Place place) {
    Thread& self = *scheduler.current;
    self.state = state;
    self.place = place;
    leave(self.fiber, false);
}

void wake(Thread& thread) {
    thread.state = State::kReady;
    scheduler.run->ready.insert(thread.position);
    scheduler.run->progress = true;
}

}  // namespace

void finish_thread() {
    Thread& self = *scheduler.current;
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
    tsan_release(&scheduler.finish_sync);
    self.state = State::kFinished;
    ++block.finished;
    scheduler.run->progress = true;
    leave(self.fiber, true);
    __builtin_unreachable();
}

void fail(Place place, const char* format, ...) {
    char what[384];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const dim3 b = scheduler.current->block->index;
    std::snprintf(scheduler.failure, sizeof scheduler.failure,
                  "%s:%d: %s (block (%u, %u, %u), thread %u)", base_name(place.file), place.line,
                  what, b.x, b.y, b.z, scheduler.current->number);
    scheduler.failed = true;
    leave(scheduler.current->fiber, true);
    __builtin_unreachable();
}

int barrier(Place place, Reduction reduction, int value) {
    Block& block = *scheduler.current->block;
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
        leave(scheduler.current->fiber, false);  // so that the run order decides who goes first
    } else {
        wait(State::kAtBarrier, place);
    }
    tsan_acquire(block.barrier_sync(parity));
    return block.result[parity];
}

void collective(const Collective& call) {
    Thread& self = *scheduler.current;
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

unsigned lane_index() { return scheduler.current->number % kWarp; }

void spin(Place place) {
    scheduler.current->place = place;
    scheduler.run->spinning.push_back(scheduler.current);
    leave(scheduler.current->fiber, false);
}

void* shared_variable(const void* key, std::size_t bytes) {
    return scheduler.current->block->shared.variable(key, bytes);
}
void* dynamic_shared() { return scheduler.current->block->shared.dynamic(); }

}  // namespace cuemu
