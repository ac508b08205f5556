"""How fast and how truly the needle planner works: `python -m benchmarks.trajectory [--candidates N]`.

The rival is the plain way: every candidate measured on its own below the voxel, without the search on voxels.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np

from pipelines.plandocument import parse_plan
from pipelines.planning.path import make_ruler
from pipelines.planning.rays import sphere_directions
from pipelines.stages.plan import plan_operation
from tests.make_head import Head, Part, make_head

_RADII_MM = {"soft_tissue": 88.0, "skull": 80.0, "cerebrum": 72.0, "ventricles": 14.0}
_RISK_CENTRE_MM, _RISK_RADIUS_MM = (30.0, 0.0, -5.0), 10.0


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=20000)
    count = parser.parse_args().candidates
    print(f"{platform.machine()}, Python {platform.python_version()}; process CPU seconds, one thread")
    head = make_head(spacing_mm=(1.5, 1.0, 1.0))
    print(f"head of {' x '.join(map(str, head.volume.grid.shape))} voxels")
    plan = f'schema_version = 1\nprocedure = "needle"\n[search]\ncandidates = {count}\n'.encode()
    document = parse_plan(plan)
    whole_s = _cpu_s(lambda: plan_operation(document, head.volume, head.segmentation, seed=1))
    print(f"planning, {count} candidates, all measurements: {whole_s:.2f} s")
    one_s = _one_by_one_s(head)
    print(f"rival, one by one: {one_s * 1000:.1f} ms a candidate, {one_s * count:.0f} s for {count}")
    for spacing in ((1.0, 1.0, 1.0), (1.5, 1.0, 1.0), (2.5, 0.5, 0.5)):
        _print_errors(spacing)


def _cpu_s(work: Callable[[], object]) -> float:
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


def _one_by_one_s(head: Head, tried: int = 40) -> float:
    ruler = make_ruler(head.segmentation, ("deep_grey", "brainstem", "cerebellum"))
    target = np.array(head.place((-13.0, -20.0, 14.0)))
    upward = [way for way in sphere_directions(tried * 4) if way[2] > 0.3][:tried]
    start = time.process_time()
    for way in upward:
        profile = ruler.profile(target, way)
        if profile is not None:
            ruler.trajectory(profile, radius_mm=1.4)
    return (time.process_time() - start) / len(upward)


def _print_errors(spacing_mm: tuple[float, float, float], lines: int = 100) -> None:
    """Print root-mean-square and largest error of random lines through spheres against closed forms."""
    parts = [Part(name, (0, 0, 0), (radius,) * 3, 40) for name, radius in _RADII_MM.items()]
    risk = Part("brainstem", _RISK_CENTRE_MM, (_RISK_RADIUS_MM,) * 3, 30)
    head = make_head((*parts, risk), spacing_mm=spacing_mm)
    ruler = make_ruler(head.segmentation, ("brainstem",))
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(lines):
        own, way = rng.uniform(-8, 8, 3), rng.normal(size=3)
        way[2] = abs(way[2])
        way /= np.linalg.norm(way)
        profile = ruler.profile(np.array(head.place(own.tolist())), way)
        if profile is None:
            continue
        measured = ruler.trajectory(profile, radius_mm=0.0)
        clear = _distance_to_ball(own, way, measured.length_mm)
        error = [
            measured.length_mm - _reach(own, way, _RADII_MM["soft_tissue"]),
            measured.angle_to_skull_deg - _angle_deg(own, way, _RADII_MM["skull"]),
            measured.clearances[0].distance_mm - clear if clear > 0 else 0.0,
        ]
        errors.append(error)
    square, worst = np.sqrt(np.mean(np.square(errors), axis=0)), np.abs(errors).max(axis=0)
    names = ("length mm", "angle to skull deg", "clearance mm")
    figures = ", ".join(f"{n} {r:.2f} (max {w:.2f})" for n, r, w in zip(names, square, worst, strict=True))
    print(f"errors at {spacing_mm} mm, rms: {figures}")


def _reach(own: np.ndarray, way: np.ndarray, radius_mm: float) -> float:
    along = float(own @ way)
    return float(-along + np.sqrt(along**2 - (own @ own - radius_mm**2)))


def _angle_deg(own: np.ndarray, way: np.ndarray, radius_mm: float) -> float:
    point = own + _reach(own, way, radius_mm) * way
    return float(np.degrees(np.arcsin(min(1.0, float(point @ way) / radius_mm))))


def _distance_to_ball(own: np.ndarray, way: np.ndarray, length_mm: float) -> float:
    offset = np.array(_RISK_CENTRE_MM) - own
    nearest = np.clip(offset @ way, 0, length_mm) * way
    return float(np.linalg.norm(offset - nearest)) - _RISK_RADIUS_MM


if __name__ == "__main__":
    main()
