"""The public API in one place: open logs, mine them, search the index.

>>> from sceneminer.api import hardest, mine, open_index, open_logs, search

It is a module of its own because ``sceneminer.mine`` and ``sceneminer.index`` are packages: a function of the same name
beside them would be replaced by the package as soon as somebody imported it.
"""

from sceneminer.data.clip import Clip, clips_of
from sceneminer.data.frame import Frame, frame_at, iter_frames
from sceneminer.data.log import Log, Rig, Sensor, Series
from sceneminer.data.open import open_log, open_logs
from sceneminer.data.options import LogSet, OpenOptions
from sceneminer.index.backfill import backfill
from sceneminer.index.head_export import export_head
from sceneminer.index.heads import add_head, adopt_head, drop_head, list_heads, upgrade_head
from sceneminer.index.hits import Hit
from sceneminer.index.label_set import mark, read_labels, read_values
from sceneminer.index.manage import delete_logs, index_info, move_root, optimize
from sceneminer.index.search import Index, hardest, open_index, search
from sceneminer.labels.risk import clip_risk, log_risk
from sceneminer.labels.tags import label_tags
from sceneminer.mine.report import MineReport
from sceneminer.mine.run import mine
from sceneminer.mine.units import MiningPlan
from sceneminer.model.embedder import Embedder, EmbedderTower
from sceneminer.model.scene_model import SceneModel

__all__ = [
    "Clip",
    "Embedder",
    "EmbedderTower",
    "Frame",
    "Hit",
    "Index",
    "Log",
    "LogSet",
    "MineReport",
    "MiningPlan",
    "OpenOptions",
    "Rig",
    "SceneModel",
    "add_head",
    "adopt_head",
    "backfill",
    "Sensor",
    "Series",
    "clip_risk",
    "clips_of",
    "delete_logs",
    "drop_head",
    "export_head",
    "frame_at",
    "hardest",
    "index_info",
    "iter_frames",
    "label_tags",
    "list_heads",
    "log_risk",
    "mark",
    "mine",
    "move_root",
    "open_index",
    "open_log",
    "open_logs",
    "optimize",
    "read_labels",
    "read_values",
    "search",
    "upgrade_head",
]
