"""Leaderboard: a live top 10 that cannot be cheated, on Tornado and MongoDB."""

__version__ = "0.1.0"
