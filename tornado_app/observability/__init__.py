"""Metrics, each declared once, and structured logs."""
