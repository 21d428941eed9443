"""The faults, by name."""

from tests.endurance.faults import clients, database, network, processes, surroundings
from tests.endurance.faults.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "clients", "database", "network", "processes", "surroundings"]
