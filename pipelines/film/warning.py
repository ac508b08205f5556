"""How strongly a structure at risk glows: from the simulated distance, as the needle comes near."""

from __future__ import annotations

import math

import numpy as np

from medviz.core.plan import Simulation

FAR_MM = 14.0
"""Distance from which a structure begins to glow."""

CLOSE_MM = 3.0
"""Distance at which it glows fully."""

_BLUR_MM = 2.0
_PULSE_HZ = 1.1


def strength(distance_mm: float) -> float:
    """Return 0 (far) to 1 (close) for a distance in mm."""
    x = min(max((FAR_MM - distance_mm) / (FAR_MM - CLOSE_MM), 0.0), 1.0)
    return x * x * (3 - 2 * x)


def warning_of(simulation: Simulation, structure: str, depth_mm: float) -> float:
    """Return how strongly a structure warns (0 to 1) when the tip is `depth_mm` deep.

    Only the simulation's nearest structure warns; over 2 mm of depth the light goes from one to the next.
    """
    states = simulation.states
    if not states:
        return 0.0
    depths = np.array([state.depth_mm for state in states])
    levels = np.array([strength(s.nearest_mm) if s.nearest_structure == structure else 0.0 for s in states])
    distance = np.abs(depths - depth_mm)
    weights = np.exp(-0.5 * (np.minimum(distance - distance.min(), 50.0) / _BLUR_MM) ** 2)
    return float((weights * levels).sum() / weights.sum())


def pulse(seconds: float) -> float:
    """Return the slow beat of the warning light, 0.7 to 1, at a time of the film."""
    return 0.85 + 0.15 * math.sin(2 * math.pi * _PULSE_HZ * seconds)
