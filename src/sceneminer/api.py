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
from sceneminer.export.formats import ExportReport, export_selection
from sceneminer.index.backfill import backfill
from sceneminer.index.facets import Facets, facets
from sceneminer.index.head_export import export_head
from sceneminer.index.heads import HeadReport, add_head, adopt_head, drop_head, list_heads, upgrade_head
from sceneminer.index.hits import Hit
from sceneminer.index.label_set import mark, read_labels, read_values
from sceneminer.index.manage import delete_logs, index_info, move_root, optimize
from sceneminer.index.query import Query, make_query, read_query, write_query
from sceneminer.index.replay import Replay, replay
from sceneminer.index.search import Index, hardest, open_index, run_query, search
from sceneminer.index.select import Report, Rule, excluding, select
from sceneminer.index.selection import Selected, Selection, read_selection, write_selection
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
    "ExportReport",
    "Facets",
    "Frame",
    "HeadReport",
    "Hit",
    "Index",
    "Log",
    "LogSet",
    "MineReport",
    "MiningPlan",
    "OpenOptions",
    "Query",
    "Replay",
    "Report",
    "Rig",
    "Rule",
    "SceneModel",
    "Selected",
    "Selection",
    "Sensor",
    "Series",
    "add_head",
    "adopt_head",
    "backfill",
    "clip_risk",
    "clips_of",
    "delete_logs",
    "drop_head",
    "excluding",
    "export_head",
    "export_selection",
    "facets",
    "frame_at",
    "hardest",
    "index_info",
    "iter_frames",
    "label_tags",
    "list_heads",
    "log_risk",
    "make_query",
    "mark",
    "mine",
    "move_root",
    "open_index",
    "open_log",
    "open_logs",
    "optimize",
    "read_labels",
    "read_query",
    "read_selection",
    "read_values",
    "replay",
    "run_query",
    "search",
    "select",
    "upgrade_head",
    "write_query",
    "write_selection",
]
