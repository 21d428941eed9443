"""The collection `players`: score updates, moderation, profiles, and the cache of players."""
