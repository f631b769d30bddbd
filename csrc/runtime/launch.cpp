// SPDX-License-Identifier: BSD-3-Clause
// The kernel registry, slot tables and the launch itself.
#include "runtime/launch.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/spec.h"

namespace fastnn {
namespace {

Kernel*& pending() {
    static Kernel* head = nullptr;
    return head;
}

// Static constructors run in no particular order across files, so ids are given at the first
// look-up, by name.
const std::vector<Kernel*>& table() {
    static const std::vector<Kernel*> kernels = [] {
        std::vector<Kernel*> all;
        for (Kernel* k = pending(); k != nullptr; k = k->next) all.push_back(k);
        std::sort(all.begin(), all.end(), [](const Kernel* a, const Kernel* b) {
            return std::strcmp(a->name, b->name) < 0;
        });
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i]->id = static_cast<int>(i);
            if (i > 0 && std::strcmp(all[i - 1]->name, all[i]->name) == 0) {
                std::fprintf(stderr, "fastnn: two kernels are named %s\n", all[i]->name);
                std::abort();
            }
        }
        return all;
    }();
    return kernels;
}

thread_local Recorder* current_recorder = nullptr;

bool is_array(ArgKind kind) { return kind == ArgKind::kArray || kind == ArgKind::kStrided; }

// The bytes that a (possibly strided) array touches.
void touched(const Array& a, ArgKind kind, const char** low, idx* extent) {
    const idx item = static_cast<idx>(dtype_bytes(a.dtype));
    const char* first = static_cast<const char*>(a.data);
    *low = first;
    *extent = a.size * item;
    if (kind != ArgKind::kStrided || a.size == 0) return;
    idx below = 0;
    idx above = 0;
    for (int d = 0; d < a.ndim; ++d) {
        const idx reach = (a.shape[d] - 1) * a.strides[d];
        if (reach < 0) {
            below += reach;
        } else {
            above += reach;
        }
    }
    *low = first + below * item;
    *extent = (above - below + 1) * item;
}

}  // namespace

void register_kernel(Kernel* kernel) {
    parse_specification(*kernel);
    kernel->next = pending();
    pending() = kernel;
}

int kernel_count() { return static_cast<int>(table().size()); }

const Kernel* kernel_at(int id) {
    return id >= 0 && id < kernel_count() ? table()[static_cast<std::size_t>(id)] : nullptr;
}

const Kernel* find_kernel(const char* name) {
    for (const Kernel* kernel : table()) {
        if (std::strcmp(kernel->name, name) == 0) return kernel;
    }
    return nullptr;
}

int slot_table(const Launch& launch, Slot* slots, int capacity) {
    const Kernel& kernel = *launch.kernel;
    const ArgType* types = kernel.variants[launch.variant].args;
    int n = 0;
    const auto add = [&](std::size_t position, int arg, int item, Access access, const char* low,
                         idx extent) {
        if (extent == 0) return;
        if (n < capacity)
            slots[n] =
                Slot{static_cast<std::uint32_t>(position), access, arg, item, low, extent, 0, 0};
        ++n;
    };
    for (int i = 0; i < kernel.n_args; ++i) {
        const std::size_t at = kernel.offsets[i];
        if (is_array(types[i].kind)) {
            const Array& a = *reinterpret_cast<const Array*>(launch.block + at);
            if (a.data == nullptr) continue;
            const char* low = nullptr;
            idx extent = 0;
            touched(a, types[i].kind, &low, &extent);
            add(at + offsetof(Array, data), i, 0, types[i].access, low, extent);
        } else if (types[i].kind == ArgKind::kList) {
            const ListRef& list = *reinterpret_cast<const ListRef*>(launch.block + at);
            const idx bytes = static_cast<idx>(dtype_bytes(types[i].dtype));
            for (idx k = 0; k < list.count; ++k) {
                const std::size_t place = static_cast<std::size_t>(list.offset) +
                                          static_cast<std::size_t>(k) * sizeof(ListItem);
                const ListItem& item = *reinterpret_cast<const ListItem*>(launch.block + place);
                add(place + offsetof(ListItem, data), i, static_cast<int>(k), types[i].access,
                    static_cast<const char*>(item.data), item.size * bytes);
            }
        }
    }
    return n;
}

bool same_layout(const Launch& launch, const Slot& a, const Slot& b) {
    const Kernel& kernel = *launch.kernel;
    const ArgType* types = kernel.variants[launch.variant].args;
    if (a.low != b.low || a.extent != b.extent) return false;
    if (types[a.arg].kind == ArgKind::kList || types[b.arg].kind == ArgKind::kList) {
        return types[a.arg].kind == types[b.arg].kind && a.item == b.item &&
               types[a.arg].dtype == types[b.arg].dtype;
    }
    const Array& x = *reinterpret_cast<const Array*>(launch.block + kernel.offsets[a.arg]);
    const Array& y = *reinterpret_cast<const Array*>(launch.block + kernel.offsets[b.arg]);
    if (x.data != y.data || x.dtype != y.dtype || x.ndim != y.ndim) return false;
    const bool strided =
        types[a.arg].kind == ArgKind::kStrided && types[b.arg].kind == ArgKind::kStrided;
    for (int d = 0; d < x.ndim; ++d) {
        if (x.shape[d] != y.shape[d]) return false;
        if (strided && x.shape[d] > 1 && x.strides[d] != y.strides[d]) return false;
    }
    return strided || types[a.arg].kind == types[b.arg].kind;
}

Recorder* set_recorder(Recorder* recorder) {
    Recorder* before = current_recorder;
    current_recorder = recorder;
    return before;
}

Recorder* recorder() { return current_recorder; }

Status launch(const Launch& launch) {
    if (current_recorder != nullptr && current_recorder->take(current_recorder, launch))
        return Status::kOk;
    return launch.kernel->runs[level_in_use()][launch.variant](launch.block);
}

const char* dtype_name(DType dtype) {
    static constexpr const char* kNames[] = {"float32", "float64", "int64", "int32",
                                             "uint8",   "bool",    "?"};
    return kNames[static_cast<int>(dtype)];
}

std::size_t dtype_bytes(DType dtype) {
    static constexpr std::size_t kBytes[] = {4, 8, 8, 4, 1, 1, 0};
    return kBytes[static_cast<int>(dtype)];
}

}  // namespace fastnn
