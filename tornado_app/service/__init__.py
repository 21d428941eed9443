"""The service put together: its parts, listeners, keys and health."""
