"""Simulations behind docs/scaling.md, where the arithmetic is not obvious: `python -m bench.simulate NAME`."""
