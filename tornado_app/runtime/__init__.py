"""The Python process: event loop, garbage collection, tasks, signals, TLS, private files. It knows no leaderboard."""
