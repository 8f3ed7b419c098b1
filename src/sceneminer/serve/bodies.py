"""What requests may hold: checked by pydantic before any of it is used."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sceneminer.serve.settings import MAX_TOP

ClipId = Annotated[str, Field(min_length=1, max_length=300)]
Ids = Annotated[list[ClipId], Field(max_length=200)]
Top = Annotated[int, Field(ge=1, le=MAX_TOP)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,79}$")]
"""Of a selection or a head that is saved: a file name that is no path."""
Merge = Annotated[bool, Field(description="Neighbouring clips of a log as one interval, or each clip by itself")]
Where = Annotated[str, Field(max_length=4000)]


class Body(BaseModel):
    """Nothing that is not known is taken."""

    model_config = ConfigDict(extra="forbid")


class ImageBody(Body):
    """A JPEG or PNG."""

    name: Annotated[str, Field(max_length=200)] = "image"
    data: Annotated[str, Field(description="base64", max_length=22_000_000)]


class SearchBody(Body):
    """Parts of a query, or a saved one."""

    text: Annotated[str, Field(max_length=1000)] | None = None
    image: ImageBody | None = None
    query: dict[str, Any] | None = Field(None, description="A saved query; then no other part but top and merge")
    like: Ids = []
    unlike: Ids = []
    where: Where | None = None
    top: Top = 60
    merge: Merge = True


class FacetsBody(Body):
    """A filter to count under; none: the whole index."""

    where: Where | None = None


class TrainBody(Body):
    """Clips marked by thumbs."""

    relevant: Annotated[list[ClipId], Field(min_length=1, max_length=500)]
    not_relevant: Annotated[list[ClipId], Field(max_length=500)] = []
    where: Where | None = None
    top: Top = 60
    merge: Merge = True
    save_as: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None


class LassoBody(Body):
    """A polygon on the map of the index."""

    polygon: Annotated[
        list[Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=2, max_length=2)]],
        Field(min_length=3, max_length=500),
    ]
    top: Top = 60
    merge: Merge = True


class SelectBody(Body):
    """A rule to choose clips by."""

    name: Name
    query: dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=100_000)]
    hardness: Annotated[float, Field(ge=0, le=1000)] = 1.0
    score: Annotated[float, Field(ge=0, le=1000)] = 1.0
    diversity: Annotated[float, Field(ge=0, le=1000)] = 1.0
    quotas: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)] = []
    near_duplicate: Annotated[float, Field(ge=0.5, le=1)] | Literal["auto"] | None = "auto"
    exclude: Annotated[list[Name], Field(max_length=20)] = []


class PickBody(Body):
    """Clips picked by hand."""

    name: Name
    clip_ids: Annotated[list[ClipId], Field(min_length=1, max_length=10_000)]
    query: dict[str, Any] | None = None


class ExportBody(Body):
    """A selection and what to make of it."""

    selection: Name
    to: Literal["nuscenes", "openlabel", "parquet", "csv", "rerun", "mcap", "fiftyone"]


class Problem(BaseModel):
    """Why a request was not met."""

    error: str
