// SPDX-License-Identifier: BSD-3-Clause
// Internal to the seam (spec.cpp and launch.cpp).
#pragma once

#include "runtime/launch.h"

namespace fastnn {

void parse_specification(Kernel& kernel);

// Whether two slots of one launch are the same memory with the same layout.
bool same_layout(const Launch& launch, const Slot& a, const Slot& b);

}  // namespace fastnn
