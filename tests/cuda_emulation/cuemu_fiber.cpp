// SPDX-License-Identifier: BSD-3-Clause
// Fibers of the emulation; see cuemu_fiber.h. One OS thread at a time runs here: the scheduler
// holds a lock.
#include "cuemu_fiber.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#if !defined(__x86_64__) || defined(CUEMU_UCONTEXT)
#define CUEMU_USES_UCONTEXT 1
#include <ucontext.h>
#else
#define CUEMU_USES_UCONTEXT 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CUEMU_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace cuemu {
namespace {

constexpr std::size_t kGuardBytes = 4096;
constexpr std::size_t kStackBytes = 64 * 1024;

}  // namespace

struct Fiber {
    char* stack = nullptr;  // the lowest usable byte; the guard page is below it
    void (*entry)() = nullptr;
#if CUEMU_USES_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer = nullptr;
#endif
    void* fake_stack = nullptr;  // AddressSanitizer's
    void* tsan_fiber = nullptr;

    Fiber();
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
};

Fiber::Fiber() {
    void* map = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) throw std::bad_alloc();
    if (mprotect(map, kGuardBytes, PROT_NONE) != 0) throw std::bad_alloc();
    stack = static_cast<char*>(map) + kGuardBytes;
#if defined(CUEMU_TSAN)
    tsan_fiber = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(CUEMU_TSAN)
    __tsan_destroy_fiber(tsan_fiber);
#endif
    munmap(stack - kGuardBytes, kGuardBytes + kStackBytes);
}

namespace {

Fiber* entering = nullptr;  // the fiber whose entry() begins with this switch

#if CUEMU_USES_UCONTEXT
ucontext_t scheduler_context;
#else
void* scheduler_stack_pointer = nullptr;

// cuemu_switch(void** saved, void* next): saves the callee-saved registers and the stack pointer,
// and continues where `next` was saved. The floating-point control words are the same in all
// fibers.
extern "C" void cuemu_switch(void** saved, void* next);
asm(R"(
.text
.p2align 4
.type cuemu_switch, @function
cuemu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuemu_switch, .-cuemu_switch
)");
#endif

#if defined(__SANITIZE_ADDRESS__)
void* scheduler_fake_stack = nullptr;
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_bytes = 0;
#endif
#if defined(CUEMU_TSAN)
void* scheduler_tsan_fiber = nullptr;
#endif

void begin() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
    entering->entry();
}

std::vector<std::unique_ptr<Fiber>>& all_fibers() {
    // Never destroyed: at exit a sanitizer may still look at the stacks.
    static auto* fibers = new std::vector<std::unique_ptr<Fiber>>();
    return *fibers;
}
std::vector<Fiber*>& free_fibers() {
    static auto* fibers = new std::vector<Fiber*>();
    return *fibers;
}

}  // namespace

Fiber* take_fiber(unsigned identity) {
    std::vector<std::unique_ptr<Fiber>>& all = all_fibers();
    if (kTsan) {
        while (all.size() <= identity) all.push_back(std::make_unique<Fiber>());
        return all[identity].get();
    }
    std::vector<Fiber*>& unused = free_fibers();
    if (unused.empty()) {
        all.push_back(std::make_unique<Fiber>());
        return all.back().get();
    }
    Fiber* fiber = unused.back();
    unused.pop_back();
    return fiber;
}

void give_back(Fiber* fiber) {
    if (!kTsan) free_fibers().push_back(fiber);
}

void prepare(Fiber* fiber, void (*entry)()) {
    fiber->entry = entry;
    fiber->fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    // The frames of a thread that left for good, or was abandoned after an error, are still marked.
    __asan_unpoison_memory_region(fiber->stack, kStackBytes);
#endif
#if CUEMU_USES_UCONTEXT
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, begin, 0);
#else
    // As cuemu_switch leaves a stack: six registers, then the address it returns to. Above that
    // stands the 0 that ends a backtrace; it also gives begin() the stack alignment of a called
    // function.
    void** top = reinterpret_cast<void**>(fiber->stack + kStackBytes);
    top[-1] = nullptr;
    top[-2] = reinterpret_cast<void*>(&begin);
    for (int i = 3; i <= 8; ++i) top[-i] = nullptr;
    fiber->stack_pointer = top - 8;
#endif
}

void enter(Fiber* fiber) {
    entering = fiber;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake_stack, fiber->stack, kStackBytes);
#endif
#if defined(CUEMU_TSAN)
    scheduler_tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#if CUEMU_USES_UCONTEXT
    swapcontext(&scheduler_context, &fiber->context);
#else
    cuemu_switch(&scheduler_stack_pointer, fiber->stack_pointer);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void leave(Fiber* fiber, bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
    // Without a place to save it, the fiber's fake stack is freed.
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber->fake_stack, scheduler_stack,
                                   scheduler_stack_bytes);
#else
    (void)for_good;
#endif
#if defined(CUEMU_TSAN)
    __tsan_switch_to_fiber(scheduler_tsan_fiber, __tsan_switch_to_fiber_no_sync);
#endif
#if CUEMU_USES_UCONTEXT
    swapcontext(&fiber->context, &scheduler_context);
#else
    cuemu_switch(&fiber->stack_pointer, scheduler_stack_pointer);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fiber->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

void tsan_release([[maybe_unused]] void* p) {
#if defined(CUEMU_TSAN)
    __tsan_release(p);
#endif
}

void tsan_acquire([[maybe_unused]] void* p) {
#if defined(CUEMU_TSAN)
    __tsan_acquire(p);
#endif
}

}  // namespace cuemu
