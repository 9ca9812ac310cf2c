"""Does it pay to paint where the product says? Guided strokes compared with random ones and corrections.

    OMP_NUM_THREADS=1 python benchmarks/where_to_paint.py --data ../shared/data             # development
    OMP_NUM_THREADS=1 python benchmarks/where_to_paint.py --data ../shared/data --report    # for figures
    python benchmarks/where_to_paint.py --table

All begin with the same random strokes on every image and a training on them. Then, in rounds, they paint for
some more seconds, train as long as before, and score *other* images. *random* alternates objects and
background, anywhere; *guided* goes to the places of ``next_place`` and paints the truth there, without
knowing what is wrong elsewhere; *corrections* knows every error of the prediction and corrects the largest
with strokes, which a person could do only after looking at the whole image; *gestures* corrects as in the
dock, and accepts right objects nearby. Training time is processor time of one thread, see
annotation_efficiency.py.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from annotator import Painted, paint_for
from by_gesture import correct_by_gesture
from correcting import correct
from guided import guide
from kinds import Image, Kind, Pair, load_kind
from methods import Clock
from napari_unet import TrainingConfig, load_model, predict
from napari_unet.core.control import Control
from napari_unet.core.objects.prediction import Prediction
from napari_unet.files.networks.starters import find_model
from napari_unet.network.events import Started, StepDone, Stopped
from napari_unet.network.model import Model
from napari_unet.network.training import train_events
from scoring import score

ARMS = ("random", "guided", "corrections", "gestures")
_ENDLESS = 10**9


def main() -> None:
    """Score what is missing, or show existing results."""
    args = _parse()
    results = args.output / "results.jsonl"
    if args.table:
        print(table([json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]))
        return
    torch.set_num_threads(1)
    for seed in args.seeds:
        for name in args.kinds:
            for row in compare(name, seed, args):
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def compare(name: str, seed: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for every arm and round; round 0 is the common start."""
    kind = load_kind(name, args.data, report=args.report, scored=args.scored)
    images = [image for image, _ in kind.paint]

    def row(arm: str, number: int, painted: Sequence[Painted], model: Any) -> dict[str, Any]:
        found = [predict(model, image).objects for image, _ in kind.score]
        seconds = round(sum(each.seconds for each in painted), 1)
        about = {"split": "report" if args.report else "development", "kind": name, "seed": seed}
        return {
            **about,
            "arm": arm,
            "round": number,
            "annotation_seconds": seconds,
            **score(found, kind.score),
        }

    first = _random(kind, args.first, seed)
    begun = learn(images, first, None, args, seed)
    yield row("all", 0, first, begun.model)
    for arm in args.arms:
        painted, state = first, begun
        for number in range(1, args.rounds + 1):
            until = args.first + number * args.more
            if arm == "random":
                painted = _random(kind, until, seed)
            else:
                painted = [
                    _paint_on(arm, pair, predict(state.model, pair[0]), before, until, seed=(seed, number))
                    for pair, before in zip(kind.paint, painted, strict=True)
                ]
            state = learn(images, painted, state, args, seed)
            yield row(arm, number, painted, state.model)


def _random(kind: Kind, seconds: float, seed: int) -> list[Painted]:
    """Return random strokes on every image; those for fewer seconds are the first of them."""
    return [
        paint_for(labels, seconds, rng=np.random.default_rng((seed, number)))
        for number, (_, labels) in enumerate(kind.paint)
    ]


def _paint_on(
    arm: str, pair: Pair, prediction: Prediction, before: Painted, until: float, *, seed: tuple[int, int]
) -> Painted:
    """Continue painting one image, as ``arm`` does."""
    (image, labels), rng = pair, np.random.default_rng(seed)
    if arm == "guided":
        return guide(labels, image, prediction, before, until, rng=rng)
    by = correct_by_gesture if arm == "gestures" else correct
    return by(labels, prediction.objects, before, until, rng=rng)


def learn(
    images: Sequence[Image],
    painted: Sequence[Painted],
    before: Stopped | None,
    args: argparse.Namespace,
    seed: int,
) -> Stopped:
    """Continue training for one round, like a user who presses Start again."""
    clock, control, last = Clock("processor", args.factor), Control(), None
    config = replace(TrainingConfig(seed=seed), seconds=None, steps=_ENDLESS)
    events = train_events(
        images,
        [each.paint for each in painted],
        config,
        start=before.model if before else args.start,
        resume=before and before.state,
        full=[each.full for each in painted],
        control=control,
    )
    for event in events:
        if isinstance(event, Started):
            clock.restart()
        elif isinstance(event, StepDone) and clock.seconds >= args.seconds:
            control.stop()
        elif isinstance(event, Stopped):
            last = event
    if last is None:
        raise RuntimeError("The training ended without a model.")
    return last


def _model(name: str) -> Model:
    return load_model(find_model(name))


def table(rows: list[dict[str, Any]]) -> str:
    """Return AP 0.5 by kind, arm and round: mean ± standard deviation over seeds."""
    scores: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        arms = ARMS if row["arm"] == "all" else (row["arm"],)
        for arm in arms:
            scores[row["split"], row["kind"]][arm][row["round"]].append(row["ap_50"])
    rounds = sorted({row["round"] for row in rows})
    lines = [_line("split", "kind", "paint", *(f"round {number}" for number in rounds))]
    lines.append(_line(*["---"] * (3 + len(rounds))))
    for (split, kind), arms in sorted(scores.items()):
        for arm in sorted(arms, key=ARMS.index):
            cells = (_spread(arms[arm][number]) for number in rounds)
            lines += [_line(split, kind, arm, *cells)]
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of labelled images, with a folder for each source in it")
    add("--output", type=Path, default=Path("benchmarks/output/where_to_paint"))
    add("--report", action="store_true", help="paint and score images on which nothing was chosen")
    add("--kinds", nargs="+", default=["fluo_520x696", "histology", "phase"])
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    add("--seeds", nargs="+", type=int, default=[0, 1], help="each varies paint and training")
    add("--rounds", type=int, default=2)
    add("--first", type=float, default=4.0, help="seconds of painting an image before the first training")
    add("--more", type=float, default=3.0, help="seconds of painting an image in every round")
    add("--start", type=_model, help="a starter or a model file that all start from; default: random weights")
    add("--seconds", type=float, default=12.0, help="seconds of training in every round")
    add("--factor", type=float, default=1.67, help="processor seconds that count as one second")
    add("--scored", type=int, default=4, help="score at most this many images of a kind")
    add("--table", action="store_true", help="print a markdown table of the results, and compute nothing")
    args = parser.parse_args()
    if args.data is None and not args.table:
        parser.error("--data is needed")
    args.output.mkdir(parents=True, exist_ok=True)
    return args


if __name__ == "__main__":
    main()
