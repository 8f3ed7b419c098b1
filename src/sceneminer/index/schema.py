"""The tables of an index and what each column means.

``clips`` is the table people search and the authority on what is committed: a unit of work counts as mined exactly
when its rows are there, so ids of units and their clips are one transaction. The other tables are written first
and keyed by ``unit_id``; rows of a unit that never reached ``clips`` are removed before it is mined again.
"""

from collections.abc import Sequence

import pyarrow as pa

from sceneminer.labels.prompts import TAGS
from sceneminer.labels.relations import FLAGS, RATES

FORMAT_VERSION = 3
TOKENS = 32
TOKEN_WIDTH = 256

TABLES = ("clips", "tokens", "frames", "agents", "thumbs", "logs", "empty_units", "manifest")
UNIT_TABLES = ("tokens", "frames", "agents", "thumbs")
"""Tables written before ``clips`` for each unit."""

_EXPLANATION = (
    ("agent", pa.string()),
    ("category", pa.string()),
    ("time_us", pa.int64()),
    ("measure", pa.string()),
    ("value", pa.float32()),
)


def vector(width: int, value: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", value), width)


def clips_schema(embed_dim: int, *, added: Sequence[str] = ()) -> pa.Schema:
    """One row a clip. Model columns are null where a clip has no usable image; metric ones without poses or tracks.

    ``added``: columns of the heads that users added to this index.
    """
    fields = [
        ("clip_id", pa.string()),
        ("log_id", pa.string()),
        ("log_name", pa.string()),
        ("dataset", pa.string()),
        ("location", pa.string()),
        ("split", pa.string()),
        ("unit_id", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("images", pa.int32()),
        ("images_masked", pa.int32()),
        ("cameras", pa.int32()),
        ("local_hour", pa.float32()),
        ("ego_speed_mps", pa.float32()),
        ("ego_distance_m", pa.float32()),
        ("stream_fingerprint", pa.string()),
        ("embedding", vector(embed_dim, pa.float32())),
        *((f"tag_{tag}", pa.float32()) for tag in TAGS),
        *((f"label_tag_{tag}", pa.bool_()) for tag in TAGS),
        ("risk_tracks", pa.float32()),
        *((f"risk_tracks_{name}", kind) for name, kind in _EXPLANATION),
        ("risk_camera", pa.float32()),
        *((f"risk_camera_{name}", kind) for name, kind in _EXPLANATION),
        ("risk_camera_x_m", pa.float32()),
        ("risk_camera_y_m", pa.float32()),
        ("ambiguity", pa.float32()),
        ("rarity", pa.float32()),
        ("hardness", pa.float32()),
        *((name, pa.float32()) for name in added),
    ]
    return pa.schema([pa.field(name, kind) for name, kind in fields])


def tokens_schema(embed_dim: int) -> pa.Schema:
    """The stream of each clip, in fp16, as heads read it."""
    return pa.schema(
        [
            pa.field("clip_id", pa.string()),
            pa.field("log_id", pa.string()),
            pa.field("unit_id", pa.string()),
            pa.field("stream_fingerprint", pa.string()),
            pa.field("tokens", vector(TOKENS * TOKEN_WIDTH, pa.float16())),
            pa.field("mean_embedding", vector(embed_dim, pa.float16())),
        ]
    )


FRAMES_SCHEMA = pa.schema(
    [
        ("log_id", pa.string()),
        ("unit_id", pa.string()),
        ("time_us", pa.int64()),
        ("x_m", pa.float64()),
        ("y_m", pa.float64()),
        ("yaw_rad", pa.float32()),
        ("speed_mps", pa.float32()),
        ("risk_tracks", pa.float32()),
        ("risk_tracks_agent", pa.string()),
        ("risk_tracks_measure", pa.string()),
        ("risk_tracks_value", pa.float32()),
    ]
)
"""Ego and risk over time, ten times a second; world coordinates. Null where the log has no poses or no tracks."""

AGENTS_SCHEMA = pa.schema(
    [
        ("log_id", pa.string()),
        ("unit_id", pa.string()),
        ("time_us", pa.int64()),
        ("track_id", pa.string()),
        ("category", pa.string()),
        ("x_m", pa.float32()),
        ("y_m", pa.float32()),
        ("yaw_rad", pa.float32()),
        ("vx_mps", pa.float32()),
        ("vy_mps", pa.float32()),
        ("length_m", pa.float32()),
        ("width_m", pa.float32()),
        ("risk", pa.float32()),
        ("ttc_s", pa.float32()),
        ("drac_mps2", pa.float32()),
        ("ttce_s", pa.float32()),
        ("dce_m", pa.float32()),
        ("thw_s", pa.float32()),
        ("pet_s", pa.float32()),
        ("a_long_req_mps2", pa.float32()),
        ("a_lat_req_mps2", pa.float32()),
        ("rss_violation", pa.float32()),
        *((name, pa.float32()) for name in RATES),
        *((name, pa.bool_()) for name in FLAGS),
    ]
)
"""Agents within 80 m of ego at the log's reference times, in the ego frame; velocity relative to the ground."""

THUMBS_SCHEMA = pa.schema(
    [("clip_id", pa.string()), ("log_id", pa.string()), ("unit_id", pa.string()), ("jpeg", pa.binary())]
)

LOGS_SCHEMA = pa.schema(
    [
        ("log_id", pa.string()),
        ("name", pa.string()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("location", pa.string()),
        ("description", pa.string()),
        ("licence", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("cameras", pa.list_(pa.string())),
        ("rig_source", pa.string()),
        ("has_poses", pa.bool_()),
        ("has_tracks", pa.bool_()),
        ("has_map", pa.bool_()),
        ("root", pa.string()),
        ("adapter", pa.string()),
        ("options", pa.string()),
        ("issues", pa.string()),
    ]
)
"""Where each log came from. ``root``, and ``media_root`` in ``options``, are absolute paths, and ``move`` rewrites
them; the only other one in an index is that of a model from a folder, in the manifest."""

EMPTY_UNITS_SCHEMA = pa.schema([("unit_id", pa.string()), ("log_id", pa.string())])
"""Units that were mined and gave no clip (all quarantined)."""

MANIFEST_SCHEMA = pa.schema([("key", pa.string()), ("value", pa.string())])


def schema_of(table: str, embed_dim: int) -> pa.Schema:
    match table:
        case "clips":
            return clips_schema(embed_dim)
        case "tokens":
            return tokens_schema(embed_dim)
        case _:
            return {
                "frames": FRAMES_SCHEMA,
                "agents": AGENTS_SCHEMA,
                "thumbs": THUMBS_SCHEMA,
                "logs": LOGS_SCHEMA,
                "empty_units": EMPTY_UNITS_SCHEMA,
                "manifest": MANIFEST_SCHEMA,
            }[table]
