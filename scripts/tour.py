"""Make pictures of single features from the running program, without training: part of `make figures`.

Usage: python scripts/tour.py docs/images [NAME ...]; without names, all of them. Opens windows.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
import tifffile
from napari.layers import Labels
from pictures import write_picture
from PIL import Image, ImageDraw, ImageFont
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QAbstractButton, QApplication, QLineEdit, QWidget

from napari_unet.files.networks.starters import starter_path
from napari_unet.widgets.correcting.corrector import corrector_of
from napari_unet.widgets.painting.regions import take_region_tool
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.window.preferences import PLUGIN

if TYPE_CHECKING:
    from napari_unet.widgets.evaluate import EvaluateDock
    from napari_unet.widgets.unet import UNetDock

_NUCLEI, _TRUTH = "synthetic nuclei", "synthetic nuclei (truth)"
_PATIENCE_S = 600.0
_ZOOM, _EDGE = 2.5, 250
_MARGIN = _EDGE / _ZOOM / 2
"""Of pictures of gestures: screen pixels per image pixel, edge, and half the edge in image pixels."""


class Scene:
    """A napari window with a sample image and a dock of the plugin, and methods that press its buttons.

    Parameters
    ----------
    sample : str
        Key of the sample image.
    dock : str
        Name of the dock.
    size : tuple of int
        Width and height of the window in pixels.
    """

    def __init__(self, sample: str, dock: str = "U-Net", size: tuple[int, int] = (1240, 800)) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*size)
        self.layers = self.viewer.open_sample(PLUGIN, sample)
        self.frame, self.dock = self.viewer.window.add_plugin_dock_widget(PLUGIN, dock)
        self.rest(0.5)
        self.viewer.reset_view()

    def press(self, name: str) -> None:
        """Press the button with this object name."""
        self.dock.findChild(QAbstractButton, name).click()

    def show_step(self, number: int) -> None:
        """Unfold one step of the U-Net dock and fold the others."""
        for other in range(1, 5):
            self.dock.findChild(QAbstractButton, f"unet_step_{other}").setChecked(other == number)
        self.rest(0.3)

    def predict(self) -> Labels:
        """Segment with the starter, and return the objects."""
        dock: UNetDock = self.dock
        dock.predict.select_model(starter_path("cells"))
        dock.predict.start()
        self.wait_for(lambda: not dock.predict.is_running)
        self.rest(0.5)
        return next(layer for layer in self.viewer.layers if layer.name.endswith(" objects"))

    def look_at(self, place: Sequence[float], zoom: float) -> None:
        """Centre the view on a place (y, x)."""
        self.viewer.scene.camera.center = tuple(place)
        self.viewer.scene.camera.zoom = zoom
        self.rest(0.3)

    def canvas(self) -> Image.Image:
        """Return a picture of the canvas."""
        self.rest(0.3)
        return Image.fromarray(self.viewer.screenshot(canvas_only=True, flash=False)).convert("RGB")

    def window(self) -> Image.Image:
        """Return a picture of the window."""
        self.rest(0.3)
        return Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")

    def part(self, widget: QWidget, height: int | None = None) -> Image.Image:
        """Return a picture of a widget, from its top down to ``height`` pixels."""
        self.rest(0.3)
        picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
        pixels = np.frombuffer(picture.constBits().asarray(picture.sizeInBytes()), np.uint8)
        shown = pixels.reshape(picture.height(), picture.bytesPerLine() // 4, 4)[
            :height, : picture.width(), 2::-1
        ]
        return Image.fromarray(shown.copy())

    def rest(self, seconds: float) -> None:
        """Run the event loop for a while."""
        until = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= until)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Run the event loop until ``condition()`` is true."""
        loop, timer, until = QEventLoop(), QTimer(), time.monotonic() + _PATIENCE_S
        timer.timeout.connect(loop.quit)
        timer.start(20)
        while not condition():
            loop.exec()
            if time.monotonic() > until:
                raise TimeoutError(f"nothing happened for {_PATIENCE_S:.0f} s")

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()


def starter() -> Image.Image:
    """Return the first prediction: the sample of the dock, and no stroke."""
    scene = Scene("coins")
    scene.show_step(4)
    scene.predict()
    return _closed(scene, scene.window())


def gestures() -> Image.Image:
    """Return predicted objects before and after accepting, rejecting, merging and splitting."""
    scene = Scene("synthetic_nuclei")
    objects = scene.predict()
    scene.press("correct_outlines")
    one, other, border = _touching(objects.data)
    centre = (one + other) / 2
    others = [_middle(objects.data, label) for label in np.unique(objects.data[objects.data > 0])]
    right, wrong = sorted(others, key=lambda place: float(np.hypot(*(place - centre))))[2:4]
    scene.look_at(centre, _ZOOM)
    hand = corrector_of(scene.viewer, objects)
    along = (other - one) / np.hypot(*(other - one))
    across = np.array([-along[1], along[0]]) * (0.6 * border + 5)
    panels = [_captioned(_cut(scene.canvas()), "as predicted")]
    for kind, stroke, caption in (
        ("merged", (one, other), "Merge (U)"),
        ("split", (centre - across, centre + across), "Split (S)"),
        ("accepted", (right, right + 1), "Accept (A)"),
        ("rejected", (wrong, wrong + 1), "Reject (R)"),
    ):
        hand.stroke(kind, np.array(stroke), (0, 1))
        picture = _cut(scene.canvas())
        _draw_stroke(picture, [place - centre for place in stroke])
        panels.append(_captioned(picture, caption))
    return _closed(scene, _row(panels))


def regions() -> Image.Image:
    """Return a complete region: all objects in a box are painted, and everything else in it is background."""
    scene = Scene("synthetic_nuclei")
    scene.press("paint_make")
    paint = next(layer for layer in scene.viewer.layers if layer.name.endswith(" paint"))
    truth = scene.viewer.layers[_TRUTH].data
    box = (slice(150, 290), slice(150, 330))
    inside = np.unique(truth[box])
    where = np.nonzero(np.isin(truth, inside[inside > 0]))
    paint.data_setitem(where, truth[where] + 1)
    shapes = take_region_tool(scene.viewer, paint, "rectangle")
    shapes.add([[150, 150], [150, 330], [290, 330], [290, 150]], shape_type="rectangle")
    shapes.mode = "pan_zoom"
    scene.look_at((220, 240), 2.6)
    scene.rest(1.5)
    return _closed(scene, scene.window())


def next_place() -> Image.Image:
    """Return where the starter is least certain in an image of touching nuclei."""
    scene = Scene("synthetic_nuclei")
    scene.predict().opacity = 0.35
    scene.show_step(1)
    scene.press("paint_make")
    scene.press("next_go")
    dock: UNetDock = scene.dock
    scene.wait_for(lambda: not dock.paint.next_place.is_busy)
    scene.rest(1)
    return _closed(scene, scene.window())


def evaluation() -> Image.Image:
    """Return the scores and errors of the starter on an image with true labels."""
    scene = Scene("synthetic_nuclei")
    scene.predict()
    scene.viewer.window.remove_dock_widget(scene.frame)
    _, dock = scene.viewer.window.add_plugin_dock_widget(PLUGIN, "Evaluate")
    evaluate: EvaluateDock = dock
    evaluate.prediction.choose(scene.viewer.layers[f"{_NUCLEI} objects"])
    evaluate.truth.choose(scene.viewer.layers[_TRUTH])
    evaluate.start()
    scene.wait_for(evaluate.table.isVisible)
    evaluate.show_errors()
    scene.rest(1)
    return _closed(scene, scene.window())


def project() -> Image.Image:
    """Return the line of a project that has just been saved."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        scene = Scene("coins")
        project_of(scene.viewer).create(Path("coins of Pompeii"))
        scene.press("paint_make")
        paint = next(layer for layer in scene.viewer.layers if layer.name.endswith(" paint"))
        paint.data_setitem(np.nonzero(np.ones((12, 60), bool)), 1)
        scene.press("unet_project")
        scene.rest(3)
        return _closed(scene, scene.part(scene.dock, 300))


def folder() -> Image.Image:
    """Return a segmented folder of images, one of which is damaged."""
    # Names of folders are visible in the picture.
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        scene = Scene("coins", "Predict", (1100, 900))
        pixels = scene.layers[0].data
        images = Path("plate")
        images.mkdir()
        for number, part in enumerate((pixels[:150], pixels[150:], pixels[:, 190:]), start=1):
            tifffile.imwrite(images / f"well A{number}.tif", part)
        (images / "well A4.tif").write_bytes(b"II*\0 not an image")
        scene.dock.select_model(starter_path("cells"))
        scene.dock.image.setCurrentIndex(scene.dock.image.findData("files"))
        scene.dock.findChild(QLineEdit, "predict_files").setText(str(images))
        scene.dock.start()
        scene.wait_for(lambda: not scene.dock.is_running)
        return _closed(scene, scene.part(scene.dock))


def volume() -> Image.Image:
    """Return the middle plane of a volume, segmented plane by plane."""
    scene = Scene("synthetic_volume")
    scene.show_step(4)
    scene.predict()
    return _closed(scene, scene.window())


SCENES = {
    "starter": starter,
    "gestures": gestures,
    "regions": regions,
    "next-place": next_place,
    "evaluation": evaluation,
    "project": project,
    "folder": folder,
    "volume": volume,
}


def _closed(scene: Scene, picture: Image.Image) -> Image.Image:
    """Close the window and return the picture."""
    scene.close()
    QApplication.processEvents()
    return picture


def _touching(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the middles of two similarly large objects, well inside the image, and their border in pixels.

    Of all such pairs, it is the one with the longest shared border.
    """
    pairs = np.concatenate(
        [
            np.stack([before[meet], after[meet]], 1)
            for before, after in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1]))
            for meet in [(before != after) & (before > 0) & (after > 0)]
        ]
    )
    found, lengths = np.unique(np.sort(pairs, 1), axis=0, return_counts=True)
    sizes = np.bincount(labels.ravel())
    for index in np.argsort(-lengths):
        one, other = (_middle(labels, label) for label in found[index])
        small, large = sorted(sizes[found[index]])
        inside = zip((one + other) / 2, labels.shape, strict=True)
        if small > large / 2 and all(_MARGIN < at < edge - _MARGIN for at, edge in inside):
            return one, other, int(lengths[index])
    raise ValueError("no two objects of like sizes touch in the middle of the image")


def _middle(labels: np.ndarray, label: int) -> np.ndarray:
    return np.argwhere(labels == label).mean(0)


def _cut(picture: Image.Image, edge: int = _EDGE) -> Image.Image:
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge))


def _draw_stroke(picture: Image.Image, stroke: Sequence[np.ndarray]) -> None:
    """Draw the path of the mouse, from the middle of the picture, in pixels of the image."""
    points = [tuple(np.rint(_ZOOM * place)[::-1] + picture.width / 2) for place in stroke]
    draw = ImageDraw.Draw(picture)
    draw.line(points, "white", 3)
    for x, y in points:
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), "white")


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    page = Image.new("RGB", (picture.width, picture.height + 30), "white")
    page.paste(picture)
    font = ImageFont.load_default(18)
    ImageDraw.Draw(page).text((picture.width / 2, picture.height + 15), caption, "black", font, anchor="mm")
    return page


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    gap = 8
    page = Image.new("RGB", (sum(p.width + gap for p in pictures) - gap, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        page.paste(picture, (left, 0))
        left += picture.width + gap
    return page


def main(images: Path, names: Sequence[str]) -> None:
    """Write the pictures of ``names``."""
    for name in names:
        write_picture(SCENES[name](), images / f"{name}.png")
        print(f"{name}.png", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(SCENES))
