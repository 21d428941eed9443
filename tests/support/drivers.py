"""The two MongoDB drivers, as parameters of fixtures."""

import pytest

BOTH_DRIVERS = ["pymongo", "motor"]
DRIVERS = ["pymongo", pytest.param("motor", marks=pytest.mark.long)]
"""`make test` runs such a test with PyMongo Async, and `make test-all` with Motor, too."""
