"""Which layers of a window belong to its project, and as what."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import QObject

from napari_unet.core.arrays.sparse import equal_planes
from napari_unet.files.projects.project import (
    Project,
    ProjectImage,
    ProjectLabels,
    ProjectRegions,
    plain_name,
)
from napari_unet.files.projects.project_images import file_name
from napari_unet.files.projects.project_store import ImageState, LabelsState, ProjectState, matches
from napari_unet.widgets.bridge.channel_order import move_channels_first, other_orders
from napari_unet.widgets.bridge.layers import annotation_of, keep_selection, select_anew
from napari_unet.widgets.bridge.marks import (
    KEY,
    PART,
    PARTS,
    Mark,
    file_of,
    full_data,
    is_image,
    mark_of,
    source_of,
)
from napari_unet.widgets.bridge.seen_axes import said_axes
from napari_unet.widgets.bridge.timeline import was_corrected
from napari_unet.widgets.painting.regions import bind_regions
from napari_unet.widgets.projects.labels_tracker import LabelsTracker
from napari_unet.widgets.projects.project_layers import LayerData, entry_of, look_of, regions_of, with_notes
from napari_unet.widgets.projects.project_opening import Tag, arrays_in

_KINDS = ("paint", "objects", "classes")


@dataclass(slots=True, eq=False)
class _Image:
    """An image of the project; without a layer while it is missing, or its layer was removed."""

    entry: ProjectImage
    layer: Image | None = None
    stands_for: UUID = field(default_factory=uuid4)
    """The id that marks use while there is no layer."""
    asked: tuple[UUID, tuple[int, ...]] | None = None
    """The layer and the shape of which it is known what the file says of its axes."""
    source: Path | None = None
    """The file of that layer, if there was one then."""

    @property
    def id(self) -> Any:
        """The id that the marks of its paint use."""
        return self.stands_for if self.layer is None else self.layer.unique_id


@dataclass(slots=True, eq=False)
class _Labels:
    """Labels of the project; without a tracker once their layer was removed and they are saved."""

    entry: ProjectLabels
    tracker: LabelsTracker | None = None


class ProjectMembers(QObject):
    """The images of a window, except those that show results, and the labels bound to them.

    ``project`` is its content when it is opened.
    """

    def __init__(self, viewer: ViewerModel, project: Project, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._images = {image.key: _Image(image) for image in project.images}
        self._labels = {labels.file: _Labels(labels) for labels in project.labels}
        self._regions = {regions.image: regions for regions in project.regions}
        self._names = [*self._images, *self._labels, *(labels.predicted for labels in project.labels)]
        self._names += [image.part_of for image in project.images]
        """All names given so far, also those left out since: no name is used twice."""

    @property
    def missing(self) -> list[ProjectImage]:
        """Images not in the window, because their files were not found or their layers were removed."""
        return [image.entry for image in self._images.values() if image.layer is None]

    @property
    def has_news(self) -> bool:
        """Whether labels may have been painted on, or were removed, since they were last saved."""
        trackers = [labels.tracker for labels in self._labels.values()]
        strokes = any(tracker is not None and tracker.has_news and tracker.is_kept for tracker in trackers)
        return strokes or bool(self.removed(saved=False))

    def adopt(self, identity: str) -> dict[str, Path]:
        """Turn the tags that the reader left on the layers of the project with this identity into marks.

        Returns where the file of every linked image was found.
        """
        tags = [(layer, layer.metadata.get(KEY)) for layer in self._viewer.layers]
        mine = [(layer, tag) for layer, tag in tags if isinstance(tag, Tag) and tag.identity == identity]
        found: dict[str, Path] = {}
        for layer, tag in mine:
            del layer.metadata[KEY]
            image = self._images.get(tag.image)
            if image is not None and isinstance(layer, Image):
                image.layer = layer
                if (path := file_of(layer)) is not None:
                    found[tag.image] = path
        for layer, tag in mine:
            labels, image = self._labels.get(tag.labels), self._images.get(tag.image)
            if labels is not None and image is not None and isinstance(layer, Labels):
                self._mark(layer, labels, image, tag.predicted)
        for layer, tag in mine:
            image = self._images.get(tag.image)
            if tag.is_regions and image is not None and isinstance(layer, Shapes):
                bind_regions(self._viewer, layer, image.id)
        for key, path in found.items():
            self._images[key].entry = replace(self._images[key].entry, absolute=path.absolute().as_posix())
        self._tie_parts()
        self.look()
        # napari selects the last layer, and the docks its image: nobody works on a hidden one.
        active = self._viewer.layers.selection.active
        seen = [layer for layer in self._viewer.layers if layer.visible]
        select_anew(self._viewer, seen[-1] if seen and active not in seen else active)
        return found

    def look(self) -> None:
        """Add new layers, and note which were removed."""
        layers = set(self._viewer.layers)
        for image in self._images.values():
            if image.layer not in layers:
                image.layer = None
        known = {image.layer for image in self._images.values()}
        tracked = {labels.tracker.layer for labels in self._labels.values() if labels.tracker is not None}
        for layer in self._viewer.layers:
            if isinstance(layer.metadata.get(KEY), Tag):
                continue  # of another project, which is being opened
            if is_image(layer) and layer not in known:
                self._take_up_image(layer)
            elif isinstance(layer, Labels) and layer not in tracked:
                self._take_up_labels(layer)

    def show(self, entry: ProjectImage, found: LayerData, path: Path) -> None:
        """Show a missing image that was found, at its old place among the layers."""
        data, arguments, _ = found
        arguments["metadata"].pop(KEY)
        layer = Image(data, **arguments)
        image = self._images[entry.key]
        image.entry = replace(image.entry, absolute=path.absolute().as_posix())
        with keep_selection(self._viewer):
            self._viewer.layers.insert(min(entry.look.order, len(self._viewer.layers)), layer)
        self._bind(image, layer)

    def forget_missing(self) -> None:
        """Remove from the project what is not in the window, except images whose paint is."""
        self._labels = {file: labels for file, labels in self._labels.items() if labels.tracker is not None}
        painted = {labels.entry.image for labels in self._labels.values()}
        self._images = {
            key: image for key, image in self._images.items() if image.layer is not None or key in painted
        }
        self._regions = {key: regions for key, regions in self._regions.items() if key in self._images}

    def describe(
        self, model: str, predicts_with: str, settings: Mapping[str, Any]
    ) -> tuple[ProjectState, tuple[object, ...]]:
        """Return everything to save, without chunks yet, and the same without pixels, for comparing."""
        order = {layer: place for place, layer in enumerate(self._viewer.layers)}
        images = tuple(self._image_state(image, order) for image in self._images.values())
        states = [self._labels_state(labels, order) for labels in self._labels.values()]
        labels = tuple(state for state in states if state is not None)
        regions = self._describe_regions(order)
        entries = (tuple(item.entry for item in images), tuple(item.entry for item in labels))
        rest = (regions, model, predicts_with, settings)
        return ProjectState(images, labels, *rest), (*entries, *rest)

    def with_chunks(self, state: ProjectState) -> ProjectState:
        """Return ``state`` with the chunks that may have been painted on; each is returned once."""
        trackers = {labels.entry.file: labels.tracker for labels in self._labels.values()}
        labels = []
        for item in state.labels:
            tracker = trackers[item.entry.file]
            labels.append(item if tracker is None else replace(item, chunks=tracker.take()))
        return replace(state, labels=tuple(labels))

    def again(self) -> None:
        """Compare all labels with the disk again."""
        for labels in self._labels.values():
            if labels.tracker is not None:
                labels.tracker.again()

    def removed(self, *, saved: bool) -> list[str]:
        """Return the files of labels whose layers were removed, whether saved already or still to save."""
        layers = set(self._viewer.layers)
        return [
            file
            for file, labels in self._labels.items()
            if (labels.tracker is None if saved else labels.tracker and labels.tracker.layer not in layers)
        ]

    def release(self, files: list[str]) -> None:
        """Free the pixels of removed labels once they are saved, and forget labels that are not kept."""
        for file in files:
            labels = self._labels.get(file)
            if labels is not None and labels.tracker is not None:
                if not labels.tracker.is_kept:
                    del self._labels[file]
                labels.tracker.deleteLater()
                labels.tracker = None

    def forget_paths(self) -> None:
        """Forget the paths of images relative to the folder of the project: it is another folder now."""
        for image in self._images.values():
            image.entry = replace(image.entry, path="")

    def _mark(self, layer: Labels, labels: _Labels, image: _Image, predicted: Any) -> None:
        entry = labels.entry
        layer.metadata[KEY] = Mark(
            layer.unique_id,
            image.id,
            entry.kind,
            entry.channels,
            entry.mode,
            entry.full,
            predicted,
            frozenset(entry.planes) or None,
        )
        labels.tracker = LabelsTracker(self._viewer, layer, self)
        labels.tracker.is_kept = True

    def _take_up_image(self, layer: Image) -> None:
        path = _existing_file(layer)
        for image in self._images.values():
            may_be = image.layer is None and path is not None and path.name == file_name(image.entry)
            if may_be and self._is_back(image.entry, layer):  # it was missing or removed
                self._bind(image, layer)
                return
        key = plain_name(layer.name, self._names)
        self._names.append(key)
        self._images[key] = _Image(entry_of(layer, key, str(layer.source.reader_plugin or "")), layer)

    def _is_back(self, entry: ProjectImage, layer: Image) -> bool:
        """Return whether ``layer`` is an image of the project; if so, order its axes as they were."""
        pixels = full_data(layer)
        if matches(entry, pixels):
            return True
        orders = () if layer.rgb else other_orders(pixels, layer.ndim)
        found = next((channels for channels, moved in orders if matches(entry, moved)), None)
        if found is not None:
            move_channels_first(self._viewer, layer, found)
        return found is not None

    def _take_up_labels(self, layer: Labels) -> None:
        mark, source = mark_of(layer), source_of(self._viewer, layer)
        key = next((key for key, image in self._images.items() if image.layer is source), None)
        if mark is None or source is None or key is None or mark.kind not in _KINDS:
            return
        kind: Any = mark.kind
        file = plain_name(key, self._names, ".zarr" if kind == "paint" else f" {kind}.zarr")
        self._names.append(file)
        # Removed labels make room for new ones of the same image; their file stays.
        self._labels = {
            name: labels
            for name, labels in self._labels.items()
            if (labels.entry.image, labels.entry.kind) != (key, kind)
            or (labels.tracker is not None and labels.tracker.layer in self._viewer.layers)
        }
        tracker = LabelsTracker(self._viewer, layer, self)
        paint = annotation_of(self._viewer, source)
        # Gestures also change what was shown.
        tracker.is_kept = (
            kind == "paint"
            or (paint is not None and was_corrected(paint, layer))
            or (mark.shown is not None and not equal_planes(mark.shown, layer.data))
        )
        self._labels[file] = _Labels(ProjectLabels(file, key, look_of(layer), kind), tracker)

    def _bind(self, image: _Image, layer: Image) -> None:
        """Make ``layer`` the image, and bind the paint to it."""
        stood_for, image.layer = image.stands_for, layer
        for other in self._viewer.layers:
            mark = mark_of(other)
            if mark is not None and mark.image == stood_for:
                mark.image = layer.unique_id
                other.events.metadata()
        self._tie_parts()
        select_anew(self._viewer, self._viewer.layers.selection.active)

    def _tie_parts(self) -> None:
        """Note on images that were made of, or cropped from, others which of the layers these are now."""
        for image in self._images.values():
            parts = [self._images[key].id for key in image.entry.parts if key in self._images]
            if image.layer is not None and parts:
                image.layer.metadata[PARTS] = parts
            key, first = image.entry.part_of, image.entry.first_pixel
            if image.layer is not None and key and len(first) == image.layer.ndim:
                whole = self._images.get(key)
                image.layer.metadata[PART] = (key if whole is None else whole.id), first

    def _with_origin(self, entry: ProjectImage, layer: Image) -> ProjectImage:
        """Return ``entry`` with the images it was made of or cropped from, also those not in the window."""
        keys = {other.id: key for key, other in self._images.items()}
        parts = [keys.get(part, "") for part in layer.metadata.get(PARTS, ())]
        whole, first = layer.metadata.get(PART, ("", ()))
        return replace(
            entry,
            parts=tuple(parts) if all(parts) else entry.parts,
            part_of=keys.get(whole, entry.part_of),
            first_pixel=first if whole in keys else entry.first_pixel,
        )

    def _describe_regions(self, order: Mapping[Layer, int]) -> tuple[ProjectRegions, ...]:
        keys = {image.id: key for key, image in self._images.items()}
        shown: dict[str, ProjectRegions] = {}
        for layer, place in order.items():
            mark = mark_of(layer)
            if (
                isinstance(layer, Shapes)
                and mark is not None
                and mark.kind == "regions"
                and mark.image in keys
            ):
                shown[keys[mark.image]] = regions_of(layer, keys[mark.image], place)
        # Labels of an image that is away stay with it; those deleted while it was there are gone.
        away = {key: self._regions[key] for key in self._regions if self._images[key].layer is None}
        self._regions = away | shown
        return tuple(self._regions.values())

    def _image_state(self, image: _Image, order: Mapping[Layer, int]) -> ImageState:
        entry, layer = image.entry, image.layer
        if layer is None or layer not in order:
            return ImageState(entry, None)
        now = entry_of(layer, entry.key, entry.reader)
        look = replace(now.look, order=order[layer])
        now = replace(entry, look=look, shape=now.shape, dtype=now.dtype, rgb=now.rgb)
        image.entry = entry = self._with_origin(now, layer)
        # Once, for it asks a disk, which may be far away, and this is called twice a second.
        if image.asked != (asked := (layer.unique_id, now.shape)):
            image.asked, image.source = asked, _existing_file(layer)
            if (said := said_axes(layer)) is not None:
                image.entry = entry = replace(entry, axes=said.letters, pixel_size=said.pixel_size)
        source = image.source or (Path(entry.absolute) if entry.absolute else None)
        return ImageState(entry, full_data(layer), source, partial(arrays_in, reader=entry.reader))

    @staticmethod
    def _labels_state(labels: _Labels, order: Mapping[Layer, int]) -> LabelsState | None:
        tracker, entry = labels.tracker, labels.entry
        if tracker is None:
            return LabelsState(entry, None, ())
        if not tracker.is_kept:
            return None
        mark = mark_of(tracker.layer)
        if tracker.layer in order:
            entry = replace(entry, look=look_of(tracker.layer, order[tracker.layer]))
        if mark is not None:
            entry = with_notes(entry, mark)
        labels.entry = entry
        predicted = None if mark is None or mark.kind == "paint" else mark.shown
        return LabelsState(entry, full_data(tracker.layer), (), predicted)


def _existing_file(layer: Image) -> Path | None:
    path = file_of(layer)
    return path if path is not None and path.exists() else None
