"""Scores in words and in rows."""

import csv
import dataclasses
import io

import numpy as np

from napari_unet.core.scoring.score_table import MEANINGS, delimited, named_values
from napari_unet.core.scoring.scores import Scores, evaluate


def test_every_score_is_explained_in_one_sentence():
    assert set(MEANINGS) == {field.name for field in dataclasses.fields(Scores)}
    assert len({meaning.title for meaning in MEANINGS.values()}) == len(MEANINGS)
    for meaning in MEANINGS.values():
        assert meaning.sentence.endswith(".")
        assert ". " not in meaning.sentence


def test_values_as_people_read_them():
    shown = dict(named_values(evaluate(np.array([[1, 1, 0]]), np.array([[1, 1, 1]]))))
    assert (shown["True objects"], shown["Foreground IoU"], shown["F1"]) == ("1", "0.667", "1.000")


def test_rows_can_be_read_back():
    rows = [["image, 1", "0.5"], ['a "b"\nc', ""]]
    for delimiter in ",\t":
        text = io.StringIO(delimited(rows, delimiter), newline="")
        assert list(csv.reader(text, delimiter=delimiter)) == rows
