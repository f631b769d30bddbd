// SPDX-License-Identifier: BSD-3-Clause
// The Python module of the CUDA kernels: one function per registered kernel, and what there is to
// know about the devices. The same file, linked with the host's device.h implementation, is the
// module of the emulation.
//
// A kernel is called as name(arrays and numbers in the order of its specification, stream=0); the
// stream is an integer handle such as cupy.cuda.Stream.ptr. Arrays are read through the (CUDA)
// array interface, so nothing of CuPy or NumPy is needed here. Every argument is checked before the
// launch, because a kernel given wrong memory does not fail: it corrupts something else.
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runtime/arguments.h"
#include "runtime/device.h"
#include "runtime/registry.h"

#ifndef FASTNN_CUDA_MODULE
#define FASTNN_CUDA_MODULE _cuda
#endif

namespace py = pybind11;

namespace fastnn::cuda {
namespace {

std::string signature_of(const Kernel& kernel, const std::vector<Word>& words) {
    std::string text = std::string(kernel.name) + "(";
    for (const Word& word : words) text += word.name + ", ";
    text += "stream=0)\n\nElement types:";
    for (std::size_t v = 0; v < kernel.variant_count; ++v) {
        text += v == 0 ? " " : "; ";
        const Variant& variant = kernel.variants[v];
        std::string separator;
        for (std::size_t i = 0; i < words.size(); ++i) {
            const ArgumentType& type = variant.arguments[i];
            const char* direction = type.role == Role::kOut     ? "out "
                                    : type.role == Role::kInOut ? "inout "
                                                                : "";
            text += separator + direction + words[i].name + " " + type_name(type);
            separator = ", ";
        }
    }
    return text + ".";
}

// Checks the arguments, starts the kernel with the GIL released, and names the kernel in whatever
// goes wrong.
void call(const Kernel& kernel, const std::vector<Word>& words, const py::args& arguments) {
    const auto named = [&](const std::exception& e) {
        return std::string(kernel.name) + ": " + e.what();
    };
    try {
        CheckedCall checked = check_arguments(kernel, words, arguments);
        const py::gil_scoped_release unlocked;
        CallMemory memory;
        for (const CheckedArray& array : checked.arrays) {
            Value& value = checked.values[array.position];
            value.data = memory.enter(value.data, array.bytes, array.role);
        }
        checked.variant->call(checked.variant->function, checked.values.data());
        memory.finish();
    } catch (const py::cast_error& e) {  // a number out of range, a malformed array interface
        throw py::value_error(named(e));
    } catch (const py::builtin_exception&) {
        throw;  // an argument check, already worded for people
    } catch (const std::invalid_argument& e) {
        throw std::invalid_argument(named(e));  // ValueError in Python
    } catch (const std::runtime_error& e) {
        throw std::runtime_error(named(e));
    }
}

py::dict device_info() {
    const DeviceReport report = query_devices();
    py::list devices;
    for (const Device& device : report.devices) {
        py::dict entry;
        entry["name"] = device.name;
        entry["compute_capability"] = py::make_tuple(device.major, device.minor);
        entry["multiprocessors"] = device.multiprocessors;
        entry["memory_bytes"] = device.memory_bytes;
        devices.append(entry);
    }
    py::dict info;
    info["count"] = report.devices.size();
    info["reason"] = report.reason;
    info["driver_version"] = report.driver_version;
    info["runtime_version"] = report.runtime_version;
    info["devices"] = devices;
    return info;
}

py::list kernel_names() {
    py::list names;
    for (const Kernel* k = first_kernel(); k != nullptr; k = k->next) names.append(k->name);
    names.attr("sort")();
    return names;
}

}  // namespace

void define_module(py::module_& module) {
    module.doc() = "CUDA kernels of fastnn. Results go into arrays that the caller allocated.";
    module.def(
        "device_count", [] { return query_devices().devices.size(); },
        "The number of usable devices; 0 where there is no driver.");
    module.def("device_info", &device_info,
               "count, reason (why the count is 0, else empty), driver_version, runtime_version "
               "and devices.");
    module.def(
        "device_problem", [] { return query_devices().reason; },
        "One sentence that says why device_count() is 0; empty where it is not.");
    module.def("kernels", &kernel_names, "The names of all kernels in this module.");
    module.def("is_emulation", &is_emulation,
               "Whether kernels run in the host emulation instead of on a GPU.");
    py::options options;
    options.disable_function_signatures();  // they would say (*args); the text says the arguments
    for (const Kernel* kernel = first_kernel(); kernel != nullptr; kernel = kernel->next) {
        std::vector<Word> words = parse_specification(*kernel);
        const std::string doc = signature_of(*kernel, words);
        module.def(
            kernel->name,
            [kernel, words = std::move(words)](const py::args& arguments) {
                call(*kernel, words, arguments);
            },
            doc.c_str());
    }
}

}  // namespace fastnn::cuda

PYBIND11_MODULE(FASTNN_CUDA_MODULE, module) { fastnn::cuda::define_module(module); }
