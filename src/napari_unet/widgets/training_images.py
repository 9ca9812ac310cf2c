"""Which images of a window a training learns from, and on which it is scored."""

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_unet.core.errors import InputError
from napari_unet.widgets.layers import annotation_of, has_paint

Pairs = list[tuple[Image, Labels]]
"""Images with their paint."""


def images_learnt_from(
    viewer: ViewerModel, chosen: Image | None, scored: Image | None, *, all_painted: bool
) -> Pairs:
    """Return the chosen image and, with ``all_painted``, all others that have paint, but the scored one.

    Raises
    ------
    InputError
        If there is none.
    """
    if chosen is None:
        raise InputError("There is no image to train on; open one with File > Open and paint on it.")
    paint = annotation_of(viewer, chosen)
    pairs = [] if paint is None else [(chosen, paint)]
    if all_painted:
        for layer in viewer.layers:
            paint = annotation_of(viewer, layer) if isinstance(layer, Image) else None
            if layer is not chosen and paint is not None and has_paint(paint):
                pairs.append((layer, paint))
    if not pairs:
        raise InputError(
            f"The image '{chosen.name}' has no paint; make its annotation layer in the Paint dock first."
        )
    apart = images_scored(viewer, scored)
    pairs = [pair for pair in pairs if pair not in apart]
    if not pairs:
        raise InputError(
            f"The image '{apart[0][0].name}' is for scoring alone and there is no other to learn from; "
            "choose another image, or score on held-out strokes."
        )
    return pairs


def images_scored(viewer: ViewerModel, image: Image | None) -> Pairs:
    """Return the image to score on with its paint; none where strokes are held out.

    Raises
    ------
    InputError
        If it has no paint.
    """
    if image is None:
        return []
    paint = annotation_of(viewer, image)
    if paint is None or not has_paint(paint):
        raise InputError(
            f"The image '{image.name}' is for scoring and has no paint; paint on it, or score on "
            "held-out strokes."
        )
    return [(image, paint)]
