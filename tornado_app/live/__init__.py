"""The board in memory, and the sockets that watch it."""
