"""Messages as frontend C's socket sends them."""

from __future__ import annotations

import json


def place(position: int, user: str | None, score: int | None = None) -> dict:
    rank = None if user is None else position
    return {"userId": user, "username": user, "avatarUrl": None, "score": score, "rank": rank, "position": position}


def message(version: int, *places: dict) -> str:
    return json.dumps({"type": "leaderboard.update", "data": {"updatedPositions": places}, "version": version})


def epoch_message(number: int, end: str | None) -> str:
    state = {"epoch": number, "state": "open", "end": end, "now": "2040-01-02T10:00:29.500Z"}
    return json.dumps({"type": "period", "period": "weekly", **state})
