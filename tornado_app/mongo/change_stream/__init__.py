"""The change stream of `players`: reading it, its events, and the score snapshot it starts from."""
