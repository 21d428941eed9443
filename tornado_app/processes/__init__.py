"""`leaderboard serve --processes N`: several processes on one port, started, kept and ended by a supervisor."""
