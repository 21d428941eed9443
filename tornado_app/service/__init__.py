"""Builds the service from its parts: listeners, keys, health."""
