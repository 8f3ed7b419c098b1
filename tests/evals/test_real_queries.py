"""Precision of queries on judged images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sceneminer.data.errors import DataError, MediaError
from sceneminer.evals.real_queries import QUERIES, encode_files, precision_at, read_judgements, truth_of_queries
from sceneminer.model.zoo import TINY, load_model_tower

JUDGEMENTS = Path(__file__).parents[2] / "docs" / "results" / "real_queries.csv"


def test_precision_counts_the_right_ones_among_the_first():
    scores = np.array([[0.9, 0.1, 0.8, 0.7], [0.1, 0.2, 0.3, 0.4]])
    true = np.array([[True, True, False, True], [True, False, False, False]])
    assert precision_at(scores, true, 3).tolist() == pytest.approx([2 / 3, 0.0])
    assert precision_at(scores, true, 4).tolist() == pytest.approx([3 / 4, 1 / 4])


def test_the_judgements_that_are_kept_cover_every_query_once():
    judged = read_judgements(JUDGEMENTS)
    true = truth_of_queries(judged)
    assert true.shape == (len(QUERIES), len(judged))
    assert len({image.file for image in judged}) == len(judged)
    assert (true.any(1) & ~true.all(1)).all()


@pytest.mark.parametrize("row", ["a.jpg,11", "a.jpg,0", "a.jpg,one", ",1"])
def test_a_bad_judgement_is_named(tmp_path, row):
    path = tmp_path / "judged.csv"
    path.write_text(f"file,queries\nb.jpg,1 2\n{row}\n")
    with pytest.raises(DataError, match="line 3"):
        read_judgements(path)


def test_files_are_encoded_in_order_and_missing_ones_are_named(tmp_path):
    for name, level in (("dark.png", 10), ("light.png", 230)):
        Image.fromarray(np.full((90, 160, 3), level, np.uint8)).save(tmp_path / name)
    tower = load_model_tower(TINY)
    one, two = (
        encode_files(tower, tmp_path, names) for names in (["dark.png", "light.png"], ["light.png", "dark.png"])
    )
    assert one.shape == (2, tower.embed_dim)
    assert np.allclose(one.flip(0), two)
    assert not np.allclose(one[0], one[1])
    with pytest.raises(MediaError, match=r"gone\.png"):
        encode_files(tower, tmp_path, ["gone.png"])
