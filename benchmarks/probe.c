// SPDX-License-Identifier: BSD-3-Clause
// The multiply-add rate of this machine, on request: for every line "threads milliseconds" on the
// standard input, prints the float32 GFLOP/s of that many threads over that time. Serves as the
// ceiling of compute-bound kernels, and, since two cores that are free give twice the rate of one,
// to notice when they are not.
//
// Compiled at the instruction-set level of the library that is measured. Twelve independent chains
// cover the latency of two multiply-add pipes (4 cycles x 2) and leave room for the two constants
// in sixteen registers. Equal chains, or chains whose end nobody sees, would be folded by the
// compiler: each has its own start value and passes through an empty asm statement every step.
// x <- 0.999 x + 0.001 tends to 1, so there are no denormals and no overflow.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define REGISTER "v"
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define REGISTER "x"
#elif defined(__x86_64__)
#define VECTOR_BYTES 16
#define REGISTER "x"
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define REGISTER "w"
#else
#error "the probe knows x86-64 and aarch64"
#endif

typedef float Vec __attribute__((vector_size(VECTOR_BYTES)));
enum { kLanes = VECTOR_BYTES / 4, kChains = 12, kSteps = 2000, kMaxThreads = 1024 };

static const double kFlopsPerBlock = 2.0 * kLanes * kChains * kSteps;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// The chains are variables of their own: an array would live in memory, and so would every step.
#define EACH_CHAIN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(i) Vec x##i = zero + (start + i);
#define STEP(i)                  \
    x##i = x##i * scale + shift; \
    __asm__ volatile("" : "+" REGISTER(x##i));
#define ADD(i) sum += x##i[0];

static float run_block(float start) {
    const Vec zero = {0};
    Vec scale = zero + 0.999f, shift = zero + 0.001f;
    __asm__ volatile("" : "+" REGISTER(scale), "+" REGISTER(shift));
    EACH_CHAIN(START)
    for (int step = 0; step < kSteps; ++step) {
        EACH_CHAIN(STEP)
    }
    float sum = 0;
    EACH_CHAIN(ADD)
    return sum;
}

struct Task {
    pthread_barrier_t* start;
    double seconds;
    long blocks;
    double begin, end;
    float sum;
};

static void* work(void* argument) {
    struct Task* task = argument;
    pthread_barrier_wait(task->start);
    task->begin = now();
    const double deadline = task->begin + task->seconds;
    do {
        task->sum += run_block((float)(task->blocks % 7));
        ++task->blocks;
        task->end = now();
    } while (task->end < deadline);
    return NULL;
}

// Work done by all threads, by the time from the first start to the last end.
static double rate(int threads, double seconds) {
    struct Task* tasks = calloc((size_t)threads, sizeof *tasks);
    pthread_t* handles = calloc((size_t)threads, sizeof *handles);
    pthread_barrier_t start;
    if (tasks == NULL || handles == NULL) exit(1);
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (int i = 0; i < threads; ++i) {
        tasks[i].start = &start;
        tasks[i].seconds = seconds;
        if (i > 0 && pthread_create(&handles[i], NULL, work, &tasks[i]) != 0) exit(1);
    }
    work(&tasks[0]);
    double blocks = 0, begin = tasks[0].begin, end = tasks[0].end;
    for (int i = 0; i < threads; ++i) {
        if (i > 0) pthread_join(handles[i], NULL);
        blocks += (double)tasks[i].blocks;
        if (tasks[i].begin < begin) begin = tasks[i].begin;
        if (tasks[i].end > end) end = tasks[i].end;
    }
    pthread_barrier_destroy(&start);
    free(tasks);
    free(handles);
    return kFlopsPerBlock * blocks / (end - begin) * 1e-9;
}

int main(void) {
    int threads;
    double milliseconds;
    while (scanf("%d %lf", &threads, &milliseconds) == 2) {
        if (threads < 1 || threads > kMaxThreads || !(milliseconds > 0)) return 2;
        printf("%.6f\n", rate(threads, milliseconds * 1e-3));
        fflush(stdout);
    }
    return 0;
}
