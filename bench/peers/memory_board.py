"""A board in memory for the peers that broadcast: no database, so that only the sending is compared."""

from __future__ import annotations

import heapq
import json

TOP = 10


class MemoryBoard:
    """Player k begins with k points."""

    def __init__(self, players: int, name: str) -> None:
        self._name = name
        self._scores = {f"player-{number}": number for number in range(players)}

    def add(self, player: str, points: int) -> None:
        self._scores[player] += points

    def message(self) -> str:
        """The top 10 in the form of the service's own message."""
        best = heapq.nlargest(TOP, self._scores.items(), key=lambda item: item[1])
        rows = [
            {"user_id": player, "username": self._name.format(player.partition("-")[2]), "score": score}
            for player, score in best
        ]
        return json.dumps({"event": "update", "top_scores": rows, "version": best[0][1]}, separators=(",", ":"))
