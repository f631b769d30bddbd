// SPDX-License-Identifier: BSD-3-Clause
// Uses the launch seam from C++ alone: finds a kernel by name, fills a block, checks it, reads its
// slot table, records it, moves its buffers and launches it again. Linked with csrc/runtime and
// csrc/ops/activation.cpp, compiled once per level, without Python. Prints what failed and exits
// with 1, or "0 failures".
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "runtime/launch.h"

namespace {

using namespace fastnn;

int failures = 0;

void check(bool ok, const char* what) {
    if (ok) return;
    std::printf("failed: %s\n", what);
    ++failures;
}

Array vector_of(float* data, idx n) {
    Array a{};
    a.data = data;
    a.size = n;
    a.ndim = 1;
    a.dtype = DType::kFloat32;
    a.shape[0] = n;
    a.strides[0] = 1;
    return a;
}

struct Keeper : Recorder {
    std::vector<std::vector<char>> blocks;
    std::vector<const Kernel*> kernels;

    static bool keep(Recorder* self, const Launch& launch) {
        Keeper& me = *static_cast<Keeper*>(self);
        me.blocks.emplace_back(launch.block, launch.block + launch.bytes);
        me.kernels.push_back(launch.kernel);
        return true;  // recorded instead of run
    }
};

int float_variant(const Kernel& kernel) {
    for (int v = 0; v < kernel.n_variants; ++v) {
        if (kernel.variants[v].args[0].dtype == DType::kFloat32) return v;
    }
    return -1;
}

void unary(const char* name, float (*expected)(float)) {
    const Kernel* kernel = find_kernel(name);
    check(kernel != nullptr, name);
    if (kernel == nullptr) return;
    constexpr idx kN = 1000;
    std::vector<float> x(kN), y(kN, -7.0f), elsewhere(kN, -7.0f);
    for (idx i = 0; i < kN; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i - 500) / 100;

    std::vector<char> block(kernel->fixed_bytes);
    const Array args[2] = {vector_of(x.data(), kN), vector_of(y.data(), kN)};
    for (int i = 0; i < 2; ++i)
        std::memcpy(block.data() + kernel->offsets[i], &args[i], sizeof(Array));
    const Launch what{kernel, float_variant(*kernel), block.data(), block.size()};
    char message[256];
    check(check_block(what, message, sizeof(message)), "a right block passes its checks");

    Slot slots[4];
    check(slot_table(what, slots, 4) == 2, "two buffers");
    check(slots[0].access == Access::kIn && slots[1].access == Access::kOut, "in, then out");
    check(slots[1].low == reinterpret_cast<const char*>(y.data()),
          "the output begins where it does");
    check(slots[1].extent == kN * 4, "its extent is its bytes");

    Keeper keeper;
    keeper.take = Keeper::keep;
    set_recorder(&keeper);
    check(launch(what) == Status::kOk, "a recorder takes the launch");
    set_recorder(nullptr);
    check(y[3] == -7.0f, "a taken launch does not run");
    check(keeper.blocks.size() == 1 && keeper.kernels[0] == kernel, "it was recorded");

    // Moved to another output: the pointer stands where the slot table says.
    float* target = elsewhere.data();
    std::memcpy(keeper.blocks[0].data() + slots[1].position, &target, sizeof(target));
    const Launch moved{kernel, what.variant, keeper.blocks[0].data(), keeper.blocks[0].size()};
    for (int level = 0; level <= level_supported(); ++level) {
        check(set_level(kLevelNames[level]), "a supported level can be set");
        std::fill(elsewhere.begin(), elsewhere.end(), -7.0f);
        check(launch(moved) == Status::kOk, "the moved launch runs");
        for (std::size_t i = 0; i < x.size(); ++i) {
            const float want = expected(x[i]);
            check(std::fabs(elsewhere[i] - want) <= 4e-7f * (1 + std::fabs(want)), name);
        }
    }
    check(y[3] == -7.0f, "the first output was left alone");

    reinterpret_cast<Array*>(block.data() + kernel->offsets[1])->shape[0] = kN - 1;
    check(!check_block(what, message, sizeof(message)), "a wrong shape is refused");
    check(std::strstr(message, "same shape") != nullptr, "and said to be one");
}

float relu(float x) { return x > 0 ? x : 0; }
float tanh_of(float x) { return std::tanh(x); }

}  // namespace

int main() {
    check(kernel_count() > 4, "kernels register themselves");
    check(find_kernel("no such kernel") == nullptr, "an unknown name gives null");
    check(!set_level("no such level"), "an unknown level is refused");
    unary("relu_forward", relu);
    unary("tanh_forward", tanh_of);
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
