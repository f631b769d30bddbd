// SPDX-License-Identifier: BSD-3-Clause
// Memory from the operating system.
//
// A mapped region is [prefix, rounded up to a page | bytes, rounded up to a page], with the second
// part at a multiple of the huge page: the caller's header costs one small page and the data fill
// whole huge pages.
#include "runtime/system_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "runtime/cgroup.h"
#include "runtime/environment.h"

namespace fastnn {
namespace {

std::atomic<std::size_t> allocation_count{0};

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t round_up(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

char* map(std::size_t bytes) {
    void* region = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return region == MAP_FAILED ? nullptr : static_cast<char*>(region);
}

void* map_block(std::size_t bytes, std::size_t prefix) {
    const std::size_t head = round_up(prefix, page_bytes());
    const std::size_t data = round_up(bytes, page_bytes());
    char* region = map(head + data + kHugePage);
    if (region == nullptr) {  // perhaps there is room without the alignment
        region = map(head + data);
        return region == nullptr ? nullptr : region + head;
    }
    const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(region) + head;
    const std::size_t before = (kHugePage - first % kHugePage) % kHugePage;
    const std::size_t after = kHugePage - before;
    if (before != 0) munmap(region, before);
    if (after != 0) munmap(region + before + head + data, after);
    char* block = region + before + head;
#if defined(MADV_HUGEPAGE)
    madvise(block, data, MADV_HUGEPAGE);  // a hint: a kernel without huge pages refuses it
#endif
    return block;
}

}  // namespace

void* system_allocate(std::size_t bytes, std::size_t prefix) {
    allocation_count.fetch_add(1, std::memory_order_relaxed);
    if (bytes >= kHugePage) return map_block(bytes, prefix);
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, prefix + bytes) != 0) return nullptr;
    return static_cast<char*>(memory) + prefix;
}

void system_free(void* memory, std::size_t bytes, std::size_t prefix) {
    if (bytes >= kHugePage) {
        const std::size_t head = round_up(prefix, page_bytes());
        munmap(static_cast<char*>(memory) - head, head + round_up(bytes, page_bytes()));
    } else {
        std::free(static_cast<char*>(memory) - prefix);
    }
}

std::size_t system_allocation_count() { return allocation_count.load(std::memory_order_relaxed); }

std::size_t half_of_available_memory() {
    std::uint64_t bytes = cgroup_memory_limit();
    const long pages = sysconf(_SC_PHYS_PAGES);
    if (pages > 0) bytes = std::min(bytes, static_cast<std::uint64_t>(pages) * page_bytes());
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(bytes / 2, std::numeric_limits<std::size_t>::max()));
}

bool poison_requested() {
    // Not a guarded static: a fork in the middle of its first use would leave the child waiting for
    // ever.
    static std::atomic<int> requested{-1};
    int answer = requested.load(std::memory_order_relaxed);
    if (answer < 0) {
        answer = env_list_has("FASTNN_DEBUG", "poison") ? 1 : 0;
        requested.store(answer, std::memory_order_relaxed);
    }
    return answer != 0;
}

}  // namespace fastnn
