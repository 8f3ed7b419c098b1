"""Agents and ego on common times, for tests: positions in ego's frame at time 0, distances between bumpers."""

from dataclasses import dataclass

import numpy as np

from sceneminer.data.track import AgentStates
from sceneminer.labels.bodies import Bodies, roll_out
from sceneminer.labels.ego import EGO_SIZE, EgoStates

CAR_LW = (4.5, 1.8)
WALKER_LW = (0.7, 0.7)
SIDE_M = EGO_SIZE.width_m / 2
BUMPER_M = EGO_SIZE.rear_axle_to_center_m + EGO_SIZE.length_m / 2


@dataclass(frozen=True)
class Agent:
    x: float
    y: float
    yaw: float = 0.0
    speed: float = 0.0
    rate: float = 0.0
    lw: tuple[float, float] = CAR_LW
    category: str = "car"


def ahead(gap_m: float, lw: tuple[float, float] = CAR_LW) -> float:
    """Where the centre of an agent is whose rear is ``gap_m`` before ego's front bumper."""
    return BUMPER_M + gap_m + lw[0] / 2


def beside(gap_m: float, lw: tuple[float, float] = CAR_LW) -> float:
    """How far left the centre of a parallel agent is with ``gap_m`` between the sides."""
    return SIDE_M + gap_m + lw[1] / 2


def make_agents(agents: list[Agent], *, frames: int = 1, dt_s: float = 0.1) -> AgentStates:
    """Agents that keep speed and turn rate."""
    seconds = np.arange(frames) * dt_s

    def column(values: list[float]) -> np.ndarray:
        return np.array(values, float).reshape(-1, 1)

    yaw, speed = column([a.yaw for a in agents]), column([a.speed for a in agents])
    bodies = roll_out(
        Bodies(
            column([a.x for a in agents]),
            column([a.y for a in agents]),
            yaw,
            speed * np.cos(yaw),
            speed * np.sin(yaw),
            column([a.rate for a in agents]),
            column([a.lw[0] for a in agents]),
            column([a.lw[1] for a in agents]),
        ),
        seconds,
    )
    return AgentStates(
        track_ids=tuple(f"agent-{i}" for i in range(len(agents))),
        categories=tuple(a.category for a in agents),
        times_us=np.round(seconds * 1e6).astype(np.int64),
        x_m=bodies.x_m,
        y_m=bodies.y_m,
        z_m=np.zeros_like(bodies.x_m),
        yaw_rad=bodies.yaw_rad,
        vx_mps=bodies.vx_mps,
        vy_mps=bodies.vy_mps,
        yaw_rate_rps=bodies.yaw_rate_rps,
        length_m=bodies.length_m,
        width_m=bodies.width_m,
        present=np.ones(bodies.x_m.shape, bool),
    )


def make_ego(speed: float, rate: float = 0.0, *, frames: int = 1, dt_s: float = 0.1) -> EgoStates:
    """Ego that starts at the origin along +x and keeps speed and turn rate."""
    return make_ego_drive(lambda t: speed, lambda t: rate * t, duration_s=(frames - 1) * dt_s, dt_s=dt_s)


def make_ego_drive(speed, yaw, *, duration_s: float, dt_s: float = 0.1) -> EgoStates:
    """Ego whose speed and yaw are functions of time, integrated in steps of 2 ms."""
    fine = 0.002
    every = round(dt_s / fine)
    seconds = np.arange(round(duration_s / fine) + 1) * fine
    v, heading = np.array([speed(t) for t in seconds], float), np.array([yaw(t) for t in seconds], float)
    rate = np.gradient(heading, seconds) if len(seconds) > 1 else np.array([(yaw(fine) - yaw(0.0)) / fine])
    x = np.concatenate([[0.0], np.cumsum(v * np.cos(heading))[:-1] * fine])
    y = np.concatenate([[0.0], np.cumsum(v * np.sin(heading))[:-1] * fine])
    pick = slice(None, None, every)
    return EgoStates(
        np.round(seconds[pick] * 1e6).astype(np.int64), x[pick], y[pick], heading[pick], v[pick], rate[pick]
    )
