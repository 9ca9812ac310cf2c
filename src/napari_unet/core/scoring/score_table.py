"""Scores as people read them: a title, a value and a sentence each, and rows for a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from napari_unet.core.scoring.scores import Scores


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a score is called on the screen, and what it means, in one plain sentence."""

    title: str
    sentence: str


MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "n_true": Meaning("True objects", "How many objects the truth holds."),
        "n_predicted": Meaning("Predicted objects", "How many objects the prediction holds."),
        "n_matched": Meaning(
            "Matched objects",
            "How many predicted objects fit a true one: at least half of the area of both together is shared "
            "(IoU 0.5).",
        ),
        "f1": Meaning(
            "F1", "Precision and recall in one number: 1 if every object is found and none is invented."
        ),
        "precision": Meaning("Precision", "Share of the predicted objects that fit a true one."),
        "recall": Meaning("Recall", "Part of the true objects that were found."),
        "touching_recall": Meaning(
            "Touching recall", "Share of the true objects with a touching neighbour that were found."
        ),
        "n_touching": Meaning("Touching objects", "How many true objects touch another one."),
        "splits": Meaning("Splits", "True objects that were cut into two or more."),
        "merges": Meaning("Merges", "Predicted objects that swallow two or more true ones."),
        "ap_50": Meaning(
            "AP 0.5",
            "Matched objects as a share of matched, missed and invented ones together, where a rough fit is "
            "enough (IoU 0.5).",
        ),
        "ap_75": Meaning("AP 0.75", "The same, but only a good fit counts (IoU 0.75)."),
        "ap_90": Meaning("AP 0.9", "The same, but only an almost perfect outline counts (IoU 0.9)."),
        "foreground_iou": Meaning(
            "Foreground IoU",
            "Area that is object in both, as a share of the area that is object in either; touching objects "
            "are not separated.",
        ),
        "dice": Meaning(
            "Dice", "The same agreement of areas on the scale of F1, so always at least the foreground IoU."
        ),
        "pixel_error": Meaning(
            "Pixel error",
            "Share of all pixels that are object in one and background in the other; 0 is best.",
        ),
        "adapted_rand_error": Meaning(
            "Adapted Rand error",
            "How often two pixels inside objects are wrongly joined or separated; large objects count most; "
            "0 is best.",
        ),
        "variation_of_information": Meaning(
            "Variation of information",
            "How much prediction and truth disagree, in bits per pixel; 0 is best.",
        ),
        "vi_oversegmentation": Meaning(
            "… of it from splits", "The part of the variation of information that cutting too much adds."
        ),
        "vi_undersegmentation": Meaning(
            "… of it from merges", "The part of the variation of information that joining too much adds."
        ),
    }
)
"""Every field of :class:`Scores`, in the order of the screen: objects, areas, partitions."""


def value_text(value: float) -> str:
    """Return counts as they are and everything else with three digits."""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def named_values(scores: Scores) -> list[tuple[str, str]]:
    """Return title and value of every score, in the order of the screen."""
    values = asdict(scores)
    return [(meaning.title, value_text(values[name])) for name, meaning in MEANINGS.items()]


def delimited(rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    """Return rows as CSV (RFC 4180); with a tab for a delimiter, a spreadsheet takes them when pasted."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()
