"""How many touching objects are found that connected components of the same probabilities merge.

    OMP_NUM_THREADS=1 python benchmarks/instances.py --data ../shared/data [--kinds fluo_256 phase]
    ... --steps 160 --start MODEL    # begin with a starter

On development images (`kinds.py`), a simulated annotator paints three images of a kind, a network learns from
the paint for a number of steps, and other images are segmented once. Their objects are found twice in the
probabilities: as a user gets them, with the settings saved in the model; and as connected parts of p > 0.5,
without specks of fewer than 8 pixels. *Perfect* cuts the same foreground along the truth, which shows what
could still be gained. A fixed number of steps and one seed give the same figures however busy the machine is.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from annotator import Labels, paint_image
from kinds import load_kind
from napari_unet import TrainingConfig, load_model, predict, train
from napari_unet.core.instances import InstanceConfig
from napari_unet.files.networks.starters import find_model
from napari_unet.network.model import Model
from scoring import score

AP_BAR, TOUCHING_BAR = 0.10, 0.30
KINDS = ("fluo_256", "fluo_520x696", "phase")
OBJECTS = {"strokes": 8, "filled": 10}


def components(probability: np.ndarray, smallest: int = InstanceConfig().min_size) -> Labels:
    """Return the connected parts of p > 0.5."""
    labels, _ = ndimage.label(probability > 0.5)
    sizes = np.bincount(labels.ravel())
    labels[sizes[labels] < smallest] = 0
    return labels.astype(np.int32)


def perfect(probability: np.ndarray, truth: Labels) -> Labels:
    """Return p > 0.5, with every pixel assigned to the nearest true object."""
    nearest = ndimage.distance_transform_edt(truth == 0, return_distances=False, return_indices=True)
    return np.where(probability > 0.5, truth[tuple(nearest)], 0)


def measure(kind_name: str, paint: str, args: argparse.Namespace) -> bool:
    """Print one row and return whether both bars are met."""
    kind = load_kind(kind_name, args.data, scored=args.scored)
    rng = np.random.default_rng(args.seed)
    painted = [
        paint_image(truth, paint, objects=OBJECTS[paint], background=8, rng=rng) for _, truth in kind.paint
    ]
    begun = time.process_time()
    model = train(
        [image for image, _ in kind.paint],
        [one.paint for one in painted],
        TrainingConfig(steps=args.steps, seed=args.seed),
        full=[one.full for one in painted],
        start=args.start,
    )
    seconds = time.process_time() - begun
    predictions = [predict(model, image) for image, _ in kind.score]
    ours = score([prediction.objects for prediction in predictions], kind.score)
    plain = score([components(prediction.probabilities[1]) for prediction in predictions], kind.score)
    ideal = score(
        [
            perfect(prediction.probabilities[1], truth)
            for prediction, (_, truth) in zip(predictions, kind.score, strict=True)
        ],
        kind.score,
    )
    ahead = [(ours[name] or 0.0) - (plain[name] or 0.0) for name in ("ap_50", "touching")]
    met = ahead[0] >= AP_BAR and ahead[1] >= TOUCHING_BAR
    cells = [
        kind_name,
        paint,
        *(
            f"{ours[name]:.2f} / {plain[name]:.2f} / {ideal[name]:.2f}"
            for name in ("ap_50", "ap_75", "touching")
        ),
        " / ".join(f"{value:+.2f}" for value in ahead),
        f">= {AP_BAR:.2f} / {TOUCHING_BAR:.2f}",
        "met" if met else "short",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    print(f"{kind_name} {paint}: {seconds:.0f} s of training, {model.instances}", file=sys.stderr)
    return met


def _model(name: str) -> Model:
    return load_model(find_model(name))


def main() -> int:
    """Measure and print; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--paints", nargs="+", choices=OBJECTS, default=list(OBJECTS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--scored", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=_model, help="a starter or a model file to start from")
    args = parser.parse_args()
    print(
        f"{args.steps} steps, seed {args.seed}, {args.scored} images or fewer; ours / components / perfect\n"
    )
    print("| images | paint | AP 0.5 | AP 0.75 | touching found | ahead by | bar | |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    met = [measure(kind, paint, args) for kind in args.kinds for paint in args.paints]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
