"""The MongoDB client: driver, start-up checks, cluster time, index builds, errors."""
