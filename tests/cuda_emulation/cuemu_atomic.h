// SPDX-License-Identifier: BSD-3-Clause
// Atomic functions of the emulation. Relaxed, as on the device: they order nothing but themselves.
// Each returns the old value. All fibers run on one OS thread; the operations are truly atomic only
// so that ThreadSanitizer knows them as such.
#pragma once

namespace cuemu {

// The general form: `next(old)` is stored if nobody came between, which on one OS thread never
// happens.
template <class T, class Next>
inline T atomic_update(T* p, Next next) {
    T old;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    for (;;) {
        T desired = next(old);
        if (__atomic_compare_exchange(p, &old, &desired, false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
            return old;
        }
    }
}

template <class T>
inline T atomic_add(T* p, T value) {
    return atomic_update(p, [value](T old) { return static_cast<T>(old + value); });
}
template <class T>
inline T atomic_min(T* p, T value) {
    return atomic_update(p, [value](T old) { return value < old ? value : old; });
}
template <class T>
inline T atomic_max(T* p, T value) {
    return atomic_update(p, [value](T old) { return value > old ? value : old; });
}
template <class T>
inline T atomic_exchange(T* p, T value) {
    return atomic_update(p, [value](T) { return value; });
}
template <class T>
inline T atomic_compare_exchange(T* p, T expected, T value) {
    return atomic_update(p, [=](T old) { return old == expected ? value : old; });
}

}  // namespace cuemu

// Integers wrap round on the device; so the signed form adds as unsigned.
inline int atomicAdd(int* p, int value) {
    return static_cast<int>(
        cuemu::atomic_add(reinterpret_cast<unsigned*>(p), static_cast<unsigned>(value)));
}
inline unsigned atomicAdd(unsigned* p, unsigned value) { return cuemu::atomic_add(p, value); }
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long value) {
    return cuemu::atomic_add(p, value);
}
inline float atomicAdd(float* p, float value) { return cuemu::atomic_add(p, value); }
inline double atomicAdd(double* p, double value) { return cuemu::atomic_add(p, value); }

inline int atomicMin(int* p, int value) { return cuemu::atomic_min(p, value); }
inline unsigned atomicMin(unsigned* p, unsigned value) { return cuemu::atomic_min(p, value); }
inline int atomicMax(int* p, int value) { return cuemu::atomic_max(p, value); }
inline unsigned atomicMax(unsigned* p, unsigned value) { return cuemu::atomic_max(p, value); }

inline int atomicExch(int* p, int value) { return cuemu::atomic_exchange(p, value); }
inline unsigned atomicExch(unsigned* p, unsigned value) { return cuemu::atomic_exchange(p, value); }
inline float atomicExch(float* p, float value) { return cuemu::atomic_exchange(p, value); }

inline int atomicCAS(int* p, int expected, int value) {
    return cuemu::atomic_compare_exchange(p, expected, value);
}
inline unsigned atomicCAS(unsigned* p, unsigned expected, unsigned value) {
    return cuemu::atomic_compare_exchange(p, expected, value);
}
inline unsigned long long atomicCAS(unsigned long long* p, unsigned long long expected,
                                    unsigned long long value) {
    return cuemu::atomic_compare_exchange(p, expected, value);
}
