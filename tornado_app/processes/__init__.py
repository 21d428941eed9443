"""`leaderboard serve --processes N`: a supervisor starts, restarts and stops several worker processes on one port."""
