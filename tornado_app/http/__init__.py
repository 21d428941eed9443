"""The HTTP engine: connections, parsing, limits, dispatch. It knows no leaderboard."""
