# SPDX-License-Identifier: BSD-3-Clause
"""Which of equal elements a selection of the k first takes, and in which order they come.

Nothing in the definition says so, but programs see it, and torch gives what the selection of the
C++ library happens to give: Hoare's FIND with the median of three as pivot, then a sort of what it
found; or, if k is small against n, a heap of the first k. Both are written down here, on ranks, for
the rows in which it matters.

kthvalue selects by another form of FIND, which scans from both ends and stops at equals.

Source: Hoare, "Algorithm 65: Find", 1961; Musser, "Introspective sorting and selection algorithms",
1997; Williams, "Algorithm 232: Heapsort", 1964;
Press et al., "Numerical Recipes", 1992, section 8.5.
"""

from __future__ import annotations

Item = tuple[int, int]  # (rank, place)

_SHORT = 16  # ranges that a sort leaves to insertion


def first_places(ranks: list[int], k: int) -> list[int]:
    """The places of the k elements of least rank, in order."""
    a = list(zip(ranks, range(len(ranks)), strict=True))
    if k * 64 <= len(a):
        _heap_select(a, k)
    else:
        _find(a, k - 1)
        _sort(a, k - 1)
    return [place for _, place in a[:k]]


def _insert(a: list[Item], low: int, high: int) -> None:
    for i in range(low + 1, high):
        item, j = a[i], i
        while j > low and item[0] < a[j - 1][0]:
            a[j] = a[j - 1]
            j -= 1
        a[j] = item


def _swap(a: list[Item], i: int, j: int) -> None:
    a[i], a[j] = a[j], a[i]


def _partition(a: list[Item], low: int, high: int) -> int:
    """The median of three becomes the pivot, at low; what is less comes before the result."""
    x, y, z = low + 1, low + (high - low) // 2, high - 1
    p, q, r = a[x][0], a[y][0], a[z][0]
    rising = y if q < r else z if p < r else x
    falling = x if p < r else z if q < r else y
    _swap(a, low, rising if p < q else falling)
    pivot, i, j = a[low][0], low + 1, high
    while True:
        while a[i][0] < pivot:
            i += 1
        j -= 1
        while pivot < a[j][0]:
            j -= 1
        if i >= j:
            return i
        _swap(a, i, j)
        i += 1


def _find(a: list[Item], k: int) -> None:
    """Puts the element of rank k in its place, less ones before it."""
    low, high = 0, len(a)
    while high - low > 3:
        cut = _partition(a, low, high)
        if cut <= k:
            low = cut
        else:
            high = cut
    _insert(a, low, high)


def _sort(a: list[Item], n: int) -> None:
    """Sorts the first n."""
    ranges = [(0, n)]
    while ranges:
        low, high = ranges.pop()
        while high - low > _SHORT:
            cut = _partition(a, low, high)
            ranges.append((cut, high))
            high = cut
    _insert(a, 0, n)


def _sink(a: list[Item], hole: int, n: int, item: Item) -> None:
    """Puts an item into a heap of n, the largest on top, whose place ``hole`` is free."""
    top = hole
    while 2 * hole + 2 < n:
        child = 2 * hole + 2
        if a[child][0] < a[child - 1][0]:
            child -= 1
        a[hole] = a[child]
        hole = child
    if 2 * hole + 2 == n:
        a[hole] = a[n - 1]
        hole = n - 1
    while hole > top and a[(hole - 1) // 2][0] < item[0]:
        a[hole] = a[(hole - 1) // 2]
        hole = (hole - 1) // 2
    a[hole] = item


def _heap_select(a: list[Item], k: int) -> None:
    """Puts the k first in order at the front."""
    for i in range((k - 2) // 2, -1, -1):
        _sink(a, i, k, a[i])
    for i in range(k, len(a)):
        if a[i][0] < a[0][0]:
            item, a[i] = a[i], a[0]
            _sink(a, 0, k, item)
    for n in range(k - 1, 0, -1):
        item, a[n] = a[n], a[0]
        _sink(a, 0, n, item)


def place_of_rank(ranks: list[int], k: int) -> int:
    """The place of the element of rank k (from 0 on) that the other form finds."""
    a = list(zip(ranks, range(len(ranks)), strict=True))
    low, high = 0, len(a) - 1
    while high > low + 1:
        # The middle one of three becomes the pivot, at low; those beside it are in order.
        _swap(a, (low + high) // 2, low + 1)
        for x, y in ((low + 1, high), (low, high), (low + 1, low)):
            if a[x][0] > a[y][0]:
                _swap(a, x, y)
        pivot, i, j = a[low][0], low + 1, high
        while True:
            i += 1
            while a[i][0] < pivot:
                i += 1
            j -= 1
            while a[j][0] > pivot:
                j -= 1
            if j < i:
                break
            _swap(a, i, j)
        _swap(a, low, j)
        low, high = (i if j <= k else low), (j - 1 if j >= k else high)
    if high == low + 1 and a[low][0] > a[high][0]:
        _swap(a, low, high)
    return a[k][1]
