// SPDX-License-Identifier: BSD-3-Clause
// The thread pool. Work-claiming: the caller cuts a range into pieces, takes pieces itself and
// waits only for pieces that a worker has already claimed, so a busy machine never makes a call
// slower than one thread would.
//
// The pieces depend on (n, piece) alone, never on the number of threads: a kernel that lets every
// piece write its own part of the output gives the same bits on any number of threads.
#pragma once

#include <cstddef>

#include "runtime/types.h"

namespace fastnn {

using RangeFn = void (*)(void* context, idx begin, idx end);

// Calls fn(context, b, min(b + piece, n)) once for every b = 0, piece, 2*piece, ... < n, from the
// calling thread and from the pool's workers (with the caller's MXCSR). Returns when all have run.
// Called from inside a piece, or while another thread uses the pool, it runs every piece in the
// calling thread. A range of one piece does not occupy the pool: what fn calls may use it. fn must
// not throw and must not fork.
void pool_run(idx n, idx piece, RangeFn fn, void* context);

int pool_threads();  // threads that take part in a call, the caller included

// 1..1024, clamped; may exceed the number of cores. Holds from the next pool_run on.
void pool_set_threads(int n);

// One sentence for the user when FASTNN_NUM_THREADS or OMP_NUM_THREADS was malformed and ignored,
// else "".
const char* pool_config_problem();

// The participants (caller and workers) that ran at least one piece in the newest pool_run of the
// calling thread.
int pool_last_participants();

// For tests, off by default. While it is on, a pool_run that uses the pool begins when as many
// workers as it has pieces for have claimed one each: min(threads, pieces) take part, however busy
// the machine is. No piece is cut or combined in another way.
void pool_gather_workers(bool on);

// Memory of the calling thread for packing and partial results: 64-byte aligned, at least `bytes`
// long, contents undefined, valid until this thread asks again. It only grows. Null when there is
// no memory. Slots 0..3 are independent of each other, so that a kernel that runs inside another's
// piece can have its own.
void* pool_scratch(std::size_t bytes, int slot);

}  // namespace fastnn
