"""The WebSockets: handshake, connections, heartbeat."""
