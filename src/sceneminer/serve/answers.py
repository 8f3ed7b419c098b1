"""What requests are answered with: shown in the OpenAPI document, and held to it by tests.

The routes give plain values, which are not checked against these again at each answer.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Part = float | str | None


class Answer(BaseModel):
    """Nothing is told that is not named here."""

    model_config = ConfigDict(extra="forbid")


class Named(Answer):
    """A head or an export, and what it needs."""

    name: str
    columns: list[str]


class Export(Answer):
    name: str
    extra: str | None
    """Of the package, without which it is refused."""


class ModelTold(Answer):
    source: str
    demo: bool


class AgentWords(Answer):
    """Words of a filter on agents, with their meaning."""

    columns: dict[str, str]
    relations: dict[str, str]
    functions: dict[str, str]
    categories: list[str]
    groups: list[str]


class Info(Answer):
    name: str
    clips: int
    logs: int
    index_version: str | None
    model: ModelTold
    tags: list[str]
    heads: list[Named]
    locations: list[str]
    log_names: list[str]
    risk_rule: str
    examples: list[str]
    agent_words: AgentWords
    filter_columns: list[str]
    exports: list[Export]
    can_write: bool
    licences: list[str]
    licence_notice: str | None


class HitTold(Answer):
    """A time interval of one log; times in µs. Its parts and tags are those of ``clip_id``, the best of its clips."""

    clip_id: str
    clip_ids: list[str]
    log_id: str
    log_name: str
    log_start_us: int
    start_us: int
    end_us: int
    score: float | None
    parts: dict[str, Part]
    """Similarity, likeness to each part of the query, hardness, risk and its explanation, ambiguity, rarity, agents."""
    tags: dict[str, float | None]
    cameras: int | None


class Hits(Answer):
    hits: list[HitTold]
    query: dict[str, Any] | None
    """As it can be saved, and asked again."""
    unknown: list[str]
    """Where nothing was found: what the filter names and the index knows of no clip; null never matches."""
    took_ms: float


class FacetsTold(Answer):
    """Of the clips that meet a filter; a clip has a tag, or is found by a head, from a probability of a half up."""

    clips: int
    logs: int
    tags: dict[str, int]
    heads: dict[str, int]
    histograms: dict[str, list[int]]
    most: dict[str, float]
    """Up to where each histogram goes, from 0; its last bin holds what lies above, too."""


class Figures(Answer):
    """On logs that were left out of training."""

    ap: float | None
    auc: float | None
    note: str


class Trained(Answer):
    hits: list[HitTold]
    examples: int
    unmarked: int
    """Clips that nobody marked, taken for negatives of low weight."""
    figures: Figures
    took_ms: float
    saved: Named | None


class MapOfIndex(Answer):
    points: int
    bounds: list[float]
    """x0, y0, x1, y1."""
    version: str
    explained: float
    """Share of the embeddings' variance that the map holds."""


class Lassoed(Answer):
    hits: list[HitTold]
    inside: int


class IndexTold(Answer):
    version: str
    models: list[str]


class Item(Answer):
    clip_id: str
    log_id: str
    log_name: str
    start_us: int
    end_us: int
    score: float | None
    parts: dict[str, Part]


class SelectionTold(Answer):
    """As its file has it."""

    format: int
    kind: str
    index: IndexTold
    query: dict[str, Any]
    rule: dict[str, Any]
    items: list[Item]
    content: str


class Kept(Answer):
    name: str
    selection: SelectionTold


class Counts(Answer):
    matching: int
    excluded: int
    near_duplicates: int
    near_cosine: float | None
    """From which cosine up two clips are near-duplicates; null where they are let in."""
    beyond_pool: int
    unmet: list[str]


class Chosen(Kept):
    report: Counts


class NameOfSelection(Answer):
    name: str
    items: int
    made_from: str | None
    error: str | None = None


class JobBegun(Answer):
    job: str


class JobTold(Answer):
    job: str
    state: Literal["running", "done", "failed"]
    said: str
    path: str | None
    items: int
    files: int
    left_out: list[list[str]]
    error: str | None
