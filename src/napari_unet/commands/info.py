"""The work of ``napari-unet info``: the content of a model file, for people, programs and papers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_unet.console import print_json, say_interval
from napari_unet.core.errors import InputError
from napari_unet.files.networks.container import NotOursError
from napari_unet.files.networks.methods_text import methods_text
from napari_unet.files.networks.models import describe, load_model, read_info
from napari_unet.files.networks.package_reading import is_package
from napari_unet.files.networks.starters import find_model
from napari_unet.files.networks.states import step_to_continue
from napari_unet.files.projects.project import project_folder
from napari_unet.files.projects.project_reading import describe_project
from napari_unet.files.settings import Settings, settings_text
from napari_unet.network.config import PredictionConfig

_SCALINGS = {
    "percentiles": "percentiles {low} to {high}",
    "range": "of the range of intensities, such as 0 to 255",
    "deviations": "mean 0 and standard deviation 1",
}


_SCORED_ON = {
    "held-out": "paint that was held out",
    "training": "the paint that it learnt from",
    "validation": "images that were kept out",
}


def tell(model: str, *, methods: bool, settings: bool, as_json: bool) -> None:
    """Print what a model is and how well it did.

    With ``methods``, print a paragraph for a paper instead; with ``settings``, the settings as TOML.
    """
    path = find_model(model)
    try:
        record = read_info(path)
    except NotOursError:
        record = describe(load_model(path))
        if is_package(path):
            record["format"] = "bioimage.io package"
    if as_json:
        paragraph = {"methods": methods_text(record)} if methods else {}
        print_json({**record, "continues_from_step": _continues(path)[0], **paragraph})
    elif methods:
        print(methods_text(record))
    elif settings:
        trained = load_model(path)
        used = Settings(trained.training, PredictionConfig(instances=trained.instances))
        print(settings_text(used), end="")
    else:
        _print_record(model, path, record)


def tell_project(project: Path, *, as_json: bool) -> None:
    """Print the images of a project, what is painted on them, its models, and where it is in use."""
    folder = project_folder(project)
    record = describe_project(folder)
    if as_json:
        print_json(record)
        return
    print(f"{project}: {record['format']}, version {record['version']}")
    print(f"in use         {record['open'] or 'nowhere'}")  # by a window or a command
    for name in record["models"]:
        print(f"model          {name}{' (the last)' if name == record['model'] else ''}")
    for image in record["images"]:
        shape = " x ".join(map(str, image["shape"]))
        print(f"image          {image['name']}: {shape} {image['dtype']}, {image['path'] or 'not found'}")
        for labels in image["labels"]:
            print(f"  {labels['kind']:11}  {_labels_in_words(labels)}")
        if image["sentence"]:
            print(f"  note         {image['sentence']}")


def _labels_in_words(labels: Mapping[str, Any]) -> str:
    if labels["sentence"]:
        return str(labels["sentence"])
    parts = [f"{labels['labelled']:.1%} labelled"]
    if labels["mode"] == "objects":
        parts.insert(0, f"{labels['objects']} objects, {labels['full']} of them filled to their border")
    if labels["regions"]:
        parts.append(f"{labels['regions']} complete regions")
    return ", ".join(parts)


def _continues(path: Path) -> tuple[int | None, str]:
    """Return the step from which a training can continue, or why it cannot."""
    try:
        return step_to_continue(path), "there is no training state beside it"
    except InputError as error:
        return None, str(error)


def _print_record(model: str, path: Path, record: Mapping[str, Any]) -> None:
    step, hindrance = _continues(path)
    network, normalisation, history = record["network"], record["normalisation"], record["history"]
    version = f", version {record['version']}" if record["version"] else ""  # of our own format
    print(f"{model}: {record['format']}{version}")
    print(f"network        {', '.join(f'{name} {value}' for name, value in network.items())}")
    print(f"parameters     {record['parameters']}")
    print(f"normalisation  {_SCALINGS[normalisation['method']].format(**normalisation)}")
    print(f"mode           {record['mode']}: {', '.join(record['class_names'])}")
    if network["distance"]:
        print("depth          learnt from objects filled to their border")
    if reading := record.get("instances"):  # files of the first release lack them
        print(f"objects        {', '.join(f'{name} {value}' for name, value in reading.items())}")
    if size := record.get("object_size"):
        print(f"starter        for objects of about {size:g} pixels, to which images are scaled")
    if origin := record.get("origin"):
        print(f"origin         {origin}")
    sizes = record.get("pixel_size")
    print(f"pixel size     {' x '.join(f'{size:g}' for size in sizes) + ' µm' if sizes else 'not known'}")
    if history["steps"] == 0:
        print("trained        not by napari-unet")
        return
    print(f"trained        {history['started']}, on {history['device']}")
    print(f"steps          {history['steps']} in {history['seconds']:.0f} s")
    for started, last, seconds in history["sessions"][1:]:
        print(f"  continued    {started}, to step {last} and {seconds:.0f} s")
    print(f"weights        of step {history['best_step']}")
    print(f"to go on       {hindrance if step is None else f'from step {step}, with its optimiser'}")
    if history["scored_on"]:
        print(f"scored on      {_SCORED_ON.get(history['scored_on'], 'paint')}")
    for at, seconds, score, loss, *interval in history["scores"]:
        scored = f"score {score:.3f}{say_interval(interval)}"
        print(f"  step {at:6d}  {seconds:7.1f} s  {scored}  loss {loss:.3f}")
    print(f"versions       {', '.join(f'{name} {version}' for name, version in history['versions'].items())}")
