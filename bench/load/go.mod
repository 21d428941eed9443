module leaderboard/load

go 1.19
