// SPDX-License-Identifier: BSD-3-Clause
// One block of the allocator: [Header, 64 bytes | data]; from 2 MiB the header stands at the end of
// a page of its own, before data that start on a huge page. The header says everything, so freeing
// needs no search, and free lists run through the headers, so cached data are not touched. Private
// to the allocator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "runtime/size_classes.h"
#include "runtime/system_memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define FASTNN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FASTNN_ASAN 1
#endif
#endif
#ifndef FASTNN_ASAN
#define FASTNN_ASAN 0
#endif
#if FASTNN_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace fastnn::blocks {

inline constexpr std::uint32_t kLive = 0x6c697665;
inline constexpr std::uint32_t kFree = 0x66726565;

struct alignas(64) Header {
    Header* next;
    std::size_t bytes;  // of the class
    std::size_t requested;
    std::int32_t size_class;
    std::uint32_t state;
};
static_assert(sizeof(Header) == 64);

inline char* data_of(Header* header) { return reinterpret_cast<char*>(header + 1); }
inline Header* header_of(void* block) { return static_cast<Header*>(block) - 1; }

// ---- debugging: AddressSanitizer and FASTNN_DEBUG=poison ----

// While a block is live its header is out of bounds for everybody: that is where an underflow
// shows.
inline void open_header([[maybe_unused]] Header* header) {
#if FASTNN_ASAN
    __asan_unpoison_memory_region(header, sizeof(Header));
#endif
}

inline void close_header([[maybe_unused]] Header* header) {
#if FASTNN_ASAN
    __asan_poison_memory_region(header, sizeof(Header));
#endif
}

inline void hide_data([[maybe_unused]] Header* header) {
#if FASTNN_ASAN
    __asan_poison_memory_region(data_of(header), header->bytes);
#endif
}

inline void show_data([[maybe_unused]] Header* header, [[maybe_unused]] std::size_t bytes) {
#if FASTNN_ASAN
    __asan_unpoison_memory_region(data_of(header), bytes);
#endif
}

inline std::size_t usable(const Header* header) {
    return FASTNN_ASAN ? header->requested : header->bytes;
}

inline void poison(Header* header) { std::memset(data_of(header), 0xff, usable(header)); }

[[noreturn]] inline void die_of_bad_free(const void* block) {
    std::fprintf(stderr,
                 "fastnn: deallocate(%p): this is not a live block (freed twice, or written before "
                 "its start)\n",
                 block);
    std::abort();
}

// ---- free lists ----

inline void push_block(Header** list, Header* header) {
    header->next = *list;
    *list = header;
}

inline Header* pop_block(Header** list) {
    Header* header = *list;
    *list = header->next;
    return header;
}

// ---- blocks from and to the system ----

inline std::size_t header_room(std::size_t bytes) {
    return bytes >= kHugePage ? 4096 : sizeof(Header);
}

inline Header* fresh_block(int size_class) {
    const std::size_t bytes = class_bytes(size_class);
    void* data = system_allocate(bytes, header_room(bytes));
    if (data == nullptr) return nullptr;
    Header* header = new (header_of(data)) Header{};
    header->bytes = bytes;
    header->size_class = size_class;
    hide_data(header);
    return header;
}

inline void give_back(Header* list) {
    while (list != nullptr) {
        Header* header = pop_block(&list);
        const std::size_t bytes = header->bytes;
        show_data(header, bytes);  // the address may serve somebody else next
        system_free(data_of(header), bytes, header_room(bytes));
    }
}

}  // namespace fastnn::blocks
