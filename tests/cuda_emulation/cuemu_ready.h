// SPDX-License-Identifier: BSD-3-Clause
// The set of threads that can run, as bits by position.
#pragma once

#include <cstdint>
#include <vector>

namespace cuemu {

class ReadySet {
  public:
    void reset(unsigned count, bool full) {
        words_.assign((count + 63) / 64, full ? ~std::uint64_t{0} : 0);
        if (full && count % 64 != 0) words_.back() = (std::uint64_t{1} << count % 64) - 1;
    }
    void insert(unsigned i) { words_[i / 64] |= std::uint64_t{1} << i % 64; }
    void erase(unsigned i) { words_[i / 64] &= ~(std::uint64_t{1} << i % 64); }

    // The first member at or after `start`, going round; -1 if there is none.
    int first_from(unsigned start) const {
        const std::size_t first_word = start / 64;
        const std::uint64_t high = words_[first_word] & (~std::uint64_t{0} << start % 64);
        if (high != 0) return position(first_word, high);
        for (std::size_t i = 1; i <= words_.size(); ++i) {
            const std::size_t w = (first_word + i) % words_.size();
            if (words_[w] != 0) return position(w, words_[w]);
        }
        return -1;
    }

  private:
    static int position(std::size_t word, std::uint64_t bits) {
        return static_cast<int>(word * 64) + __builtin_ctzll(bits);
    }

    std::vector<std::uint64_t> words_;
};

}  // namespace cuemu
