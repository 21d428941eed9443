"""What a leaderboard is: values, rules and use cases. Pure: no I/O, and nothing of ours but itself."""
