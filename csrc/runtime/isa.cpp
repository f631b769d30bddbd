// SPDX-License-Identifier: BSD-3-Clause
// Run-time choice of the instruction-set level. The names follow the x86-64 psABI
// micro-architecture levels.
#include "runtime/isa.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace fastnn {
namespace {

int detect() {
#if defined(FASTNN_LEVELS_X86)
    __builtin_cpu_init();
    // The features that the flags of each level let the compiler use, checked one by one: older
    // compilers do not know the psABI level names. __builtin_cpu_supports also asks the operating
    // system (XGETBV) for AVX and AVX-512 state.
    const bool v2 = __builtin_cpu_supports("sse3") && __builtin_cpu_supports("ssse3") &&
                    __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("popcnt");
    if (!v2) return -1;
    // LZCNT, MOVBE and F16C are on every processor that has AVX2, FMA and BMI2.
    const bool v3 = __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
                    __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
    if (!v3) return 0;
    const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    return v4 ? 2 : 1;
#else
    return 0;
#endif
}

int find(const char* name) {
    for (int i = 0; i < kLevelCount; ++i) {
        if (std::strcmp(name, kLevelNames[i]) == 0) return i;
    }
    return -1;
}

struct Choice {
    int supported = detect();
    std::atomic<int> in_use{supported};
    std::string problem;

    Choice() {
        const char* wanted = std::getenv("FASTNN_ISA");
        if (wanted == nullptr || *wanted == '\0' || supported < 0) return;
        const int level = find(wanted);
        if (level < 0) {
            problem =
                std::string("FASTNN_ISA=") + wanted + " names no level of this build; expected";
            for (int i = 0; i <= supported; ++i)
                problem += std::string(i == 0 ? " " : " or ") + kLevelNames[i];
        } else if (level > supported) {
            problem = std::string("FASTNN_ISA=") + wanted +
                      " is above what this processor supports; expected at most " +
                      kLevelNames[supported];
        } else {
            in_use = level;
        }
    }
};

Choice& choice() {
    static Choice instance;
    return instance;
}

}  // namespace

int level_supported() { return choice().supported; }

int level_in_use() { return choice().in_use.load(std::memory_order_relaxed); }

bool set_level(const char* name) {
    const int level = find(name);
    if (level < 0 || level > choice().supported) return false;
    choice().in_use.store(level, std::memory_order_relaxed);
    return true;
}

const char* level_problem() {
    return choice().problem.empty() ? nullptr : choice().problem.c_str();
}

}  // namespace fastnn
