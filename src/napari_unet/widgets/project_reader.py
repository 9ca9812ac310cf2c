"""How napari opens and saves projects: a folder dropped on it is opened, and saved from then on."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QCoreApplication, QTimer

from napari_unet.core.errors import InputError
from napari_unet.files.projects.project import (
    LayerLook,
    ProjectImage,
    ProjectLabels,
    is_project,
    plain_name,
    project_folder,
)
from napari_unet.files.projects.project_labels import chunks_in
from napari_unet.files.projects.project_store import ImageState, LabelsState, ProjectState, ProjectStore
from napari_unet.widgets.bridge.marks import KEY, Mark
from napari_unet.widgets.project import ProjectDock
from napari_unet.widgets.projects.project_layers import LayerData, with_notes
from napari_unet.widgets.projects.project_opening import OpenedProject, full_pixels, open_layers
from napari_unet.widgets.projects.window_project import OPEN_ALREADY, begin, project_of

NOTHING: list[Any] = [(None,)]
"""What a reader returns when it has done its work and has no layers."""


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Any]] | None:
    """Return the reader of a project, or None if ``path`` is not a project."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_project_layers if len(paths) == 1 and is_project(Path(paths[0])) else None


def read_project_layers(path: str | Sequence[str]) -> list[Any]:
    """Return the layers of a project; once they are in the window, the project is open in it."""
    folder = project_folder(path if isinstance(path, str) else path[0])
    viewer = napari.current_viewer()
    if viewer is not None and project_of(viewer).has_open(folder):
        show_warning(OPEN_ALREADY)
        return NOTHING
    try:
        opened = open_layers(folder)
    except InputError as error:
        show_error(str(error))
        return NOTHING
    if QCoreApplication.instance() is not None:
        # napari adds the layers after this returns.
        QTimer.singleShot(0, partial(_open_in_window, folder, opened))
    return list(opened.layers) or NOTHING


def write_project_layers(path: str, layers: list[LayerData]) -> list[str]:
    """Save images and labels as a new project; labels belong to the image whose name begins their own.

    ``InputError`` if the folder is not empty, or cannot be written.
    """
    images: dict[str, tuple[ImageState, str]] = {}
    for data, meta, kind in layers:
        if kind == "image":
            pixels = full_pixels(data, meta)
            key = plain_name(str(meta["name"]), list(images))
            look = LayerLook(str(meta["name"]), visible=bool(meta.get("visible", True)))
            rgb = bool(meta.get("rgb", False))
            entry = ProjectImage(key, look, tuple(pixels.shape), str(np.dtype(pixels.dtype)), rgb=rgb)
            images[key] = ImageState(entry, pixels), str(meta["name"])
    labels: list[LabelsState] = []
    for data, meta, kind in layers:
        owner = _owner(str(meta["name"]), images) if kind == "labels" else None
        if owner is None:
            continue
        mark = meta.get("metadata", {}).get(KEY)
        file = plain_name(owner, [item.entry.file for item in labels], ".zarr")
        look = LayerLook(str(meta["name"]), order=len(images) + len(labels))
        pixels, paint = np.asarray(data), ProjectLabels(file, owner, look)
        if isinstance(mark, Mark) and mark.kind == "paint":
            paint = with_notes(paint, mark)
        labels.append(LabelsState(paint, pixels, list(chunks_in(pixels.shape))))
    store = ProjectStore.create(Path(path))
    try:
        notes = store.save(ProjectState(tuple(state for state, _ in images.values()), tuple(labels)))
    finally:
        store.close()
    for note in notes:
        show_warning(note)
    return [path]


def _owner(name: str, images: dict[str, tuple[ImageState, str]]) -> str | None:
    """Return the key of the image with the longest name that begins ``name``; a single image always fits."""
    fitting = [key for key, (_, image) in images.items() if name.startswith(image)]
    if not fitting and len(images) == 1:
        return next(iter(images))
    return max(fitting, key=lambda key: len(images[key][1]), default=None)


def _open_in_window(folder: Path, opened: OpenedProject) -> None:
    viewer = napari.current_viewer()
    if viewer is None:
        return
    begin(viewer, folder, opened)
    if not project_of(viewer).is_shown:
        viewer.window.add_dock_widget(ProjectDock(viewer), name="Project (U-Net)", area="right")
