"""The score sheet: how good a segmentation is for a given amount of painting and training time.

    python benchmarks/annotation_efficiency.py --data ../shared/data             # development images
    python benchmarks/annotation_efficiency.py --data ../shared/data --report    # nothing was chosen on these
    python benchmarks/annotation_efficiency.py --table --plot                    # of results so far

A simulated annotator paints some images of a kind, every method learns from the same paint, and *other*
images are scored by object. Every (kind, paint, method, seed, mark) is one line of OUTPUT/results.jsonl.
Existing lines are not computed again, so a sheet can be stopped and resumed, and filled by several processes
(--share 1/2, --share 2/2). After a change of defaults, begin another OUTPUT.

Training time is processor time of one thread unless --clock wall, so that other work on the machine does not
change the result. A model is taken at every mark, as if its user had stopped there.

Development images, for choosing settings: the first nine of a kind in name order. Report images, for
published figures: later ones, and the kind fluo_360.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from skimage import io

from annotator import BACKGROUND, Painted, paint_for, paint_image
from correcting import correct
from forest import forest
from kinds import DEVELOPMENT, REPORT, Kind, load_kind
from methods import Clock, Method, Task
from napari_unet import TrainingConfig, load_model
from napari_unet.files.networks.starters import find_model
from napari_unet.files.settings import Settings, override
from napari_unet.network.model import Model
from ours import ours
from recipes import nnunet, rootpainter
from scoring import picture, score

METHODS: dict[str, Method] = {"ours": ours, "forest": forest, "rootpainter": rootpainter, "nnunet": nnunet}
PAINTS = ("strokes", "filled", "regions", "corrections", "random")
MARKS = (30.0, 60.0, 120.0)

_ROUNDS = 3
_FIRST_SECONDS = 7.0
_ROUND_SECONDS = 4.5
"""Annotation of an image before and in every round of corrections: as much in total as 8 + 8 strokes."""


@dataclass(frozen=True)
class Cell:
    """One training of the sheet."""

    kind: str
    paint: str
    method: str
    seed: int


def main() -> None:
    """Fill the missing cells, or show the existing ones."""
    args = _parse()
    results = args.output / "results.jsonl"
    if args.table or args.plot:
        import tables

        rows = tables.read(results)
        if args.table:
            print(tables.markdown(rows))
        if args.plot:
            tables.plot(rows, args.output)
        return
    number, of = (int(part) for part in args.share.split("/"))
    cells = [
        Cell(kind, paint, method, seed)
        for seed in args.seeds
        for kind in args.kinds or (REPORT if args.report else DEVELOPMENT)
        for paint in args.paints
        for method in args.methods
    ]
    from threadpoolctl import threadpool_limits

    if args.clock == "processor":
        torch.set_num_threads(1)
    # Libraries may already have thread pools: spinning threads would count as our processor time.
    with threadpool_limits(1 if args.clock == "processor" else None):
        for cell in cells[number - 1 :: of]:
            if not _is_done(results, cell, args):
                for row in run(cell, args):
                    with results.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    print(json.dumps(row), flush=True)


def run(cell: Cell, args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Paint, train, segment and score; yield one row for every mark."""
    kind = load_kind(cell.kind, args.data, report=args.report, scored=args.scored)
    name = _name(cell.method, args)
    folder = args.output / f"{_split(args)}-{cell.kind}-{_paint_name(cell, args)}-{name}-{cell.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    settings = override(Settings(training=TrainingConfig()), args.set if cell.method == "ours" else [])
    task = Task(
        images=[image for image, _ in kind.paint],
        painted=[],
        marks=tuple(args.marks),
        clock=Clock(args.clock, args.factor),
        seed=cell.seed,
        folder=folder,
        settings=settings,
        start=None if args.start is None else _load_start(args.start),
    )
    task = replace(task, painted=_paint(cell, kind, task, args))
    for number, (painted, (image, _)) in enumerate(zip(task.painted, kind.paint, strict=True)):
        objects, background = painted.paint * (painted.paint > BACKGROUND), painted.paint == BACKGROUND
        drawn = picture(image, objects, background.astype(np.int32))
        io.imsave(folder / f"paint-{number}.png", drawn, check_contrast=False)
    for snapshot in METHODS[cell.method](task):
        found = [snapshot.segment(image) for image, _ in kind.score]
        # The better way to find objects on the scored images: this favours rivals only.
        ways = {way: [objects[way] for objects in found] for way in found[0]}
        scores = {way: score(predicted, kind.score) for way, predicted in ways.items()}
        best = max(scores, key=lambda way: scores[way]["ap_50"] or 0.0)
        for mark in snapshot.marks:
            yield {
                "split": _split(args),
                "kind": cell.kind,
                "paint": _paint_name(cell, args),
                "method": name,
                "seed": cell.seed,
                "mark": mark,
                "budget": task.marks[-1],
                **scores[best],
                "objects": best,
                # What users of the others get: connected foreground, with touching objects in one piece.
                "components": scores["components"]["ap_50"] if "components" in scores else None,
                "steps": snapshot.steps,
                "annotation_seconds": round(sum(painted.seconds for painted in task.painted), 1),
            }
        if task.marks[-1] in snapshot.marks:
            for number, ((image, truth), objects) in enumerate(zip(kind.score, ways[best], strict=True)):
                io.imsave(folder / f"{number}.png", picture(image, objects, truth), check_contrast=False)


def _paint(cell: Cell, kind: Kind, task: Task, args: argparse.Namespace) -> list[Painted]:
    """Return the paint of every image: the same for every method, except corrections of its own errors."""
    rng = np.random.default_rng(cell.seed)
    truths = [labels for _, labels in kind.paint]
    if cell.paint == "random":
        seconds = _FIRST_SECONDS + _ROUNDS * _ROUND_SECONDS
        return [paint_for(truth, seconds, rng=rng) for truth in truths]
    if cell.paint == "corrections":
        painted = [paint_for(truth, _FIRST_SECONDS, rng=rng) for truth in truths]
        for number in range(1, _ROUNDS + 1):
            trial = replace(task, painted=painted, marks=(args.training,))
            *_, last = METHODS[cell.method](trial)
            predicted = [next(iter(last.segment(image).values())) for image, _ in kind.paint]
            painted = [
                correct(truth, objects, before, _FIRST_SECONDS + number * _ROUND_SECONDS, rng=rng)
                for truth, objects, before in zip(truths, predicted, painted, strict=True)
            ]
        return painted
    objects = args.objects or (8 if cell.paint == "strokes" else 10)
    background = args.background
    if args.strokes is not None:
        objects, background = args.strokes - args.strokes // 2, args.strokes // 2
    return [
        paint_image(truth, cell.paint, objects=objects, background=background, rng=rng) for truth in truths
    ]


def _is_done(results: Path, cell: Cell, args: argparse.Namespace) -> bool:
    if not results.exists():
        return False
    here = (
        _split(args),
        cell.kind,
        _paint_name(cell, args),
        _name(cell.method, args),
        cell.seed,
        max(args.marks),
    )
    names = ("split", "kind", "paint", "method", "seed", "budget")
    rows = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    marks = {row["mark"] for row in rows if tuple(row[name] for name in names) == here}
    return marks >= set(args.marks)


def _name(method: str, args: argparse.Namespace) -> str:
    if method != "ours":
        return method
    base = "ours" if args.start is None else f"ours+{Path(args.start).stem}"
    return args.name or " ".join((base, *args.set))


def _paint_name(cell: Cell, args: argparse.Namespace) -> str:
    return cell.paint if args.strokes is None else f"{cell.paint} {args.strokes}"


@cache
def _load_start(name: str) -> Model:
    return load_model(find_model(name))


def _split(args: argparse.Namespace) -> str:
    return "report" if args.report else "development"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of labelled images, with a folder for each source in it")
    add("--output", type=Path, default=Path("benchmarks/output/annotation_efficiency"))
    add("--report", action="store_true", help="paint and score images on which nothing was chosen")
    add("--kinds", nargs="+", help=f"default: {' '.join(DEVELOPMENT)}; with --report: {' '.join(REPORT)}")
    add("--paints", nargs="+", choices=PAINTS, default=["strokes", "filled"])
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="each varies paint and training")
    add("--seconds", type=float, default=120.0, help="training time; marks after it are left out")
    add("--marks", nargs="+", type=float, default=MARKS, help="seconds at which the model is scored")
    add("--curve", action="store_true", help="score after 15, 45 and 90 s as well")
    add("--clock", choices=["processor", "wall"], default="processor")
    add(
        "--factor",
        type=float,
        default=1.67,
        help="processor seconds that count as one second; the default is what two cores do in a second "
        "(a step took 0.335 s with one thread, 0.20 s with two)",
    )
    add("--objects", type=int, help="objects painted on an image; default: 8 strokes, 10 filled")
    add("--background", type=int, default=8, help="background strokes on an image")
    add("--strokes", type=int, help="strokes on an image, half of them background; default: 8 of each")
    add("--start", help="a starter or a model file that ours starts from; also scored by itself, at mark 0")
    add("--training", type=float, default=30.0, help="seconds of training before every round of corrections")
    add("--scored", type=int, default=4, help="score at most this many images of a kind")
    add("--set", nargs="*", default=[], help="settings of ours: section.key=value, as on the command line")
    add("--name", help="what ours is called in the results; default: 'ours' and what --set says")
    add("--share", default="1/1", help="this process fills every n-th cell: 1/2, 2/2")
    add("--table", action="store_true", help="print markdown tables of the results, and compute nothing")
    add("--plot", action="store_true", help="draw quality against training time, and compute nothing")
    args = parser.parse_args()
    if args.data is None and not (args.table or args.plot):
        parser.error("--data is needed")
    more = (15.0, 45.0, 90.0) if args.curve else ()
    args.marks = sorted({mark for mark in (*args.marks, *more) if mark < args.seconds} | {args.seconds})
    if args.start is not None:
        args.methods = ["ours"]
    args.output.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()
