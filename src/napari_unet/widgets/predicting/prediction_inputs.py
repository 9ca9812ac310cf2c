"""What the Predict dock asks for: model, images, where results on disk go, and settings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QWidget

from napari_unet.core.arrays.axes import narrow_doubt
from napari_unet.core.errors import InputError
from napari_unet.files.results.large_prediction import fits_into_memory
from napari_unet.widgets.bridge.channel_order import move_channels_first
from napari_unet.widgets.bridge.layers import annotation_of
from napari_unet.widgets.bridge.marks import full_data, images_of, source_of
from napari_unet.widgets.bridge.placement import channel_doubt_of, frames_are_planes
from napari_unet.widgets.bridge.seen_axes import said_channels
from napari_unet.widgets.bridge.sight import blended, bring_up, is_see_through
from napari_unet.widgets.models.model_chooser import ModelChooser, ModelFacts
from napari_unet.widgets.models.model_exchange import ModelExchange
from napari_unet.widgets.parts.form import Column, Form, LayerChooser, Sentence, check_box
from napari_unet.widgets.predicting.files_form import FilesForm, FolderField
from napari_unet.widgets.predicting.prediction_form import PredictionForm
from napari_unet.widgets.predicting.prediction_targets import (
    Target,
    is_read_as_grey,
    is_stack,
    target_of,
    targets_that_suit,
)
from napari_unet.widgets.predicting.stored_results import results_folder
from napari_unet.widgets.projects.window_project import project_of
from napari_unet.widgets.window.lifetime import follow

ALL, SELECTED, FILES = "all", "selected", "files"
"""Choices other than a single image layer."""

_BY_PLANE = "Every plane is segmented on its own: an object has a different number on each."

_FRAMES = (
    "The model is for volumes, and takes the frames of '{}' for planes: what overlaps from one frame to the "
    "next becomes one object. To segment every frame on its own, choose a model for 2-D images."
)

_EACH_CHANNEL = (
    "Channels in separate layers are segmented one by one. To choose among them, select layers in the "
    "layer list (Ctrl and click), and Selected images here."
)

_NONE_SELECTED = "No image is selected: click some in the layer list, with Ctrl held down."

_IS_PART = (
    "'{}' is one of {} layers that the model needs as one image: choose it in the Paint dock, and press "
    "Learn from all of them."
)

_AS_GREY = "All colours of this image are greys, so it is read as one channel, as the model needs it."

_WHERE = {"first": "first axis", "middle": "axis before Y and X", "last": "last axis"}


class PredictionInputs(QWidget):
    """The form of the Predict dock.

    It takes what was just trained in the window; with ``keeps_model``, not in place of a model that the user
    chose.
    """

    def __init__(self, viewer: ViewerModel, *, keeps_model: bool) -> None:
        super().__init__()
        self._viewer = viewer
        column = Column(self)
        self._rows = form = Form(column)
        self._project = project_of(viewer)
        self.model = form.add(
            "Model",
            ModelChooser(*self._project.model_folders),
            name="predict_model",
            tooltip="The trained network, the newest first, and the starters, which need no training: phase\n"
            "for phase contrast, cells for all else. In a project, its own come first, and those of the\n"
            "folder in napari's preferences last.",
        )
        self.model.follow(self._project, keeps_choice=keeps_model)
        self.facts_line = Sentence("predict_facts")
        several = {ALL: "All images", SELECTED: "Selected images", FILES: "A folder of files…"}
        self.image = LayerChooser(viewer, several=several)
        form.add_wide(ModelExchange(self.model, self.image))
        form.addRow(self.facts_line)
        form.add(
            "Image",
            self.image,
            name="predict_image",
            tooltip="The image to segment; or all images of the viewer that suit the model, or those\n"
            "of them that are selected in the layer list; or files, whose results are written to a folder.",
        )
        self._suits = form.add_wide(Sentence("predict_suits"))
        self.files = form.add_wide(FilesForm())
        self._large = form.add_wide(Sentence("predict_large"))
        self.stored = FolderField(
            form,
            "predict_stored",
            "Choose a folder for the results",
            label="Results in",
            placeholder="Folder for the results",
            tooltip="Folder for the results of this image, which is too large for the memory: they are\n"
            "written there as OME-Zarr, and shown from there.",
        )
        self._proposed = ""
        self._slice = check_box(
            "only the slice shown",
            name="predict_slice",
            tooltip="Segment only the plane on the screen, and add it to the result of the other planes.",
        )
        form.addRow("", self._slice)
        self.form = column.add(PredictionForm())
        self._facts: ModelFacts | None = None
        self.image.layer_changed.connect(self.form.forget_scaled)
        for changed in (self.image.layer_changed, self.image.several_changed):
            changed.connect(self.suggest_model)
        # Paint says which axis of its image holds channels.
        follow(self, self.suggest_model, viewer.layers.events.inserted)

    @property
    def only_slice(self) -> bool:
        """Whether only the plane on the screen is to be segmented."""
        return bool(self._slice.isChecked() and self._slice.isEnabled())

    def targets(self, facts: ModelFacts) -> list[Target]:
        """Return the chosen layers as targets; ``InputError`` if none of them suits the model."""
        several = self.image.several
        if several == SELECTED and not images_chosen(self._viewer, several):
            raise InputError(_NONE_SELECTED)
        found = self.candidates(facts)
        if several and not found:
            raise InputError("None of the images suits the model; choose one of them to see why.")
        return self._prepare(
            found if several else [target_of(self._viewer, self.image.layer, self.form.channels, facts)]
        )

    def _prepare(self, targets: Sequence[Target]) -> list[Target]:
        """Return the targets, and where their results go if they are large.

        The result of a single image should be seen, so no other image may lie over it, unless it is hidden
        itself. ``InputError`` as :meth:`folder_for`.
        """
        prepared = []
        for target in targets:
            folder, channels = self.folder_for(target), target.channels
            if moved := move_channels_first(self._viewer, target.layer, channels):
                show_info(moved)
                channels = "first"
                if self.form.channels != "auto":
                    self.form.channels_choice.setCurrentIndex(self.form.channels_choice.findData(channels))
            is_seen = not self.image.several and target.layer.visible
            if is_seen and (hidden := bring_up(self._viewer, target.layer)):
                show_info(hidden)
            prepared.append(replace(target, channels=channels, folder=folder))
        return prepared

    def folder_for(self, target: Target) -> Path:
        """Return the folder for the results of an image if they do not fit into the memory.

        ``InputError`` if the chosen image is too large for the memory, and no folder is chosen.
        """
        if target.layer is self.image.layer and not self.stored.isHidden():
            return self.stored.folder
        return results_folder(target.layer, self._project.models_folder)

    def refresh(self, facts: ModelFacts | None) -> None:
        """Show and enable the controls that a model can use, of which these are the facts."""
        self._facts = facts
        several = self.image.several
        self.files.setVisible(several == FILES)
        targets = self.candidates(facts)
        has_stack = facts is not None and any(is_stack(target, facts) for target in targets)
        self._slice.setEnabled(has_stack)
        self._slice.setVisible(several != FILES)
        if several in (ALL, SELECTED) and facts is not None:
            total = len(images_chosen(self._viewer, several))
            which = "selected images" if several == SELECTED else "images"
            has_channels = several == ALL and any(is_see_through(target.layer) for target in targets)
            suits = f"{len(targets)} of {total} {which} suit the model."
            if several == SELECTED and not total:
                suits = _NONE_SELECTED
            self._suits.say(" ".join([suits, *[_EACH_CHANNEL] * has_channels]))
        elif is_part := self._is_part(targets, facts):
            self._suits.say(is_part, "warning")
        elif doubt := self._channel_doubt(targets, facts):
            self._suits.say(doubt, "warning")
        elif frames := self._frames(targets, facts):
            self._suits.say(frames, "warning")
        else:
            told = [self._channels_found(target, facts) for target in targets if facts is not None]
            self._suits.say(" ".join([*filter(None, told), *[_BY_PLANE] * has_stack]))
        self._refresh_stored(facts)

    def _is_part(self, targets: list[Target], facts: ModelFacts | None) -> str:
        """Return a sentence on an image that does not suit, as it is one of the channels of the model."""
        image = self.image.layer
        if image is None or targets or facts is None or facts.in_channels is None:
            return ""
        count = len(blended(self._viewer, image))
        return _IS_PART.format(image.name, count) if count == facts.in_channels else ""

    def _channel_doubt(self, targets: list[Target], facts: ModelFacts | None) -> str:
        """Return a sentence on channels of the chosen image that would be segmented as grey planes."""
        if len(targets) != 1 or targets[0].channels != "none" or self.form.channels != "auto":
            return ""
        layer = targets[0].layer
        # A starter takes any number of them.
        also = "" if facts is not None and facts.is_starter else ", and a model trained on such channels"
        choose = "choose Advanced > Channels > "
        return channel_doubt_of(layer, f"{choose}Before Y and X{also}") or narrow_doubt(
            f"'{layer.name}'", full_data(layer).shape, f"{choose}Last axis{also}"
        )

    def _frames(self, targets: list[Target], facts: ModelFacts | None) -> str:
        """Return a sentence on the frames of the chosen image if they would be segmented as a volume."""
        if facts is None or facts.ndim < 3:
            return ""
        return next(
            (
                _FRAMES.format(target.layer.name)
                for target in targets
                if frames_are_planes(target.layer, target.channels)
            ),
            "",
        )

    def _channels_found(self, target: Target, facts: ModelFacts) -> str:
        """Return a sentence on channels that the user did not choose; "" if there are none."""
        if is_read_as_grey(target, facts):
            return _AS_GREY
        layer, where = target.layer, _WHERE.get(target.channels)
        is_told = layer.rgb or self.form.channels != "auto" or said_channels(layer) != "auto"
        is_told = is_told or annotation_of(self._viewer, layer) is not None
        if where is None or is_told or facts.in_channels == 1:
            return ""
        return (
            f"The {where} of '{layer.name}' is taken for the {facts.in_channels} channels of the model; if "
            "that is wrong, choose another model."
        )

    def _refresh_stored(self, facts: ModelFacts | None) -> None:
        """Ask for a folder for results that do not fit into the memory."""
        layer = self.image.layer
        is_large = (
            layer is not None
            and facts is not None
            and not fits_into_memory(
                full_data(layer), classes=len(facts.class_names), in_channels=facts.in_channels or 1
            )
        )
        self._large.say(
            "This image is too large for the memory: its results are written to disk, and shown from there."
            if is_large
            else ""
        )
        self._rows.show_row(self.stored, is_large)
        if layer is not None and is_large and self.stored.edit.text() in ("", self._proposed):
            self._proposed = str(results_folder(layer, self._project.models_folder))
            self.stored.edit.setText(self._proposed)

    def suggest_model(self, _event: object = None) -> None:
        """Choose a model that suits the image if the present one does not, and the user did not choose it."""
        facts = self._facts
        if self.image.layer is not None and (facts is None or not self._suits_well(facts)):
            is_found = self.model.suggest(self._suits_well)
            if not (is_found or self.candidates(facts)):
                self.model.suggest(lambda other: bool(self.candidates(other)))

    def _suits_well(self, facts: ModelFacts) -> bool:
        targets = self.candidates(facts)
        return bool(targets) and not self._frames(targets, facts)

    def candidates(self, facts: ModelFacts | None) -> list[Target]:
        """Return those of the chosen layers that suit the model."""
        if facts is None or self.image.several == FILES:
            return []
        suiting = targets_that_suit(self._viewer, self.form.channels, facts)
        chosen = images_chosen(self._viewer, self.image.several) or [self.image.layer]
        return [target for target in suiting if target.layer in chosen]


def images_chosen(viewer: ViewerModel, several: str) -> list[Image]:
    """Return images chosen together, the lowest first; none if a single image or files are chosen."""
    if several == ALL:
        return images_of(viewer)
    selected = [source_of(viewer, layer) for layer in viewer.layers.selection] if several == SELECTED else []
    return [image for image in images_of(viewer) if image in selected]
