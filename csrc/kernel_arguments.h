// SPDX-License-Identifier: BSD-3-Clause
// From Python arguments to a launch: which variant of a kernel takes them, and their argument
// block. Driven by the kernel's own description.
#pragma once

#include <string>
#include <vector>

#include "numpy_api.h"
#include "runtime/launch.h"

namespace fastnn {

inline bool is_buffer(ArgKind kind) {
    return kind == ArgKind::kArray || kind == ArgKind::kStrided || kind == ArgKind::kList;
}

// The variant whose element types are those of the arguments; -1 when there is none. Sets `known`
// false for a type that the kernel does not take at its place: a fallback may.
int find_variant(const Kernel& kernel, PyObject* const* args, bool& known);

// An argument in words, for errors: type, shape and what is odd about its memory.
std::string describe(PyObject* value);

// A launch under construction: the fixed part on the stack, lists behind it on the heap.
class BlockBuilder {
  public:
    BlockBuilder(const Kernel& kernel, int variant)
        : kernel_(kernel), types_(kernel.variants[variant].args) {}
    BlockBuilder(const BlockBuilder&) = delete;
    BlockBuilder& operator=(const BlockBuilder&) = delete;

    // The arrays of lists are held until the launch is over: while the GIL is released anybody may
    // clear a list. Arguments themselves are held by the caller.
    ~BlockBuilder() {
        for (PyObject* item : held_) Py_DECREF(item);
    }

    // False with an exception set: an argument is not what the specification says.
    bool read(PyObject* const* args);

    const char* data() const { return whole_.empty() ? fixed_ : whole_.data(); }
    std::size_t bytes() const { return whole_.empty() ? kernel_.fixed_bytes : whole_.size(); }
    idx elements() const { return elements_; }

  private:
    bool read_one(int i, PyObject* value);
    bool read_list(const ArgSpec& spec, const ArgType& type, PyObject* value, ListRef& out);
    bool read_ints(const ArgSpec& spec, PyObject* value, IntList& out);

    const Kernel& kernel_;
    const ArgType* types_;
    std::vector<ListItem> items_;
    std::vector<PyObject*> held_;
    std::vector<char> whole_;
    idx elements_ = 0;
    alignas(16) char fixed_[kMaxFixedBlock];
};

}  // namespace fastnn
