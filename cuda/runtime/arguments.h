// SPDX-License-Identifier: BSD-3-Clause
// From the Python arguments of one kernel call to checked plain values.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/registry.h"

namespace fastnn::cuda {

// One word of a kernel's specification.
struct Word {
    enum class Form { kNumber, kSameShape, kAnyShape };
    std::string name;
    Form form;
};

struct CheckedArray {
    std::size_t position;  // among the kernel's arguments
    std::size_t bytes;
    Role role;
};

struct CheckedCall {
    const Variant* variant;
    std::vector<Value> values;  // the stream last
    std::vector<CheckedArray> arrays;
};

// Fails (std::logic_error, at import) if the words do not fit the launcher's C++ signature.
std::vector<Word> parse_specification(const Kernel& kernel);

// Raises ValueError, and TypeError for what is no array or number at all; both name the kernel,
// what it expected and what it got.
CheckedCall check_arguments(const Kernel& kernel, const std::vector<Word>& words,
                            const pybind11::args& arguments);

const char* type_name(const ArgumentType& type);

}  // namespace fastnn::cuda
