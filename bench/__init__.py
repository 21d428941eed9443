"""Benchmarks: the service and its usual alternatives, in one run. `python -m bench --help`."""
