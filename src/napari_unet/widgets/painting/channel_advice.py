"""What to say about channels before the annotation layer of an image is made."""

from napari.layers import Image

from napari_unet.core.arrays.axes import CHANNEL_AXES, Channels
from napari_unet.widgets.bridge.marks import file_of, full_data
from napari_unet.widgets.bridge.placement import channel_doubt_of
from napari_unet.widgets.bridge.seen_axes import said_channels, seen_axes

_MOST_CHANNELS = 4
"""Length of an axis without a name up to which it is more often one of channels than of planes."""

CHOICES = (
    ("None: grey planes", "auto"),
    ("On the first axis", "first"),
    ("On the axis before Y and X", "middle"),
    ("On the last axis", "last"),
)
"""What the user can say about the channels, and what it means."""

_BEFORE = "choose 'On the axis before Y and X' under Channels before you make the layer"


def asks_for_channels(image: Image | None) -> bool:
    """Return whether an axis of ``image`` may be one of channels, so that the user is asked."""
    return image is not None and not image.rgb and image.ndim > 2


def advice_on_channels(image: Image, chosen: Channels) -> str:
    """Return a sentence on channels that would be taken for planes, or that the file names; else ""."""
    if chosen == "auto":
        return _channels_or_planes(image)
    if file_of(image) is None or image.rgb or chosen != said_channels(image):
        return ""
    count = full_data(image).shape[CHANNEL_AXES[chosen]]
    return (
        f"The file of '{image.name}' says that it has {count} channel{'s' * (count != 1)}; if they are "
        "planes, choose 'None: grey planes' under Channels before you make the layer."
    )


def _channels_or_planes(image: Image) -> str:
    """Return a sentence on channels that would be taken for planes, and what to choose; "" if none would."""
    if image.rgb or image.ndim != 3:
        return channel_doubt_of(image, _BEFORE)
    for axis, where in ((0, "first"), (2, "last")):
        length, name = full_data(image).shape[axis], seen_axes(image)[axis].name.lower()
        if name in ("c", "channel") or (not name and 1 < length <= _MOST_CHANNELS):
            return (
                f"If the {where} axis of '{image.name}', of length {length}, has channels of one picture, "
                f"choose 'On the {where} axis' under Channels before you make the layer."
            )
    return ""
