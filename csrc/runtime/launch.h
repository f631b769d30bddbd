// SPDX-License-Identifier: BSD-3-Clause
// The launch seam: the one way in which a kernel runs, from Python and from C++ alike.
//
// A launch is a kernel, one of its variants (element types), a block of plain bytes that holds
// every argument, and a table of the places in that block where buffers stand. The block can be
// copied, its buffer pointers replaced by way of the slot table, and launched again: that is all
// that capture and replay need.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/isa.h"
#include "runtime/types.h"

namespace fastnn {

enum class ArgKind : std::uint8_t { kArray, kStrided, kList, kInt, kFloat, kFlag, kInts };
enum class Access : std::uint8_t { kIn = 1, kOut = 2, kInOut = 3 };

// The static type of one argument of one variant.
struct ArgType {
    ArgKind kind;
    Access access;  // of arrays and lists
    DType dtype;    // of arrays and lists
};

// What a kernel may answer. Everything that can be known from types and shapes is checked before it
// runs.
enum class Status : std::uint8_t { kOk, kNoMemory, kBadIndex, kBadValue };

using RunFn = Status (*)(const char* block);

struct VariantInfo {
    const ArgType* args;
    int n_args;
};

enum KernelFlags : unsigned {
    kPlain = 0,
    kInPlace = 1,     // an output may be exactly one of the inputs (same address, same layout)
    kAllocating = 2,  // all arguments are (...)-shaped arrays, the last one the output: has an
                      // allocating entry too
};

inline constexpr int kMaxArgs = 20;
inline constexpr int kMaxSymbols = 16;
inline constexpr std::size_t kMaxFixedBlock = kMaxArgs * sizeof(Array);

// One argument of the specification string, parsed. A dimension is a symbol (>= 0) or a literal
// size (-1 - size).
struct ArgSpec {
    char name[32];
    bool optional;
    enum Shape : std::uint8_t { kScalar, kAnyShape, kCommonShape, kDims, kItems } shape;
    int n_dims;
    idx dims[kMaxDims];
};

struct Kernel {
    const char* name;
    const char* text;  // the specification, as it stands in FASTNN_OP
    unsigned flags;
    int n_args;
    int n_variants;
    const VariantInfo* variants;
    const RunFn* runs[kLevelCount];
    int id;
    ArgSpec args[kMaxArgs];
    std::size_t offsets[kMaxArgs];  // of every argument in the block; the same in all variants
    std::size_t fixed_bytes;        // the block without the items of its lists
    Kernel* next;
};

// Registration, by FASTNN_OP alone. Ends the program on a malformed specification: that is a bug of
// this library.
void register_kernel(Kernel* kernel);

// The kernels, by name in alphabetical order; the ids are their positions.
int kernel_count();
const Kernel* kernel_at(int id);
const Kernel* find_kernel(const char* name);

struct Launch {
    const Kernel* kernel;
    int variant;
    const char* block;
    std::size_t bytes;
};

// One buffer in a block. The pointer stands at `position`; the kernel touches [low, low + extent)
// and nothing else. `buffer` names the allocation (0 where the caller did not say) and `offset` is
// low - the allocation's first byte.
struct Slot {
    std::uint32_t position;
    Access access;
    int arg;   // the argument it belongs to
    int item;  // its place in a list argument, else 0
    const char* low;
    idx extent;
    std::uintptr_t buffer;
    idx offset;
};

// Fills `slots` (room for `capacity`) and returns how many the launch has; absent optionals and
// empty buffers have none.
int slot_table(const Launch& launch, Slot* slots, int capacity);

// Checks shapes and overlap of a filled-in block against the kernel's specification. On failure
// writes a sentence (without the kernel's name) into `message` and returns false.
bool check_block(const Launch& launch, char* message, std::size_t capacity);

// A recorder sees every launch of its thread before it would run. True from `take` means: do not
// run it.
struct Recorder {
    bool (*take)(Recorder* self, const Launch& launch);
};

Recorder* set_recorder(Recorder* recorder);  // of the calling thread; returns the one before
Recorder* recorder();

// Runs the launch, or hands it to the recorder of the calling thread. The block has been checked.
Status launch(const Launch& launch);

const char* dtype_name(DType dtype);
std::size_t dtype_bytes(DType dtype);

}  // namespace fastnn
