"""The HTTP and WebSocket surface: it translates, it decides nothing."""
