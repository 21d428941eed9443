"""The Python process: event loop, garbage collection, tasks, signals, TLS, private files; nothing about a board."""
