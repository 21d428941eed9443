"""The domain of a leaderboard: values, rules and use cases. Pure: no I/O, and no import of another part of the
service."""
