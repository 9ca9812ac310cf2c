"""What to do next, in words: from an empty viewer to labels on disk."""

from dataclasses import dataclass, replace
from typing import Literal

Action = Literal[
    "sample",
    "make",
    "background",
    "object",
    "class",
    "start",
    "resume",
    "predict",
    "next",
    "stop",
    "take",
    "save",
    "table",
]

ACTIONS: dict[Action, tuple[str, str]] = {
    "sample": ("Open a sample image", "A photograph of coins, to try everything on."),
    "make": ("Make annotation layer", "Add the layer that you paint on."),
    "background": ("Take the background brush", "Paint what is certainly not an object. Key G."),
    "start": ("Start training", "Let a network learn from the paint, in the background."),
    "resume": ("Go on", "Let the paused training go on."),
    "object": ("Begin an object", "Take a fresh colour for the next object. Key N."),
    "class": ("Take the next class", "Take a fresh colour for the next class. Key N."),
    "predict": ("Predict", "Segment the image with the chosen model."),
    "take": ("Take corrections", "Turn what you corrected in the predicted layer into paint."),
    "next": ("Show me where to paint next", "Move the view to where a stroke would teach most. Key J."),
    "stop": ("Stop and save", "End the training after this step; the best network so far is saved."),
    "save": (
        "Save labels…",
        (
            "Write the predicted labels to a TIFF file, or as outlines for ImageJ (.zip) or QuPath "
            "(.geojson). Those of several images, chosen in step 4, go into a folder."
        ),
    ),
    "table": ("Save table…", "Write the size, place and brightness of every object to a CSV file."),
}
"""Text and tooltip of the button for every action, in the order of the buttons."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How far the user has come around the loop, for the chosen image."""

    has_image: bool = False
    has_annotation: bool = False
    is_of_classes: bool = False  # classes of pixels are painted, not objects
    finds_objects: bool = False  # and no classes: the chosen model
    has_model: bool = False  # the chosen model suits the image
    is_unknown: bool = False  # what is painted is not counted yet, or cannot be
    has_background: bool = False  # some is painted
    objects: int = 0  # painted ones, or classes other than background
    paint_teaches: bool = False  # there is enough paint
    is_training: bool = False
    paint_joins: bool = False  # paint on this image while a network learns
    has_preview: bool = False  # of its predictions for this image
    is_paused: bool = False
    is_waiting: bool = False  # for its turn, before its first step
    is_predicting: bool = False
    trained: bool = False  # in this window, or its project
    has_labels: bool = False  # some are predicted, by any model, for it or images chosen together
    predicted: bool = False  # since that training
    size_can_be_set: bool = False  # of the objects: the chosen model is a starter
    corrected: bool = False  # predicted labels were edited since
    painted_on: bool = False  # the paint has changed since the training began
    saved: bool = False  # the labels are on disk as they are


@dataclass(frozen=True, slots=True)
class Advice:
    """The step to take now, 1 to 4; what to do there; and the buttons for it, the main one first."""

    step: int
    sentence: str
    actions: tuple[Action, ...] = ()


_BACKGROUND = Advice(
    1,
    "Paint a little of the background: what is certainly not an object. A few strokes are enough, some of "
    "them close to objects.",
    ("background",),
)

_BEGIN = Advice(
    1,
    "Now begin an object, and paint along its middle. Begin a new one for each: every object has a colour of "
    "its own.",
    ("object",),
)

_MORE = Advice(1, "Paint a little more: step 1 says what is still missing.", ("object",))

_START = Advice(
    3, "Start training, and keep painting meanwhile. Or paint a few more objects first.", ("start", "object")
)

_LOOK = Advice(
    4,
    "Look at the objects. If they are right, save them. If not, accept right ones and reject wrong "
    "ones in step 4 (keys A and R), or paint where the network is uncertain, and train again.",
    ("next",),
)

_IN_CLASSES = {
    _BACKGROUND: replace(
        _BACKGROUND,
        sentence="Paint a little of the background: what is in no other class. A few strokes are enough.",
    ),
    _BEGIN: Advice(
        1,
        "Now take the next class, and paint a little of it. A class is a kind of pixel, such as nucleus or "
        "lumen.",
        ("class",),
    ),
    _MORE: replace(_MORE, actions=("class",)),
    _START: Advice(
        3, "Start training, and keep painting meanwhile. Or paint a little more first.", ("start", "class")
    ),
    _LOOK: replace(
        _LOOK,
        sentence="Look at the classes. If they are right, save them. If not, correct them with napari's "
        "brush and take the corrections, or paint where the network is uncertain, and train again.",
    ),
}
"""Other sentences and buttons for when classes of pixels are painted."""

_SEES = "The network learns, and the preview shows what it makes of the image."
_LIKE = "When you like what you see, press Stop and save."
_ENOUGH = "When it has learnt enough, press Stop and save."

_LEARNS = {
    (True, True): f"{_SEES} Paint where it is wrong: your strokes join at once. {_LIKE}",
    (True, False): f"{_SEES} What you paint meanwhile is for the next training. {_LIKE}",
    (False, True): f"The network learns, and your strokes join at once. {_ENOUGH}",
    (False, False): f"The network learns. What you paint here meanwhile is for the next training. {_ENOUGH}",
}
"""Sentences while a network learns, by whether the image has a preview and whether its paint joins."""


def next_step(stage: Stage) -> Advice:
    """Return what to do next. Whenever there are labels, they can be saved."""
    advice = _advice(stage)
    if stage.is_of_classes:
        advice = _IN_CLASSES.get(advice, advice)
    if not stage.has_labels or stage.is_predicting:
        return advice
    return replace(advice, actions=(*advice.actions, "save", "table"))


def _advice(stage: Stage) -> Advice:  # noqa: C901, PLR0911, PLR0912 - a table: the first case that holds
    match stage:
        case Stage(has_image=False, is_training=True):
            return Advice(3, f"The network keeps learning from the paint it has read. {_ENOUGH}", ("stop",))
        case Stage(has_image=False):
            return Advice(
                1, "Open an image: drag a file into the window, or try everything on a sample.", ("sample",)
            )
        case Stage(is_paused=True):
            return Advice(
                3,
                "Training is paused, and keeps what it has learnt. Go on, or stop it.",
                ("resume", "next", "stop"),
            )
        case Stage(is_waiting=True):
            return Advice(
                3,
                "The network will learn in a moment: step 3 says what it waits for. Keep painting meanwhile.",
                ("next",),
            )
        case Stage(is_training=True, has_annotation=False):
            return Advice(
                3,
                "The network learns from paint that is not on this image. To paint here meanwhile, make the "
                "annotation layer. When you like what you see, press Stop and save.",
                ("make", "stop"),
            )
        case Stage(is_training=True):
            return Advice(3, _LEARNS[stage.has_preview, stage.paint_joins], ("next", "stop"))
        case Stage(is_predicting=True):
            return Advice(
                4,
                "The network segments the image; step 4 says how far it is. Parts of it appear as they are "
                "finished, those in view first.",
            )
        case Stage(corrected=True, has_annotation=True):
            return Advice(
                1, "Take your corrections into the paint, so that the network learns from them.", ("take",)
            )
        case Stage(has_annotation=False, predicted=True, size_can_be_set=True):
            return Advice(
                1,
                "Look at the labels. If they are right, save them. If they are cut up, joined or missing, "
                "set the object size in step 4 and predict again; or make the annotation layer, paint, and "
                "train.",
                ("make",),
            )
        case Stage(has_annotation=False, predicted=True):
            return Advice(
                1,
                "Look at the labels. If they are right, save them. If not, make the annotation layer, "
                "paint, and train the network further.",
                ("make",),
            )
        case Stage(has_annotation=False, has_model=True):
            return Advice(
                1,
                "Make the annotation layer, the one you paint on; or predict at once, with the model chosen "
                "in step 4.",
                ("make", "predict"),
            )
        case Stage(has_annotation=False):
            return Advice(1, "Make the annotation layer: the one you paint on.", ("make",))
        case Stage(is_unknown=True):
            return Advice(1, "Step 1 says what is painted on this image, or what is wrong with it.")
        case Stage(predicted=True, objects=0):
            return _LOOK
        case Stage(has_background=False):
            return _BACKGROUND
        case Stage(objects=0):
            return _BEGIN
        case Stage(paint_teaches=False):
            return _MORE
        case Stage(trained=False) | Stage(predicted=False, has_model=False):
            return _START
        case Stage(predicted=False, is_of_classes=True, finds_objects=True):
            return Advice(
                3,
                "Classes are painted, and the chosen model finds objects. Start training, and it learns the "
                "classes.",
                ("start", "class"),
            )
        case Stage(predicted=False):
            return Advice(4, "Predict, to see what the network has learnt.", ("predict",))
        case Stage(painted_on=True):
            return Advice(
                3,
                "Train again: it continues from the last model and learns what you painted since.",
                ("start", "next"),
            )
        case Stage(saved=True):
            return Advice(
                4,
                "Your labels are saved. To segment more, choose All images or A folder of files in step 4. "
                "To do better, paint where the network is uncertain and train again.",
                ("next",),
            )
        case _:
            return _LOOK
