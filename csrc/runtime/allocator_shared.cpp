// SPDX-License-Identifier: BSD-3-Clause
// The allocator's shared store. Eviction by age of a size class: a loop whose shapes have changed
// does not use its old sizes any more, and they must not keep the new ones from being cached.
#include "runtime/allocator_shared.h"

namespace fastnn::blocks {

SharedStore shared_store;

Header* make_room(std::size_t bytes) {
    Header* evicted = nullptr;
    while (shared_store.cached_bytes != 0 &&
           shared_store.cached_bytes + bytes > shared_store.limit) {
        int oldest = -1;
        for (int c = 0; c < kSizeClasses; ++c)
            if (shared_store.lists[c] != nullptr &&
                (oldest < 0 || shared_store.last_use[c] < shared_store.last_use[oldest]))
                oldest = c;
        while (shared_store.lists[oldest] != nullptr &&
               shared_store.cached_bytes + bytes > shared_store.limit) {
            Header* header = pop_block(&shared_store.lists[oldest]);
            shared_store.cached_bytes -= header->bytes;
            push_block(&evicted, header);
        }
    }
    return evicted;
}

void share(Header* list) {
    Header* rejected = nullptr;
    {
        const StoreLock lock;
        const int c = list->size_class;
        shared_store.last_use[c] = ++shared_store.clock;
        while (list != nullptr) {
            Header* header = pop_block(&list);
            if (header->bytes > shared_store.limit) {
                push_block(&rejected, header);
                continue;
            }
            for (Header* evicted = make_room(header->bytes); evicted != nullptr;)
                push_block(&rejected, pop_block(&evicted));
            push_block(&shared_store.lists[c], header);
            shared_store.cached_bytes += header->bytes;
        }
    }
    give_back(rejected);
}

Header* unshare(int size_class, int count) {
    const StoreLock lock;
    Header* list = nullptr;
    shared_store.last_use[size_class] = ++shared_store.clock;
    for (; count > 0 && shared_store.lists[size_class] != nullptr; --count) {
        Header* header = pop_block(&shared_store.lists[size_class]);
        shared_store.cached_bytes -= header->bytes;
        push_block(&list, header);
    }
    return list;
}

}  // namespace fastnn::blocks
