// SPDX-License-Identifier: BSD-3-Clause
// The little that the native runtime tests need: named cases, each run in a process of its own (so
// that a case may set environment variables, limits and signal masks), a check that names its line,
// a skip that gives its reason.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

struct TestCase {
    const char* name;
    void (*run)();
    TestCase* next;
    static TestCase*& first() {
        static TestCase* list = nullptr;
        return list;
    }
    TestCase(const char* case_name, void (*function)())
        : name(case_name), run(function), next(first()) {
        first() = this;
    }
};

#define TEST_CASE(name)                             \
    static void name();                             \
    static TestCase registered_##name(#name, name); \
    static void name()

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
            std::fflush(stdout);                                                      \
            std::_Exit(1);                                                            \
        }                                                                             \
    } while (false)

#define CHECK_EQUAL(left, right)                                                      \
    do {                                                                              \
        const auto left_value = (left);                                               \
        const auto right_value = (right);                                             \
        if (!(left_value == right_value)) {                                           \
            std::printf("%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #left, \
                        static_cast<long long>(left_value), #right,                   \
                        static_cast<long long>(right_value));                         \
            std::fflush(stdout);                                                      \
            std::_Exit(1);                                                            \
        }                                                                             \
    } while (false)

[[noreturn]] inline void skip(const char* reason) {
    std::printf("%s\n", reason);
    std::fflush(stdout);
    std::_Exit(77);
}

// Runs body() in a forked child and returns the wait status; a child that hangs is ended by its
// alarm.
template <class F>
int run_in_child(const F& body) {
    std::fflush(stdout);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        body();
        std::fflush(stdout);
        std::_Exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

inline bool succeeded(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }

int main(int argc, char** argv) {
    for (TestCase* test = TestCase::first(); test != nullptr; test = test->next) {
        if (argc != 2 || std::strcmp(argv[1], test->name) != 0) continue;
        test->run();
        return 0;
    }
    std::printf("usage: one case name\n");
    return 2;
}
