// SPDX-License-Identifier: BSD-3-Clause
// Reading numbers and flags from environment variables. Compiled at the baseline only; kernels do
// not include it.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace fastnn {

enum class EnvNumber { kUnset, kValid, kMalformed };

// A decimal integer in [low, high], blanks around it allowed; an empty variable counts as unset.
// With `first_of_list` what follows a comma is not looked at (OMP_NUM_THREADS="4,2" names one
// number per nesting level).
inline EnvNumber read_env_number(const char* name, long long low, long long high,
                                 bool first_of_list, long long* value) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return EnvNumber::kUnset;
    errno = 0;
    char* end = nullptr;
    const long long number = std::strtoll(text, &end, 10);
    if (end == text || errno == ERANGE || number < low || number > high)
        return EnvNumber::kMalformed;
    end += std::strspn(end, " \t");
    if (*end != '\0' && !(first_of_list && *end == ',')) return EnvNumber::kMalformed;
    *value = number;
    return EnvNumber::kValid;
}

// Whether the comma-separated list in the variable has `word` as one of its members.
inline bool env_list_has(const char* name, const char* word) {
    const char* text = std::getenv(name);
    const std::size_t length = std::strlen(word);
    while (text != nullptr && *text != '\0') {
        const std::size_t member = std::strcspn(text, ",");
        if (member == length && std::strncmp(text, word, length) == 0) return true;
        text += member;
        if (*text == ',') ++text;
    }
    return false;
}

// Whether the comma-separated list in the variable has a member that is not `word`.
inline bool env_list_has_other(const char* name, const char* word) {
    const char* text = std::getenv(name);
    const std::size_t length = std::strlen(word);
    while (text != nullptr && *text != '\0') {
        const std::size_t member = std::strcspn(text, ",");
        if (member != 0 && (member != length || std::strncmp(text, word, length) != 0)) return true;
        text += member;
        if (*text == ',') ++text;
    }
    return false;
}

}  // namespace fastnn
