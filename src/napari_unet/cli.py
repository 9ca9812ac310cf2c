"""The same work without a screen: train, predict, weigh, evaluate.

Every failure prints one line on stderr: exit code 2 for bad input and files that cannot be used, 1 for
anything unexpected, 130 after Ctrl-C. Heavy imports are inside the commands, so that ``--help`` answers at
once.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from napari_unet._version import __version__
from napari_unet.console import (
    Commands,
    check_project,
    in_home,
    note,
    ready_streams,
    repeat_flags,
    usage_sentence,
)
from napari_unet.core.errors import InputError

_app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train a U-Net on painted strokes, and segment images with it.",
    epilog="PATH is a file, a folder or a quoted pattern; files are paired by their names.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Paths = list[str]
ImagePaths = Annotated[Paths | None, typer.Option("--images", metavar="PATH...", help="Images.")]
ProjectFolder = Annotated[
    Path | None, typer.Option("--project", metavar="FOLDER", help="A project saved by the docks.")
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Settings to start from.")
]
_SET = "Settings that replace others; 'info MODEL --settings' has all."
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="section.key=value...", help=_SET)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
_MODEL = typer.Argument(
    metavar="NAME|MODEL", help="A starter, such as cells, or a model file.", show_default=False
)
ModelFile = Annotated[str, _MODEL]
_OUTLINES = "Outlines of the objects, as well."
Outlines = Annotated[list[str] | None, typer.Option(metavar="imagej|qupath...", help=_OUTLINES)]
OptionalModel = Annotated[str | None, _MODEL]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # For a damaged file, print our own sentence, not dozens from its decoder.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    ready_streams()
    given = list(map(in_home, sys.argv[1:] if arguments is None else arguments)) or ["--help"]
    # Typer's exception for a wrong command line; its class has moved between releases.
    usage_error = typer.BadParameter.__mro__[2]
    try:
        return _app(args=repeat_flags(given), prog_name="napari-unet", standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        note("Interrupted; whatever was not finished is not written.")
        return 130
    except Exception as error:  # noqa: BLE001 (beyond this there is only a traceback)
        from napari_unet.network.failures import sentence

        if os.environ.get("NAPARI_UNET_DEBUG"):
            traceback.print_exc()
        if isinstance(error, usage_error):
            note(usage_sentence(error, given))
        else:
            note(sentence(error))
        return 2 if isinstance(error, (InputError, usage_error, OSError)) else 1


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@_app.callback()
def _global_options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@_app.command()
def train(
    *,
    images: ImagePaths = None,
    paint: Annotated[
        Paths | None,
        typer.Option(metavar="PATH...", help="Paint; for several images, files of the same names."),
    ] = None,
    project: ProjectFolder = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="MODEL.safetensors", help="Where to save the model. [in the project]"),
    ] = None,
    start: Annotated[
        str, typer.Option(metavar="scratch|NAME|MODEL", help="Nothing, a starter, or a model to go on from.")
    ] = "scratch",
    validation: Annotated[
        Paths | None,
        typer.Option(metavar="PATH...", help="Painted images for scoring only. [held-out strokes]"),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="objects|classes", help="What paint values mean. [objects]")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="All painted objects are filled up to their border, not stroked.")
    ] = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete", help="All objects are painted, in full: what is unlabelled is background."
        ),
    ] = False,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels", help="The paint is label images: 0 is background, all else objects, filled."
        ),
    ] = False,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="Training time. [120]")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Number of training steps.")] = None,
    device: Device = "auto",
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of every random choice. [0]")] = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    state: Annotated[
        bool,
        typer.Option("--state/--no-state", help="Save what is needed to continue training later."),
    ] = True,
    fresh_optimiser: Annotated[
        bool, typer.Option("--fresh-optimiser", help="Continue from the weights of a model alone.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Train a network on painted images.

    Images and paint are files, or those of a project; Ctrl-C saves the model so far. A project knows what its
    paint means, and which objects and regions are complete; --validation names images in it. A training that
    starts from a model continues where that one stopped, with its settings, its optimiser and its curve;
    --seconds and --steps count from there.
    """
    from napari_unet.commands.settings import axes_to_train, settings_of
    from napari_unet.commands.train import (
        destination,
        painted_files,
        painted_project,
        run_training,
        starting_point,
    )

    keys = {assignment.partition("=")[0].strip() for assignment in assignments or ()}
    told: dict[str, object] = {"--images": images, "--paint": paint, "--mode": mode}
    told |= {"--full": full, "--complete": complete, "--labels": labels}
    told |= {key: key in keys for key in ("training.mode", "training.channels")}
    check_project(project, told, need=("--images", "--paint"))
    begin = starting_point(start, fresh_optimiser=fresh_optimiser)
    model = begin[0]
    flags = {"mode": mode, "seconds": seconds, "steps": steps, "seed": seed}
    flagged = [f"training.{name}={value}" for name, value in flags.items() if value is not None]
    training = settings_of("training", config, [*(assignments or ()), *flagged], model).training
    if full and training.mode != "objects":
        raise InputError("--full is for objects, but this paint has classes; leave --full out.")
    ndim = axes_to_train(training, start, model)
    scored = validation or ()
    if project is None:
        files = images or (), paint or (), scored
        filled = full or complete or labels
        read = painted_files(*files, ndim, full=filled, complete=complete, labels=labels)
    else:
        read = partial(painted_project, project, scored, ndim)
    with destination(output, project) as place:
        return run_training(read(), training, begin, place, device=device, state=state, as_json=as_json)


@_app.command()
def predict(
    *,
    model: OptionalModel = None,
    images: ImagePaths = None,
    project: ProjectFolder = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")],
    what: Annotated[
        list[str] | None,
        typer.Option(metavar="objects|classes|probabilities...", help="Results. [what the model learnt]"),
    ] = None,
    outlines: Outlines = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="auto|tiff|zarr", help="Format; zarr for large images.")
    ] = "auto",
    device: Device = "auto",
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write size, place and brightness of every object as a table."),
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Also segment images again whose results are there.")
    ] = False,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask cluster; see the docs.")
    ] = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    as_json: AsJson = False,
) -> int:
    """Segment images, and write DIR/STEM_objects.tif and the like.

    Images are files, or those of a project, with the model that it trained last if none is given. A model
    that learnt classes gives classes, any other one objects, unless --what says something else. Objects are
    whole numbers (0 is background), classes are paint values (1 is background), probabilities have one
    channel for each class. Outlines are DIR/STEM_objects.zip for ImageJ, .geojson for QuPath. The table has
    a line for every object of every image, and one for an image, or a plane, without objects. If an image
    fails, the others are still segmented. The same command goes on where it was interrupted: results that the
    same model has made of the same image, with the same settings, are kept. Images in zarr, and others that
    do not fit into memory, are read and written block by block: the results are DIR/STEM_objects.zarr and the
    like. A dask.distributed cluster (--scheduler) works the same way; its workers must see the files under
    the same paths.
    """
    from napari_unet.commands.predict import check_kinds, connected, last_model, plan_work, segment_files
    from napari_unet.commands.settings import settings_of
    from napari_unet.files.networks.models import load_model
    from napari_unet.files.networks.starters import find_model

    check_project(project, {"--images": images, "MODEL": model}, need=("MODEL", "--images"), may=("MODEL",))
    kinds = check_kinds(what or ["objects"], table, outlines or ())
    results = output, kinds, file_format
    work, missing = plan_work(images or (), project, *results, outlines=outlines or (), redo=redo)
    with connected(scheduler) as cluster:
        network = load_model(find_model(model or last_model(project)))
        if what is None and network.mode == "classes":
            work = replace(work, kinds=check_kinds([network.mode], table, outlines or ()))
        settings = settings_of("prediction", config, assignments, network).prediction
        code = segment_files(
            network, work, settings, device=device, as_json=as_json, cluster=cluster, table=table
        )
    for sentence in missing:
        note(sentence)
    return code or (2 if missing else 0)


@_app.command()
def weights(
    *,
    paint: Annotated[Path, typer.Argument(metavar="PAINT.tif", help="Paint.", show_default=False)],
    output: Annotated[Path, typer.Option(metavar="WEIGHTS.tif", help="Where to write the weight map.")],
    w0: Annotated[float | None, typer.Option(help="Height of the border term. [by preset]")] = None,
    sigma: Annotated[float | None, typer.Option(help="Its width in pixels. [by preset]")] = None,
    preset: Annotated[
        str, typer.Option(metavar="paper|gentle|freiburg", help="Values to start from.")
    ] = "paper",
    by_plane: Annotated[
        bool, typer.Option("--by-plane", help="Weigh the planes of a stack as a 2-D network learns them.")
    ] = False,
) -> None:
    """Write how much every painted pixel counts in training."""
    from napari_unet.commands.weights import weigh
    from napari_unet.core.borders.weight_config import WeightConfig

    usual = WeightConfig.preset(preset)
    config = replace(usual, w0=usual.w0 if w0 is None else w0, sigma=usual.sigma if sigma is None else sigma)
    weigh(paint, output, config, by_plane=by_plane)


@_app.command()
def measure(
    *,
    labels: Annotated[Paths, typer.Argument(metavar="LABELS", help="Label images.", show_default=False)],
    images: ImagePaths = None,
    output: Annotated[Path, typer.Option(metavar="FILE.csv", help="Where to write the table.")],
    outlines: Outlines = None,
    as_json: AsJson = False,
) -> int:
    """Write a table of the objects in labels, such as corrected ones.

    It is the table of predict --table. STEM_objects.tif, STEM_masks.tif and STEM_labels.tif are labels of
    STEM.tif, too, and STEM_classes.tif has the classes of its objects. Without --images the table lacks
    brightness, and the labels have to say how large pixels are. Outlines are written beside the labels. If a
    file cannot be measured, the others still are.
    """
    from napari_unet.commands.measure import measure as write

    return write(labels, images or (), output, outlines or (), as_json=as_json)


@_app.command()
def evaluate(
    *,
    predictions: Annotated[
        Paths | None, typer.Option(metavar="PATH...", help="Predicted objects. [of a project, its own]")
    ] = None,
    truths: Annotated[
        Paths | None, typer.Option(metavar="PATH...", help="True objects; for several, files named alike.")
    ] = None,
    project: ProjectFolder = None,
    by_plane: Annotated[
        bool, typer.Option("--by-plane", help="Compare stacks plane by plane, not as volumes.")
    ] = False,
    errors: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for maps of what is wrong, STEM_errors.tif.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all scores as a table.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compare predicted with true objects.

    STEM_objects.tif is compared with STEM.tif, too. Prints the main scores of every pair, of all objects
    together (pooled) and on average (mean); --json and --csv have all scores. Time points are compared one by
    one. Maps of errors hold 1 for missed objects, 2 invented, 3 split, 4 merged. If a pair cannot be
    compared, the others still are. The truths of a project are its corrected objects, or else its paint where
    everything is labelled; without --predictions they are compared with what was predicted before the
    corrections.
    """
    from napari_unet.commands.evaluate import compare

    told = {"--predictions": predictions, "--truths": truths}
    check_project(project, told, need=tuple(told), may=("--predictions",))
    ndim = 2 if by_plane else None
    files = predictions or (), truths or (), project
    return compare(*files, ndim=ndim, errors=errors, table=csv, as_json=as_json)


@_app.command()
def info(
    *,
    model: OptionalModel = None,
    project: ProjectFolder = None,
    methods: Annotated[
        bool, typer.Option("--methods", help="Print a paragraph for the methods section of a paper.")
    ] = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print how it was trained and reads objects, for --config.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a model is, or what a project holds."""
    from napari_unet.commands.info import tell, tell_project

    told = {"MODEL": model, "--methods": methods, "--settings": settings}
    check_project(project, told, need=("MODEL",))
    if project is not None:
        tell_project(project, as_json=as_json)
    elif model is not None:
        tell(model, methods=methods, settings=settings, as_json=as_json)


@_app.command()
def export(
    *,
    model: ModelFile,
    output: Annotated[str, typer.Option(metavar="PACKAGE.zip", help="Where to write the package.")],
    author: Annotated[list[str], typer.Option(metavar="NAME...", help="Who made the model.")],
    image: Annotated[Path | None, typer.Option(metavar="PATH", help="An example image. [made up]")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model. [that of its file]")] = None,
    license_id: Annotated[
        str, typer.Option("--license", metavar="SPDX", help="Licence of the model.")
    ] = "CC-BY-4.0",
) -> None:
    """Write a model as a bioimage.io package, which other tools run."""
    from napari_unet.commands.export import export as write
    from napari_unet.files.networks.bioimageio import PackageInfo

    write(model, output, PackageInfo(name or Path(model).stem, tuple(author), license_id), image)


@_app.command()
def demo(
    *,
    headless: Annotated[
        bool, typer.Option("--headless", help="Without a window, on a virtual display.")
    ] = False,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path(
        "demo-output"
    ),
) -> int:
    """Show the whole loop on a real micrograph in napari."""
    from napari_unet.commands.demo import run_demo

    return run_demo(output, headless=headless)
