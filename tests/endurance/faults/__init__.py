"""The faults, by name."""

from tests.endurance.faults import clients, database, disk, network, periods, processes, surroundings
from tests.endurance.faults.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "clients", "database", "disk", "network", "periods", "processes", "surroundings"]
