"""The fields of an exported FiftyOne dataset, and the document that declares them."""

import json
from collections.abc import Sequence
from typing import Any

from sceneminer.export.origin import Origin, clean

VERSION = "1.0.0"
"""Of FiftyOne: later ones migrate what they import."""
GROUP = "group"
_CORE = "fiftyone.core"
_FIELDS = f"{_CORE}.fields"
_TEXTS = ("clip_id", "log_id", "log_name", "source", "location", "licence", "why", "risk_source", "risk_measure")
_INTEGERS = ("rank", "start_us", "end_us", "time_us")
_NUMBERS = ("score", "risk", "risk_value", "ambiguity", "rarity", "hardness", "ego_speed_mps")


def dataset_document(origin: Origin, slices: Sequence[str]) -> dict[str, Any]:
    """The dataset in MongoDB extended JSON; the query and the rule are JSON texts, since keys may not hold dots."""
    told = origin.as_json()
    ahead = sorted(slices, key=lambda name: ("front" not in name.lower(), len(name), name))
    return {
        "name": f"sceneminer-{origin.selection[:12]}",
        "version": VERSION,
        "persistent": False,
        "media_type": "group",
        "group_field": GROUP,
        "group_media_types": dict.fromkeys(sorted(slices), "image"),
        "default_group_slice": ahead[0] if ahead else None,
        "tags": ["sceneminer"],
        "info": told | {name: json.dumps(told[name], ensure_ascii=False) for name in ("query", "rule")},
        "sample_fields": _sample_fields(),
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _sample_fields() -> list[dict[str, Any]]:
    texts = [_field("label"), _field("tags", "ListField", sub="StringField")]
    label = [_field("id", "ObjectIdField", db="_id"), *texts]
    sure = _field("confidence", "FloatField")
    detection = [*label, _field("bounding_box", "ListField", sub="FloatField"), sure]
    detection += [_field("track_id"), _field("away_m", "FloatField"), _field("riskiest", "BooleanField")]
    numbers = ("size_bytes", "width", "height", "num_channels")
    metadata = [_field("mime_type"), *(_field(name, "IntField") for name in numbers)]
    return [
        _field("id", "ObjectIdField", db="_id"),
        _field("filepath"),
        _field("tags", "ListField", sub="StringField"),
        _document("metadata", "metadata.Metadata", metadata),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        _field("_media_type"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _document(GROUP, "groups.Group", [_field("id", "ObjectIdField", db="_id"), _field("name")]),
        *(_field(name) for name in _TEXTS),
        *(_field(name, "IntField") for name in _INTEGERS),
        *(_field(name, "FloatField") for name in _NUMBERS),
        _labels("scene_tags", "Classification", [*label, sure]),
        _labels("rule_tags", "Classification", [*label, sure]),
        _labels("agents", "Detection", detection),
        _field("embedding", "VectorField"),
    ]


def _labels(name: str, kind: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """A list of labels, in the document around it that FiftyOne has for each kind."""
    several = _field(f"{kind.lower()}s", "ListField", sub="EmbeddedDocumentField")
    several |= {"embedded_doc_type": f"{_CORE}.labels.{kind}", "fields": fields}
    return _document(name, f"labels.{kind}s", [several])


def _document(name: str, kind: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return _field(name, "EmbeddedDocumentField") | {"embedded_doc_type": f"{_CORE}.{kind}", "fields": fields}


def _field(
    name: str, kind: str = "StringField", *, sub: str | None = None, db: str | None = None, read_only: bool = False
) -> dict[str, Any]:
    return {
        "name": clean(name),
        "ftype": f"{_FIELDS}.{kind}",
        "embedded_doc_type": None,
        "subfield": None if sub is None else f"{_FIELDS}.{sub}",
        "fields": [],
        "db_field": db or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }
