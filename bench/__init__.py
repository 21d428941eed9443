"""Benchmarks: the service beside what one would use instead, in one run. `python -m bench --help`."""
