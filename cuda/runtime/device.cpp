// SPDX-License-Identifier: BSD-3-Clause
// The GPU side of device.h. The runtime is linked statically and looks for the driver at the first
// call, so importing the module needs neither.
#include "runtime/device.h"

#include <cuda_runtime_api.h>

namespace fastnn::cuda {
namespace {

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string reason_for(cudaError_t status, int driver_version) {
    switch (status) {
        case cudaErrorInsufficientDriver:
            if (driver_version == 0) return "the NVIDIA driver is not installed";
            return "the NVIDIA driver supports CUDA " + version_text(driver_version) +
                   ", but this build needs " + version_text(CUDART_VERSION);
        case cudaErrorNoDevice:
            return "the NVIDIA driver sees no GPU (is CUDA_VISIBLE_DEVICES set?)";
        default:
            return std::string("the CUDA runtime reports: ") + cudaGetErrorString(status);
    }
}

}  // namespace

DeviceReport query_devices() {
    DeviceReport report{{}, {}, 0, CUDART_VERSION};
    if (cudaDriverGetVersion(&report.driver_version) != cudaSuccess) report.driver_version = 0;
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    for (int i = 0; status == cudaSuccess && i < count; ++i) {
        cudaDeviceProp properties;
        status = cudaGetDeviceProperties(&properties, i);
        if (status != cudaSuccess) break;
        report.devices.push_back({properties.name, properties.major, properties.minor,
                                  properties.multiProcessorCount, properties.totalGlobalMem});
    }
    if (status != cudaSuccess) {
        (void)cudaGetLastError();  // the error is reported here, not by the next launch
        report.devices.clear();
        report.reason = reason_for(status, report.driver_version);
    } else if (report.devices.empty()) {
        report.reason = reason_for(cudaErrorNoDevice, report.driver_version);
    }
    return report;
}

bool is_emulation() { return false; }

const char* array_interface() { return "__cuda_array_interface__"; }
const char* array_kind() { return "an array on the GPU"; }

CallMemory::CallMemory() = default;
CallMemory::~CallMemory() = default;
void* CallMemory::enter(void* data, std::size_t, Role) { return data; }
void CallMemory::finish() {}

}  // namespace fastnn::cuda
