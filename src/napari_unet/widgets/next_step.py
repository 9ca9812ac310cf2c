"""What to do next, in words: from an empty viewer to labels on disk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Action = Literal[
    "sample", "make", "background", "object", "class", "start", "predict", "next", "take", "save", "table"
]

ACTIONS: dict[Action, tuple[str, str]] = {
    "sample": ("Open a sample image", "A photograph of coins, to try everything on."),
    "make": ("Make annotation layer", "Add the layer that you paint on."),
    "background": ("Take the background brush", "Paint what is certainly no object. Key G."),
    "start": ("Start training", "Let a network learn from the paint, in the background."),
    "object": ("Begin an object", "Take a fresh colour for the next object. Key N."),
    "class": ("Take the next class", "Take a fresh colour for the next class. Key N."),
    "predict": ("Predict", "Segment the image with the chosen model."),
    "take": ("Take corrections", "Turn what you corrected in the predicted layer into paint."),
    "next": ("Show me where to paint next", "Move the view to where a stroke would teach most. Key J."),
    "save": ("Save labels…", "Write the predicted labels to a TIFF file, with the pixel size."),
    "table": ("Save table…", "Write the size, place and brightness of every object to a CSV file."),
}
"""Text and tooltip of the button of every action, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Stage:
    """How far the user is around the loop, for the chosen image.

    Parameters
    ----------
    has_image, has_annotation : bool
    is_of_classes : bool
        Classes of pixels are painted, not objects.
    has_model : bool
        One is chosen that suits the image.
    has_background : bool
        Some is painted.
    objects : int
        How many are painted (or classes other than background).
    paint_teaches : bool
        There is enough of it.
    is_training, paint_joins : bool
        A network learns now; and whether what is painted on this image meanwhile joins.
    has_preview : bool
        What it makes of this image is shown.
    is_paused, is_waiting : bool
        That network waits for the user; or for its turn, before its first step.
    is_predicting : bool
        Images are segmented now.
    trained : bool
        In this session.
    has_labels : bool
        Some are predicted of the image, by whatever model.
    predicted : bool
        Since that training.
    corrected : bool
        Predicted labels were edited since.
    painted_on : bool
        The paint has changed since the training began.
    saved : bool
        The labels are on disk as they are.
    """

    has_image: bool = False
    has_annotation: bool = False
    is_of_classes: bool = False
    has_model: bool = False
    has_background: bool = False
    objects: int = 0
    paint_teaches: bool = False
    is_training: bool = False
    paint_joins: bool = False
    has_preview: bool = False
    is_paused: bool = False
    is_waiting: bool = False
    is_predicting: bool = False
    trained: bool = False
    has_labels: bool = False
    predicted: bool = False
    corrected: bool = False
    painted_on: bool = False
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """The step to take now, 1 to 4; what to do there; and the buttons that do it, the first above all."""

    step: int
    sentence: str
    actions: tuple[Action, ...] = ()


_BACKGROUND = Advice(
    1,
    "Paint a little of the background: what is certainly no object. A few strokes are enough, some of them "
    "close to objects.",
    ("background",),
)

_BEGIN = Advice(
    1,
    "Now begin an object, and paint along its middle. Begin a new one for each: every object has a colour of "
    "its own.",
    ("object",),
)

_MORE = Advice(1, "Paint a little more: step 1 tells what is still missing.", ("object",))

_START = Advice(
    3, "Start training, and go on painting meanwhile. Or paint a few more objects first.", ("start", "object")
)

_LOOK = Advice(
    4,
    "Look at the objects. If they are right, save them. If not, accept right ones and reject wrong "
    "ones in step 4 (keys A and R), or paint where the network is uncertain, and train on.",
    ("next",),
)

_IN_CLASSES = {
    _BACKGROUND: replace(
        _BACKGROUND,
        sentence="Paint a little of the background: what is of no other class. A few strokes are enough.",
    ),
    _BEGIN: Advice(
        1,
        "Now take the next class, and paint a little of it. A class is a kind of pixel, such as nucleus or "
        "lumen.",
        ("class",),
    ),
    _MORE: replace(_MORE, actions=("class",)),
    _START: Advice(
        3, "Start training, and go on painting meanwhile. Or paint a little more first.", ("start", "class")
    ),
    _LOOK: replace(
        _LOOK,
        sentence="Look at the classes. If they are right, save them. If not, correct them with napari's "
        "brush and take the corrections, or paint where the network is uncertain, and train on.",
    ),
}
"""What is said, and offered, otherwise where classes of pixels are painted."""

_RULES: tuple[tuple[Callable[[Stage], bool], Advice], ...] = (
    (
        lambda stage: not stage.has_image,
        Advice(1, "Open an image: drag a file into the window, or try everything on a sample.", ("sample",)),
    ),
    (
        lambda stage: stage.is_paused,
        Advice(3, "Training is paused, and keeps what it has learnt. Press Go on in step 3.", ("next",)),
    ),
    (
        lambda stage: stage.is_waiting,
        Advice(
            3,
            "The network learns in a moment: step 3 tells what it waits for. Go on painting meanwhile.",
            ("next",),
        ),
    ),
    (
        lambda stage: stage.is_training and not stage.has_annotation,
        Advice(
            3,
            "The network learns from paint that is not on this image. To paint here meanwhile, make the "
            "annotation layer. When you like what you see, press Stop and save in step 3.",
            ("make",),
        ),
    ),
    (
        lambda stage: stage.is_training and stage.paint_joins and not stage.has_preview,
        Advice(
            3,
            "The network learns, and your strokes join at once. When it has learnt enough, press Stop and "
            "save in step 3.",
            ("next",),
        ),
    ),
    (
        lambda stage: stage.is_training and not stage.paint_joins and not stage.has_preview,
        Advice(
            3,
            "The network learns. What you paint here meanwhile is for the next training. When it has learnt "
            "enough, press Stop and save in step 3.",
            ("next",),
        ),
    ),
    (
        lambda stage: stage.is_training and stage.paint_joins,
        Advice(
            3,
            "The network learns, and the preview shows what it makes of the image. Paint where it is wrong: "
            "your strokes join at once. When you like what you see, press Stop and save in step 3.",
            ("next",),
        ),
    ),
    (
        lambda stage: stage.is_training,
        Advice(
            3,
            "The network learns, and the preview shows what it makes of the image. What you paint meanwhile "
            "is for the next training. When you like what you see, press Stop and save in step 3.",
            ("next",),
        ),
    ),
    (
        lambda stage: stage.is_predicting,
        Advice(
            4,
            "The network segments the image. Parts of it appear as they are finished, those in view first.",
        ),
    ),
    (
        lambda stage: stage.corrected and stage.has_annotation,
        Advice(1, "Take your corrections into the paint, so that the network learns from them.", ("take",)),
    ),
    (
        lambda stage: not stage.has_annotation and stage.predicted,
        Advice(
            1,
            "Look at the objects. If they are right, save them. If not, make the annotation layer, paint, "
            "and train the network on.",
            ("make",),
        ),
    ),
    (
        lambda stage: not stage.has_annotation and stage.has_model,
        Advice(
            1,
            "Make the annotation layer, the one you paint on; or predict at once, with the model chosen in "
            "step 4.",
            ("make", "predict"),
        ),
    ),
    (
        lambda stage: not stage.has_annotation,
        Advice(1, "Make the annotation layer: the one you paint on.", ("make",)),
    ),
    (
        lambda stage: stage.predicted and not stage.has_background and not stage.objects,
        _LOOK,
    ),
    (
        lambda stage: not stage.has_background,
        _BACKGROUND,
    ),
    (
        lambda stage: not stage.objects,
        _BEGIN,
    ),
    (
        lambda stage: not stage.paint_teaches,
        _MORE,
    ),
    (
        lambda stage: not stage.trained,
        _START,
    ),
    (
        lambda stage: not stage.predicted,
        Advice(4, "Predict, to see what the network has learnt.", ("predict",)),
    ),
    (
        lambda stage: stage.painted_on,
        Advice(
            3,
            "Train on: it goes on from the last model and learns what you painted since.",
            ("start", "next"),
        ),
    ),
    (
        lambda stage: stage.saved,
        Advice(
            4,
            "Your labels are saved. To segment more, choose All images or A folder of files in step 4. To do "
            "better, paint where the network is uncertain and train on.",
            ("next",),
        ),
    ),
    (lambda _stage: True, _LOOK),
)
"""What to do, the first of which the condition holds."""


def next_step(stage: Stage) -> Advice:
    """Return what to do next. Whenever there are labels, they can be saved."""
    advice = next(advice for holds, advice in _RULES if holds(stage))
    if stage.is_of_classes:
        advice = _IN_CLASSES.get(advice, advice)
    if not stage.has_labels or stage.is_predicting:
        return advice
    return replace(advice, actions=(*advice.actions, "save", "table"))
