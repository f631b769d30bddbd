// SPDX-License-Identifier: BSD-3-Clause
// Warp collectives of the emulation: shuffles, votes, __syncwarp.
//
// Each lane of the mask leaves a pointer to its operands and waits; the last one to come computes
// the results of all. Shuffles and votes order no memory; __syncwarp does. Reading a lane that
// takes no part, undefined on the device, is an error here.
#pragma once

namespace cuemu {

struct Collective {
    const char* name;
    unsigned mask;
    Place place;
    void (*compute)(void* const* lanes, unsigned mask);  // operands of the lanes in the mask
    void* operands;
    bool orders_memory;
};

void collective(const Collective& call);
unsigned lane_index();

// The compute functions read what other fibers wrote on their stacks. The scheduler orders that,
// which ThreadSanitizer cannot know; and it must not learn it either, since shuffles order nothing.
#define CUEMU_UNSANITIZED __attribute__((no_sanitize("thread")))

enum class Shuffle { kIndex, kUp, kDown, kXor };

template <class T>
struct ShuffleOperands {
    T value;
    T result;
    int argument;
    int width;
    Place place;
};

constexpr int kNoLane = -1;

// The lane that `lane` reads, or kNoLane for its own value. A segment is `width` lanes, a power of
// two.
CUEMU_UNSANITIZED inline int shuffle_source(Shuffle kind, int lane, int argument, int width) {
    const int segment = lane / width * width;
    const int inside = lane - segment;
    int source = 0;
    switch (kind) {
        case Shuffle::kIndex:
            return segment + (argument & (width - 1));
        case Shuffle::kUp:
            source = inside - argument;
            break;
        case Shuffle::kDown:
            source = inside + argument;
            break;
        // Only the upper end is checked: a lane may read the segments below its own, never those
        // above.
        case Shuffle::kXor:
            return (lane ^ argument) < segment + width ? lane ^ argument : kNoLane;
    }
    return source >= 0 && source < width ? segment + source : kNoLane;
}

template <class T, Shuffle kKind>
CUEMU_UNSANITIZED void compute_shuffle(void* const* lanes, unsigned mask) {
    for (int lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1u) == 0) continue;
        auto* own = static_cast<ShuffleOperands<T>*>(lanes[lane]);
        const int source = shuffle_source(kKind, lane, own->argument, own->width);
        if (source != kNoLane && (mask >> source & 1u) == 0) {
            fail(own->place, "lane %d reads lane %d, which is not in the mask 0x%08x", lane, source,
                 mask);
        }
        own->result =
            source == kNoLane ? own->value : static_cast<ShuffleOperands<T>*>(lanes[source])->value;
    }
}

template <Shuffle kKind, class T>
T shuffle(const char* name, unsigned mask, T value, int argument, int width, Place place) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "the device shuffles 4 or 8 bytes");
    if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
        fail(place, "%s with width %d, which is no power of two up to 32", name, width);
    }
    ShuffleOperands<T> operands{value, value, argument, width, place};
    collective({name, mask, place, compute_shuffle<T, kKind>, &operands, false});
    return operands.result;
}

struct VoteOperands {
    bool predicate;
    unsigned ballot;
};

CUEMU_UNSANITIZED inline void compute_vote(void* const* lanes, unsigned mask) {
    unsigned ballot = 0;
    for (int lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1u) == 0) continue;
        if (static_cast<VoteOperands*>(lanes[lane])->predicate) ballot |= 1u << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1u) != 0) static_cast<VoteOperands*>(lanes[lane])->ballot = ballot;
    }
}

inline unsigned vote(const char* name, unsigned mask, bool predicate, Place place) {
    VoteOperands operands{predicate, 0};
    collective({name, mask, place, compute_vote, &operands, false});
    return operands.ballot;
}

inline void compute_nothing(void* const*, unsigned) {}

}  // namespace cuemu

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUEMU_HERE) {
    return cuemu::shuffle<cuemu::Shuffle::kIndex>("__shfl_sync", mask, value, source, width,
                                                  {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_HERE) {
    return cuemu::shuffle<cuemu::Shuffle::kUp>("__shfl_up_sync", mask, value,
                                               static_cast<int>(delta), width, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUEMU_HERE) {
    return cuemu::shuffle<cuemu::Shuffle::kDown>("__shfl_down_sync", mask, value,
                                                 static_cast<int>(delta), width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, CUEMU_HERE) {
    return cuemu::shuffle<cuemu::Shuffle::kXor>("__shfl_xor_sync", mask, value, lane_mask, width,
                                                {file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, CUEMU_HERE) {
    return cuemu::vote("__ballot_sync", mask, predicate != 0, {file, line});
}
inline int __any_sync(unsigned mask, int predicate, CUEMU_HERE) {
    return cuemu::vote("__any_sync", mask, predicate != 0, {file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUEMU_HERE) {
    return cuemu::vote("__all_sync", mask, predicate != 0, {file, line}) == mask;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, CUEMU_HERE) {
    cuemu::collective({"__syncwarp", mask, {file, line}, cuemu::compute_nothing, nullptr, true});
}
