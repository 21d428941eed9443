"""The API of the leaderboard over the HTTP engine. It translates and decides nothing."""
