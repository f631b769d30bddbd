// SPDX-License-Identifier: BSD-3-Clause
// The shared memory of one resident block, filled with 0xff bytes (NaN), within the limits of a
// device.
//
// Each variable is an allocation of exactly its size, so that AddressSanitizer sees the first byte
// outside it. With ThreadSanitizer it is a part of one arena that the scheduler allocates before
// the block starts, because there an allocation inside a fiber would count as a write of that one
// thread; arenas live until the launch is over, because freeing counts as a write too, and because
// an address used by two blocks would look like memory they share.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "cuemu.h"
#include "cuemu_fiber.h"

namespace cuemu {

constexpr std::size_t kStaticSharedLimit = 48 * 1024;
constexpr std::size_t kSharedLimit = 227 * 1024;  // of the largest device, after asking for it

class SharedMemory {
  public:
    explicit SharedMemory(std::size_t dynamic_bytes) : dynamic_bytes_(dynamic_bytes) {
        variables_.reserve(kMaxVariables);
        if (kTsan) {
            arena_ = filled(round_up(dynamic_bytes) + kStaticSharedLimit);
        } else {
            dynamic_ = filled(dynamic_bytes);
        }
    }

    // The address of a variable, made at the first call with this key.
    void* variable(const void* key, std::size_t bytes) {
        for (const Variable& v : variables_) {
            if (v.key == key) return v.data;
        }
        const std::size_t place = round_up(dynamic_bytes_) + static_bytes_;
        static_bytes_ += round_up(bytes);
        if (static_bytes_ > kStaticSharedLimit || variables_.size() == kMaxVariables) {
            fail({nullptr, 0}, "more than %zu bytes (or %zu variables) of shared memory",
                 kStaticSharedLimit, kMaxVariables);
        }
        if (static_bytes_ + dynamic_bytes_ > kSharedLimit) {
            fail({nullptr, 0}, "%zu bytes of dynamic and %zu of other shared memory are too much",
                 dynamic_bytes_, static_bytes_);
        }
        Variable added{key, nullptr, nullptr};
        if (kTsan) {
            added.data = arena_.get() + place;
        } else {
            added.owner = filled(bytes);
            added.data = added.owner.get();
        }
        variables_.push_back(std::move(added));
        return variables_.back().data;
    }

    void* dynamic() { return kTsan ? arena_.get() : dynamic_.get(); }

  private:
    static constexpr std::size_t kMaxVariables = 64;

    struct Variable {
        const void* key;
        std::unique_ptr<char[]> owner;
        char* data;
    };

    static std::size_t round_up(std::size_t bytes) { return (bytes + 15) / 16 * 16; }
    static std::unique_ptr<char[]> filled(std::size_t bytes) {
        std::unique_ptr<char[]> memory(new char[bytes]);  // aligned to 16 like all of malloc
        std::memset(memory.get(), 0xff, bytes);
        return memory;
    }

    std::size_t dynamic_bytes_;
    std::size_t static_bytes_ = 0;
    std::unique_ptr<char[]> dynamic_;
    std::unique_ptr<char[]> arena_;
    std::vector<Variable> variables_;
};

}  // namespace cuemu
