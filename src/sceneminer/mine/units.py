"""Units of work: at most ten minutes of one log, with an id that depends on what is mined and how, not on paths."""

import hashlib
from dataclasses import dataclass, replace
from itertools import groupby

from sceneminer.data.clip import Clip, clips_of
from sceneminer.data.errors import Issue
from sceneminer.data.log import Log
from sceneminer.data.options import LogSet

UNIT_US = 600_000_000
MAX_CLIPS = 100_000
"""Of one log: more than a day at a stride of 1 s is not a drive but a wrong time stamp."""


@dataclass(frozen=True)
class MiningPlan:
    """How logs are cut and what counts as a usable clip; the same for a whole index."""

    stride_us: int = 1_000_000
    length_us: int = 2_000_000
    min_cameras: int = 1
    cameras: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not 100_000 <= self.stride_us <= self.length_us <= 60_000_000:
            raise ValueError(
                "expected 0.1 s ≤ stride ≤ length ≤ 60 s, found "
                f"stride {self.stride_us / 1e6} s and length {self.length_us / 1e6} s"
            )
        if self.min_cameras < 1:
            raise ValueError(f"expected at least one camera a clip, found --min-cameras {self.min_cameras}")


@dataclass(frozen=True, eq=False)
class Unit:
    """Clips of one log that start within one span of at most ten minutes."""

    unit_id: str
    log: Log
    clips: tuple[Clip, ...]
    start_us: int
    end_us: int
    """Frames and agents with start_us ≤ time < end_us belong to this unit; the last unit of a log has its end too."""


def units_of(log: Log, plan: MiningPlan, *, stream_fingerprint: str) -> tuple[Unit, ...]:
    """The units of a log, in time order."""
    clips = clips_of(log, stride_us=plan.stride_us, length_us=plan.length_us)
    units = []
    for part, group in groupby(clips, key=lambda clip: (clip.start_us - log.start_us) // UNIT_US):
        inside, first_us = tuple(group), log.start_us + part * UNIT_US
        end_us = log.end_us + 1 if inside[-1] is clips[-1] else first_us + UNIT_US
        unit_id = _unit_id(log, plan, stream_fingerprint, inside)
        units.append(Unit(unit_id, log, inside, first_us, end_us))
    return tuple(units)


def without_endless(found: LogSet, plan: MiningPlan) -> LogSet:
    """Logs of more than MAX_CLIPS clips are refused by name, before anything is made of each of their seconds."""
    logs, refused = [], list(found.refused)
    for log in found.logs:
        clips = max(log.end_us - plan.length_us - log.start_us, 0) // plan.stride_us + 1
        if clips <= MAX_CLIPS:
            logs.append(log)
            continue
        hours = (log.end_us - log.start_us) / 3.6e9
        reason = f"expected at most {MAX_CLIPS} clips in a log, found times over {hours:.0f} hours: {clips} clips"
        refused.append((log.name, Issue("odd_time", log.log_id, reason)))
    return replace(found, logs=tuple(logs), refused=tuple(refused))


def _unit_id(log: Log, plan: MiningPlan, stream_fingerprint: str, clips: tuple[Clip, ...]) -> str:
    """A digest of the plan, the stream, and the times of what the clips look at: images that came later change it."""
    cameras = sorted(log.cameras())
    first_us, last_us = clips[0].start_us, clips[-1].end_us
    parts = (log.log_id, ",".join(cameras), plan.stride_us, plan.length_us, plan.min_cameras, stream_fingerprint)
    digest = hashlib.sha256("|".join(map(str, (*parts, first_us, last_us))).encode())
    for name in cameras:
        digest.update(log.series[name].between(first_us, last_us).times_us.astype("<i8").tobytes() + b"|")
    return digest.hexdigest()[:24]
