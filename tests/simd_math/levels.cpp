// SPDX-License-Identifier: BSD-3-Clause
// Prints the instruction-set levels that this machine can run, lowest first, one a line.
#include <cstdio>

#include "runtime/isa.h"

int main() {
    for (int level = 0; level <= fastnn::level_supported(); ++level) {
        std::puts(fastnn::kLevelNames[level]);
    }
}
