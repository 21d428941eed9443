"""Metrics, each declared once, logs and traces."""
