"""The command `leaderboard`: one module for each command that has no folder of its own."""
