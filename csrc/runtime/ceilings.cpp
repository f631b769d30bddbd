// SPDX-License-Identifier: BSD-3-Clause
// The loops are written once and compiled for every level by the target attribute: they are never
// called from kernels, so they need no file per level.
//
// Multiply-adds: twelve independent chains cover the latency of two pipes (4 cycles x 2) and leave
// room for the two constants in sixteen registers. Equal chains would be folded by the compiler, so
// each has its own start value; x <- 0.999 x + 0.001 tends to 1: no denormals, no overflow. They
// are variables of their own, because an array would live in memory and so would every step.
//
// Memory: every thread has its own part of the working set and touches it before the clock starts.
#include "runtime/ceilings.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "runtime/cpu_count.h"
#include "runtime/isa.h"

#if defined(FASTNN_LEVELS_X86)
#include <immintrin.h>
#elif defined(FASTNN_LEVELS_NEON)
#include <arm_neon.h>
#endif

namespace fastnn {
namespace {

constexpr int kChains = 12;
constexpr int kSteps = 2000;
constexpr std::size_t kUnroll = 4;  // vectors per turn of a memory loop

struct Loops {
    int lanes;
    float (*chains)(float start);
    float (*read)(const float* source, std::size_t n);
    void (*copy)(const float* source, float* target, std::size_t n);
    void (*stream)(const float* source, float* target, std::size_t n);
};

#define FASTNN_EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define FASTNN_START(i) auto x##i = Ops::set(start + float(i));
#define FASTNN_STEP(i) x##i = Ops::step(x##i, scale, shift);
#define FASTNN_SUM(i) sum = Ops::add(sum, x##i);

// Ops: a vector type's instructions. Sizes are multiples of kUnroll vectors.
#define FASTNN_LOOPS(OPS, TARGET)                                                      \
    struct OPS##Loops {                                                                \
        using Ops = OPS;                                                               \
        TARGET static float chains(float start) {                                      \
            const auto scale = Ops::set(0.999F), shift = Ops::set(0.001F);             \
            FASTNN_EACH(FASTNN_START)                                                  \
            for (int step = 0; step < kSteps; ++step) {                                \
                FASTNN_EACH(FASTNN_STEP)                                               \
            }                                                                          \
            auto sum = Ops::set(0.0F);                                                 \
            FASTNN_EACH(FASTNN_SUM)                                                    \
            return Ops::first(sum);                                                    \
        }                                                                              \
        TARGET static float read(const float* source, std::size_t n) {                 \
            constexpr std::size_t kLanes = Ops::kLanes;                                \
            auto a = Ops::set(0.0F), b = a, c = a, d = a;                              \
            for (std::size_t i = 0; i < n; i += kUnroll * kLanes) {                    \
                a = Ops::add(a, Ops::load(source + i));                                \
                b = Ops::add(b, Ops::load(source + i + kLanes));                       \
                c = Ops::add(c, Ops::load(source + i + 2 * kLanes));                   \
                d = Ops::add(d, Ops::load(source + i + 3 * kLanes));                   \
            }                                                                          \
            return Ops::first(Ops::add(Ops::add(a, b), Ops::add(c, d)));               \
        }                                                                              \
        TARGET static void copy(const float* source, float* target, std::size_t n) {   \
            constexpr std::size_t kLanes = Ops::kLanes;                                \
            for (std::size_t i = 0; i < n; i += kUnroll * kLanes) {                    \
                for (std::size_t j = 0; j < kUnroll * kLanes; j += kLanes)             \
                    Ops::store(target + i + j, Ops::load(source + i + j));             \
            }                                                                          \
        }                                                                              \
        TARGET static void stream(const float* source, float* target, std::size_t n) { \
            constexpr std::size_t kLanes = Ops::kLanes;                                \
            for (std::size_t i = 0; i < n; i += kUnroll * kLanes) {                    \
                for (std::size_t j = 0; j < kUnroll * kLanes; j += kLanes)             \
                    Ops::stream(target + i + j, Ops::load(source + i + j));            \
            }                                                                          \
            Ops::fence();                                                              \
        }                                                                              \
        static constexpr Loops kTable{int(Ops::kLanes), chains, read, copy, stream};   \
    };

#if defined(FASTNN_LEVELS_X86)
#define FASTNN_AVX2 __attribute__((target("avx2,fma")))
#define FASTNN_AVX512 __attribute__((target("avx512f")))

struct Sse {
    static constexpr std::size_t kLanes = 4;
    static __m128 set(float v) { return _mm_set1_ps(v); }
    static __m128 step(__m128 x, __m128 a, __m128 b) { return _mm_add_ps(_mm_mul_ps(x, a), b); }
    static __m128 add(__m128 x, __m128 y) { return _mm_add_ps(x, y); }
    static __m128 load(const float* p) { return _mm_load_ps(p); }
    static void store(float* p, __m128 v) { _mm_store_ps(p, v); }
    static void stream(float* p, __m128 v) { _mm_stream_ps(p, v); }
    static float first(__m128 v) { return _mm_cvtss_f32(v); }
    static void fence() { _mm_sfence(); }
};
struct Avx2 {
    static constexpr std::size_t kLanes = 8;
    FASTNN_AVX2 static __m256 set(float v) { return _mm256_set1_ps(v); }
    FASTNN_AVX2 static __m256 step(__m256 x, __m256 a, __m256 b) {
        return _mm256_fmadd_ps(x, a, b);
    }
    FASTNN_AVX2 static __m256 add(__m256 x, __m256 y) { return _mm256_add_ps(x, y); }
    FASTNN_AVX2 static __m256 load(const float* p) { return _mm256_load_ps(p); }
    FASTNN_AVX2 static void store(float* p, __m256 v) { _mm256_store_ps(p, v); }
    FASTNN_AVX2 static void stream(float* p, __m256 v) { _mm256_stream_ps(p, v); }
    FASTNN_AVX2 static float first(__m256 v) { return _mm256_cvtss_f32(v); }
    static void fence() { _mm_sfence(); }
};
struct Avx512 {
    static constexpr std::size_t kLanes = 16;
    FASTNN_AVX512 static __m512 set(float v) { return _mm512_set1_ps(v); }
    FASTNN_AVX512 static __m512 step(__m512 x, __m512 a, __m512 b) {
        return _mm512_fmadd_ps(x, a, b);
    }
    FASTNN_AVX512 static __m512 add(__m512 x, __m512 y) { return _mm512_add_ps(x, y); }
    FASTNN_AVX512 static __m512 load(const float* p) { return _mm512_load_ps(p); }
    FASTNN_AVX512 static void store(float* p, __m512 v) { _mm512_store_ps(p, v); }
    FASTNN_AVX512 static void stream(float* p, __m512 v) { _mm512_stream_ps(p, v); }
    FASTNN_AVX512 static float first(__m512 v) { return _mm512_cvtss_f32(v); }
    static void fence() { _mm_sfence(); }
};
FASTNN_LOOPS(Sse, )
FASTNN_LOOPS(Avx2, FASTNN_AVX2)
FASTNN_LOOPS(Avx512, FASTNN_AVX512)
constexpr const Loops* kLoops[kLevelCount] = {&SseLoops::kTable, &Avx2Loops::kTable,
                                              &Avx512Loops::kTable};
#else
#if defined(FASTNN_LEVELS_NEON)
struct Base {
    static constexpr std::size_t kLanes = 4;
    static float32x4_t set(float v) { return vdupq_n_f32(v); }
    static float32x4_t step(float32x4_t x, float32x4_t a, float32x4_t b) {
        return vfmaq_f32(b, x, a);
    }
    static float32x4_t add(float32x4_t x, float32x4_t y) { return vaddq_f32(x, y); }
    static float32x4_t load(const float* p) { return vld1q_f32(p); }
    static void store(float* p, float32x4_t v) { vst1q_f32(p, v); }
    static void stream(float* p, float32x4_t v) { vst1q_f32(p, v); }
    static float first(float32x4_t v) { return vgetq_lane_f32(v, 0); }
    static void fence() {}
};
#else
struct Base {
    static constexpr std::size_t kLanes = 1;
    static float set(float v) { return v; }
    static float step(float x, float a, float b) { return x * a + b; }
    static float add(float x, float y) { return x + y; }
    static float load(const float* p) { return *p; }
    static void store(float* p, float v) { *p = v; }
    static void stream(float* p, float v) { *p = v; }
    static float first(float v) { return v; }
    static void fence() {}
};
#endif
FASTNN_LOOPS(Base, )
constexpr const Loops* kLoops[kLevelCount] = {&BaseLoops::kTable};
#endif

const Loops& loops_in_use() {
    const int level = level_in_use();
    return *kLoops[level < 0 ? 0 : level];
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Work that `threads` threads do from a common start to a deadline: the sum of it, by the time
// from the first start to the last end. work(thread) does one block and returns its size.
template <class Prepare, class Work>
double rate(int threads, double seconds, const Prepare& prepare, const Work& work) {
    struct Span {
        double begin = 0, end = 0, done = 0;
    };
    if (threads < 1 || threads > kMaxThreads) return -1;
    std::vector<Span> spans(static_cast<std::size_t>(threads));
    std::atomic<int> waiting{0};
    std::atomic<bool> failed{false};
    const auto run = [&](int thread) {
        if (!prepare(thread)) failed = true;
        ++waiting;
        while (waiting < threads) std::this_thread::yield();
        if (failed) return;
        Span span;
        span.begin = now();
        do {
            span.done += work(thread);
            span.end = now();
        } while (span.end < span.begin + seconds);
        spans[static_cast<std::size_t>(thread)] = span;
    };
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) {
        try {
            others.emplace_back(run, i);
        } catch (const std::system_error&) {
            failed = true;
            waiting += threads - i;  // those that will not come
            break;
        }
    }
    run(0);
    for (std::thread& other : others) other.join();
    if (failed) return -1;
    double begin = spans[0].begin, end = spans[0].end, done = 0;
    for (const Span& span : spans) {
        begin = span.begin < begin ? span.begin : begin;
        end = span.end > end ? span.end : end;
        done += span.done;
    }
    return done / (end - begin) * 1e-9;
}

// A part of the working set, on large pages where the system has them.
class Buffer {
  public:
    Buffer() = default;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer() { std::free(base_); }

    // `shift`: bytes between the alignment and the data. Two arrays at one offset within their
    // pages make loads wait for unrelated stores whose addresses end in the same twelve bits.
    bool fill(std::size_t bytes, std::size_t shift, float value) {
        constexpr std::size_t kPage = std::size_t{2} << 20;
        const std::size_t align = bytes >= kPage ? kPage : 4096;
        const std::size_t rounded = (bytes + shift + align - 1) / align * align;
        base_ = static_cast<char*>(std::aligned_alloc(align, rounded));
        if (base_ == nullptr) return false;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (align == kPage) madvise(base_, rounded, MADV_HUGEPAGE);
#endif
        data_ = reinterpret_cast<float*>(base_ + shift);
        for (std::size_t i = 0; i < bytes / sizeof(float); ++i) data_[i] = value;
        return true;
    }
    float* data() { return data_; }

  private:
    char* base_ = nullptr;
    float* data_ = nullptr;
};

std::atomic<float> sink{0};  // results go here, so that no loop is dropped

}  // namespace

double ceiling_fma(int threads, double seconds) {
    const Loops& loops = loops_in_use();
    const double flops = 2.0 * loops.lanes * kChains * kSteps;
    return rate(
        threads, seconds, [](int) { return true; },
        [&](int thread) {
            sink.store(loops.chains(float(thread % 7)), std::memory_order_relaxed);
            return flops;
        });
}

double ceiling_memory(Traffic traffic, int threads, std::size_t bytes, double seconds) {
    const Loops& loops = loops_in_use();
    if (threads < 1 || threads > kMaxThreads) return -1;
    const std::size_t arrays = traffic == Traffic::kRead ? 1 : 2;
    const std::size_t turn = kUnroll * static_cast<std::size_t>(loops.lanes);
    std::size_t n = bytes / (sizeof(float) * arrays * static_cast<std::size_t>(threads));
    n = n < turn ? turn : n / turn * turn;
    struct Part {
        Buffer source, target;
    };
    std::vector<Part> parts(static_cast<std::size_t>(threads));
    const double moved = static_cast<double>(n * sizeof(float) * arrays);
    const auto prepare = [&](int thread) {
        Part& part = parts[static_cast<std::size_t>(thread)];
        return part.source.fill(n * sizeof(float), 0, 1.0F) &&
               (arrays == 1 || part.target.fill(n * sizeof(float), 2048 + 64, 0.0F));
    };
    const auto work = [&](int thread) {
        Part& part = parts[static_cast<std::size_t>(thread)];
        if (traffic == Traffic::kRead)
            sink.store(loops.read(part.source.data(), n), std::memory_order_relaxed);
        else
            (traffic == Traffic::kCopy ? loops.copy : loops.stream)(part.source.data(),
                                                                    part.target.data(), n);
        return moved;
    };
    return rate(threads, seconds, prepare, work);
}

}  // namespace fastnn
