"""How large the pixels of layers are in the world."""

from napari.layers import Labels

from napari_unet.files.pixels.pixel_size import PixelSize
from napari_unet.widgets.bridge.layers import pixel_sizes


def micrometres(paint: Labels) -> PixelSize | None:
    """Return the size of a pixel of a layer in micrometres, or None if its unit is no length."""
    unit = paint.units[-1]
    if not unit.is_compatible_with("micrometer"):
        return None
    factor = float((1 * unit).to("micrometer").magnitude)
    sizes = [factor * size for size in pixel_sizes(paint)[-3:]]
    has_z = len(sizes) == 3 and paint.units[-3].is_compatible_with("micrometer")
    return PixelSize(sizes[-2], sizes[-1], sizes[0] if has_z else None)
