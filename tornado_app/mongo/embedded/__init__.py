"""The embedded mongod: its process, data directory and log."""
