"""Simulated uploads with known truth: who likes what, what was chosen for it, and what would be chosen without."""

from recbole_decm.simulation.causal import Simulation, SimulationConfig, simulate
from recbole_decm.simulation.files import write_simulation
from recbole_decm.simulation.references import Truth, read_truth

__all__ = ["Simulation", "SimulationConfig", "Truth", "read_truth", "simulate", "write_simulation"]
