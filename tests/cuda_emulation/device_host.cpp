// SPDX-License-Identifier: BSD-3-Clause
// The host side of cuda/runtime/device.h: arrays are NumPy's, the device is the emulation.
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/device.h"

namespace fastnn::cuda {

DeviceReport query_devices() { return {{{"SIMT emulation on the host", 0, 0, 1, 0}}, "", 0, 0}; }

bool is_emulation() { return true; }

const char* array_interface() { return "__array_interface__"; }
const char* array_kind() { return "a NumPy array"; }

CallMemory::CallMemory() = default;

CallMemory::~CallMemory() {
    for (const Block& block : blocks_) std::free(block.allocation);
}

// A copy at the same offset from a 16-byte boundary, ending where its allocation ends. What a
// kernel only writes starts as NaN, unless it shares memory with an input.
void* CallMemory::enter(void* data, std::size_t bytes, Role role) {
    for (Block& block : blocks_) {
        if (block.caller == data && block.bytes == bytes) {
            block.written = block.written || role != Role::kIn;
            if (role != Role::kOut && bytes > 0) std::memcpy(block.kernel, data, bytes);
            return block.kernel;
        }
    }
    const std::size_t offset = reinterpret_cast<std::uintptr_t>(data) % 16;
    char* allocation = static_cast<char*>(std::malloc(offset + bytes));
    if (allocation == nullptr && offset + bytes > 0) throw std::bad_alloc();
    if (offset + bytes > 0) std::memset(allocation, 0xff, offset + bytes);
    char* kernel = allocation + offset;
    if (role != Role::kOut && bytes > 0) std::memcpy(kernel, data, bytes);
    blocks_.push_back({data, allocation, kernel, bytes, role != Role::kIn});
    return kernel;
}

void CallMemory::finish() {
    for (const Block& block : blocks_) {
        if (block.written && block.bytes > 0) {
            std::memcpy(block.caller, block.kernel, block.bytes);
        }
    }
}

}  // namespace fastnn::cuda
