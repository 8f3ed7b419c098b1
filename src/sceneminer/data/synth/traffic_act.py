"""Staged events while they happen: cueing who takes part, and what ego does not notice yet."""

from dataclasses import dataclass

import numpy as np

from sceneminer.data.synth.traffic_lanes import change_lane
from sceneminer.data.synth.traffic_moment import Script
from sceneminer.data.synth.traffic_world import World

_BY_DISTANCE = ("step_out", "jaywalk", "occluded_cyclist", "door_side_cyclist", "near_miss")


@dataclass
class Act:
    """A script in progress; called before each decision of the world."""

    script: Script
    cued_s: float | None = None
    """When it was cued; None: not yet."""

    def __call__(self, world: World, time_s: float) -> None:
        kind = self.script.kind
        if kind in _BY_DISTANCE:
            self._from_side(world, time_s)
        elif self.starts_parked:
            self._pull_out(world, time_s)
        elif kind == "cut_in":
            self._cut_in(world, time_s)
        elif kind == "hard_brake":
            self._hard_brake(world, time_s)
        else:
            self._cross(world, time_s)

    @property
    def starts_parked(self) -> bool:
        """Whether a vehicle stands at the kerb until its cue, where drivers mind it as little as other parked ones."""
        return self.script.kind == "cut_in" and self.script.actor is None

    def player(self, world: World) -> tuple[str, int]:
        """Whether a vehicle or a person plays the part, and its index."""
        if self.script.extras.people:
            return "person", len(world.people.s) - 1
        return "vehicle", len(world.fleet.s) - 1 if self.script.actor is None else self.script.actor

    def _from_side(self, world: World, time_s: float) -> None:
        people, k = world.people, len(world.people.s) - 1
        start = people.starts[k]
        if self.cued_s is None:
            people.seen_by[k] = -2  # nobody minds who only stands there, or all would come otherwise than planned
            if time_s >= self.script.cue_s:
                self.cued_s = time_s
                people.seen_by[k] = -3
                people.wish[k] = start.speed_mps
                if start.rider:
                    people.v[k] = 0.6 * start.speed_mps
        elif time_s - self.cued_s > self.script.blind_s:
            people.seen_by[k] = -1

    def _pull_out(self, world: World, time_s: float) -> None:
        fleet, i = world.fleet, len(world.fleet.s) - 1
        if self.cued_s is None:
            if time_s >= self.script.cue_s:
                self.cued_s = time_s
                fleet.active[i] = True
                fleet.lapse[0] = (time_s, time_s + self.script.blind_s)
        else:
            fleet.changing_until[i], fleet.changing_side[i] = self.cued_s + 3.0, 1

    def _cut_in(self, world: World, time_s: float) -> None:
        fleet, i = world.fleet, self.script.actor
        assert i is not None
        if self.cued_s is None and time_s >= self.script.cue_s:
            self.cued_s = time_s
            target = fleet.lane_now(0)
            if fleet.net.lanes[target].intersection is None and fleet.active[i]:
                over = max(1.7 * float(fleet.v[i]), 9.0)
                change_lane(fleet, i, target, int(self.script.strength), time_s, over_m=over)
                fleet.lapse[0] = (time_s, time_s + self.script.blind_s)
        elif self.cued_s is not None and time_s < self.cued_s + 1.6:
            fleet.forced[i] = -3.0 if fleet.v[i] > 3.0 else 0.0
        else:
            fleet.forced.pop(i, None)

    def _hard_brake(self, world: World, time_s: float) -> None:
        fleet, i = world.fleet, self.script.actor
        assert i is not None
        if self.cued_s is None and time_s >= self.script.cue_s:
            self.cued_s = time_s
            fleet.lapse[0] = (time_s - 0.1, time_s + self.script.blind_s)
        elif self.cued_s is not None and time_s < self.cued_s + 2.2:
            fleet.forced[i] = -self.script.strength if fleet.v[i] > 0.8 else -1.0
        else:
            fleet.forced.pop(i, None)

    def _cross(self, world: World, time_s: float) -> None:
        fleet, i = world.fleet, len(world.fleet.s) - 1
        if self.cued_s is None and time_s >= self.script.cue_s:
            self.cued_s = time_s
            others = fleet.pose[fleet.active, :2]
            if np.hypot(*(others - fleet.pose[i, :2]).T).min() > 9.0:
                fleet.active[i] = True
                world.violators.add(i)
