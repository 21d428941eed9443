"""Exact competition ranks: a multiset of scores that counts better ones.

Scores are in sorted buckets of `array('q')` (8 bytes each); a Fenwick tree over the sizes of the buckets turns a
position into a rank. Figures: bench/results.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort_right
from collections.abc import Iterable

from tornado_app.core.boards import Order

BUCKET = 1024
"""Scores in a bucket after a rebuild. A bucket that reaches twice that is split."""


class Ranks:
    """A multiset of int64 scores. Adding, removing and ranking cost O(log n) and one small move of memory.

    Within, a greater number is always better: in ascending order each score is kept as its complement, which reverses
    int64 without an overflow.
    """

    def __init__(
        self,
        counts: Iterable[tuple[int, int]] = (),
        *,
        order: Order = Order.DESCENDING,
        bucket: int = BUCKET,
    ) -> None:
        """`counts`: (score, number of players), in any order, each score once."""
        self._bucket = bucket
        self._mask = 0 if order is Order.DESCENDING else -1
        self._buckets: list[array[int]] = []
        self._fill(sorted((score ^ self._mask, players) for score, players in counts))

    def __len__(self) -> int:
        return self._size

    def add(self, score: int) -> None:
        """One more player has `score`."""
        score ^= self._mask
        if not self._buckets:
            self._buckets.append(array("q"))
            self._index()
        place = min(bisect_left(self._last, score), len(self._buckets) - 1)
        bucket = self._buckets[place]
        insort_right(bucket, score)
        self._last[place] = bucket[-1]
        self._size += 1
        if len(bucket) >= 2 * self._bucket:
            self._buckets[place : place + 1] = [bucket[: self._bucket], bucket[self._bucket :]]
            self._index()
        else:
            self._count(place, 1)

    def remove(self, score: int) -> None:
        """One player fewer has `score`. Raises KeyError if no player has it."""
        score ^= self._mask
        place = bisect_left(self._last, score)
        bucket = self._buckets[place] if place < len(self._buckets) else array("q")
        spot = bisect_left(bucket, score)
        if spot == len(bucket) or bucket[spot] != score:
            raise KeyError(score)
        del bucket[spot]
        self._size -= 1
        if bucket:
            self._last[place] = bucket[-1]
            self._count(place, -1)
        else:
            del self._buckets[place]
            self._index()

    def move(self, old: int | None, new: int | None) -> None:
        """A player's score changed from `old` to `new`; None is off the board."""
        if old == new:
            return
        if old is not None:
            self.remove(old)
        if new is not None:
            self.add(new)

    def rank(self, score: int) -> int:
        """1 + number of players with a better score."""
        score ^= self._mask
        place = bisect_right(self._last, score)
        if place == len(self._buckets):
            return 1
        not_greater = self._before(place) + bisect_right(self._buckets[place], score)
        return 1 + self._size - not_greater

    def next_score(self, score: int) -> int | None:
        """The next better score; None if no player has a better one."""
        score ^= self._mask
        place = bisect_right(self._last, score)
        if place == len(self._buckets):
            return None
        bucket = self._buckets[place]
        return bucket[bisect_right(bucket, score)] ^ self._mask

    def _fill(self, counts: list[tuple[int, int]]) -> None:
        bucket = array("q")
        for score, players in counts:
            left = players
            while left:
                room = min(left, self._bucket - len(bucket))
                bucket.extend(array("q", [score]) * room)
                left -= room
                if len(bucket) == self._bucket:
                    self._buckets.append(bucket)
                    bucket = array("q")
        if bucket:
            self._buckets.append(bucket)
        self._index()

    def _index(self) -> None:
        """Each bucket's greatest score, and the Fenwick tree over the sizes: `_tree[i]` sums the i & -i before i."""
        self._last = [bucket[-1] if bucket else 0 for bucket in self._buckets]
        self._size = sum(map(len, self._buckets))
        self._tree = [0, *map(len, self._buckets)]
        for node in range(1, len(self._tree)):
            parent = node + (node & -node)
            if parent < len(self._tree):
                self._tree[parent] += self._tree[node]

    def _count(self, place: int, by: int) -> None:
        node = place + 1
        while node < len(self._tree):
            self._tree[node] += by
            node += node & -node

    def _before(self, place: int) -> int:
        """Number of scores in the buckets before `place`."""
        total = 0
        while place:
            total += self._tree[place]
            place &= place - 1
        return total
