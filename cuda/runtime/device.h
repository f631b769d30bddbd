// SPDX-License-Identifier: BSD-3-Clause
// What differs between the module for a GPU and the same module built for the host: where arrays
// lie and what device there is. device.cpp implements it with the CUDA runtime; the host build has
// its own implementation.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/registry.h"

namespace fastnn::cuda {

struct Device {
    std::string name;
    int major;  // compute capability
    int minor;
    int multiprocessors;
    std::size_t memory_bytes;
};

// `reason` says in one sentence why `devices` is empty; it is empty itself when there is a device.
struct DeviceReport {
    std::vector<Device> devices;
    std::string reason;
    int driver_version;   // as CUDA numbers versions: 12040 is 12.4; 0 without a driver
    int runtime_version;  // of the toolkit that built this module
};

DeviceReport query_devices();

bool is_emulation();

// The attribute that arrays of this build's kind have, and what to call such an array.
const char* array_interface();
const char* array_kind();

// The memory of one call's arrays as a kernel sees it. On a GPU that is the arrays' own memory. The
// host build copies each array into a block of exactly its size, so that AddressSanitizer sees the
// first byte outside it.
class CallMemory {
  public:
    CallMemory();
    ~CallMemory();
    CallMemory(const CallMemory&) = delete;
    CallMemory& operator=(const CallMemory&) = delete;

    void* enter(void* data, std::size_t bytes, Role role);
    void finish();  // after the launch succeeded: results reach the caller's arrays

  private:
    struct Block {
        void* caller;
        void* allocation;
        void* kernel;
        std::size_t bytes;
        bool written;
    };
    std::vector<Block> blocks_;
};

}  // namespace fastnn::cuda
