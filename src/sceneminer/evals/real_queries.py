"""Ten queries on real images: precision@5 of a tower against chance.

Every image was judged by eye for every query (``docs/results/real_queries.csv``: a file under the data folder and the
numbers of the queries that are true of it) before the model that is reported was trained. Chance is the share of
images for which a query is true. Images go in whole, as mining reads them.
Command: ``python -m sceneminer.evals.real_queries MODEL DATA``. Result: docs/results/tiny_clip.md.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from sceneminer.data.errors import DataError
from sceneminer.data.media import MediaRoot, existing_folder
from sceneminer.model.tower import Tower
from sceneminer.model.whole_image import fit_tower
from sceneminer.model.zoo import load_model_tower

QUERIES: tuple[str, ...] = (
    "a street at night",
    "a bus",
    "a person riding a bicycle",
    "a pedestrian crossing the street",
    "a large truck",
    "a construction zone with traffic cones or barriers",
    "a red traffic light",
    "a row of parked cars on the right",
    "a road lined with trees and no buildings",
    "an empty road without other vehicles",
)
"""Written on 2026-11-20 before the first training run."""

JUDGEMENTS = Path("docs/results/real_queries.csv")
TOP = 5


@dataclass(frozen=True)
class Judged:
    """A real image and the queries (from 0) that are true of it."""

    file: str
    queries: frozenset[int]


def read_judgements(path: Path) -> list[Judged]:
    """The rows of a table with the columns ``file`` and ``queries`` (numbers from 1); DataError names a bad one."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for line, row in enumerate(rows, 2):
        numbers = (row.get("queries") or "").split()
        if not row.get("file") or not all(n.isdecimal() and 1 <= int(n) <= len(QUERIES) for n in numbers):
            raise DataError(
                f"{path.name}, line {line}: expected a file and numbers from 1 to {len(QUERIES)}, found {row}"
            )
        found.append(Judged(row["file"], frozenset(int(n) - 1 for n in numbers)))
    return found


def truth_of_queries(judged: Sequence[Judged]) -> Bool[ndarray, "q n"]:
    return np.array([[q in image.queries for image in judged] for q in range(len(QUERIES))])


def encode_files(tower: Tower, root: Path, files: Sequence[str]) -> Float[Tensor, "n e"]:
    """Embeddings of image files under a folder; MediaError names a file that is not there or broken."""
    media = MediaRoot(existing_folder(root, "the data folder"))
    found = []
    for name in files:
        small = fit_tower(media.read_image(name), tower)
        found.append(tower.encode_images(torch.from_numpy(small.copy()).permute(2, 0, 1)[None]).embeddings)
    return torch.cat(found)


def precision_at(scores: Float[ndarray, "q n"], true: Bool[ndarray, "q n"], k: int) -> Float[ndarray, "q"]:
    """Of each query, the share of right ones among its first k."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(true, first, 1).mean(1)


def main() -> None:
    """Print precision@5 of each query, and their mean, beside chance."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", help="folder or hub name of a CLIP or SigLIP")
    parser.add_argument("data", type=Path, help="the folder that the judgements name files of")
    parser.add_argument("--judgements", type=Path, default=JUDGEMENTS)
    args = parser.parse_args()
    judged = read_judgements(args.judgements)
    tower = load_model_tower(args.model)
    images = encode_files(tower, args.data, [image.file for image in judged])
    scores = (tower.encode_texts(list(QUERIES)) @ images.T).numpy()
    true = truth_of_queries(judged)
    precision, chance = precision_at(scores, true, TOP), true.mean(1)
    print(f"| query | precision@{TOP} | chance | true of |\n|---|---|---|---|")
    for text, found, share, count in zip(QUERIES, precision, chance, true.sum(1), strict=True):
        print(f"| {text} | {found:.1f} | {share:.2f} | {count} of {len(judged)} |")
    print(f"| mean | {precision.mean():.2f} | {chance.mean():.2f} | |")


if __name__ == "__main__":
    main()
