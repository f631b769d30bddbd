// SPDX-License-Identifier: BSD-3-Clause
// The allocator's shared store: free lists that every thread may use, under one mutex. Private to
// the allocator.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "runtime/allocator_block.h"

namespace fastnn::blocks {

// Everything is under `mutex`. Never destroyed: arrays may be freed while the process ends.
struct SharedStore {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    Header* lists[kSizeClasses] = {};
    std::uint64_t last_use[kSizeClasses] = {};  // the clock when a block of the class came or went
    std::uint64_t clock = 0;
    std::size_t cached_bytes = 0;
    std::size_t limit = 0;
};

extern SharedStore shared_store;

struct StoreLock {
    StoreLock() { pthread_mutex_lock(&shared_store.mutex); }
    ~StoreLock() { pthread_mutex_unlock(&shared_store.mutex); }
    StoreLock(const StoreLock&) = delete;
    StoreLock& operator=(const StoreLock&) = delete;
};

// Puts a list of free blocks, all of one class, into the store; what does not fit goes back to the
// system.
void share(Header* list);

// Up to `count` linked blocks of a class.
Header* unshare(int size_class, int count);

// Under the lock: takes blocks of the class that was unused for longest off the lists until `bytes`
// more fit within the limit. The caller gives the returned list back after unlocking, because
// unmapping takes long.
Header* make_room(std::size_t bytes);

}  // namespace fastnn::blocks
