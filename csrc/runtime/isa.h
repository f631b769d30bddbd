// SPDX-License-Identifier: BSD-3-Clause
// The instruction-set levels for which every kernel file is compiled, and the one in use.
#pragma once

namespace fastnn {

#if defined(FASTNN_LEVELS_X86)
inline constexpr int kLevelCount = 3;
inline constexpr const char* kLevelNames[kLevelCount] = {"x86_v2", "x86_v3", "x86_v4"};
#elif defined(FASTNN_LEVELS_NEON)
inline constexpr int kLevelCount = 1;
inline constexpr const char* kLevelNames[kLevelCount] = {"neon"};
#else
inline constexpr int kLevelCount = 1;
inline constexpr const char* kLevelNames[kLevelCount] = {"generic"};
#endif

int level_supported();  // highest level that this processor and its operating system can run; -1 if
                        // not even the first
int level_in_use();     // index into kLevelNames; chosen at load, lowered by FASTNN_ISA

// Returns false, and changes nothing, for an unknown level or one above level_supported(). Not to
// be called while kernels run: it is for tests, which drive every level of the machine in one
// process.
bool set_level(const char* name);

// What FASTNN_ISA asked for when it could not be followed, else null.
const char* level_problem();

}  // namespace fastnn
