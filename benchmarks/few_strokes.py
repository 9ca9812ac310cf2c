"""Score the segmentation of other images after a few strokes and a short CPU training.

    python benchmarks/few_strokes.py --data ../shared/data --seconds 120

For each kind of image, a simulated annotator paints a few objects and background strokes on the training
images, one network is trained on them from scratch, and the *other* images named below are segmented and
scored by object. The images listed here are for development: settings were chosen on them. Pictures of
every segmentation go to --output.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage import io
from skimage.segmentation import mark_boundaries

from annotator import Labels, paint_image, touching_recall
from napari_unet import TrainingConfig, WeightConfig, evaluate, predict, save_model, train
from napari_unet.files.settings import Settings, override

Image = NDArray[np.generic]


@dataclass(frozen=True)
class Kind:
    """Images to paint on and other images of the same kind to score."""

    paint: list[tuple[Image, Labels]]
    score: list[tuple[Image, Labels]]


def _pairs(folder: Path, stems: list[str]) -> list[tuple[Image, Labels]]:
    return [
        (
            tifffile.imread(folder / "images" / f"{stem}.tif"),
            tifffile.imread(folder / "labels" / f"{stem}.tif").astype(np.int32),
        )
        for stem in stems
    ]


def load_kind(name: str, data: Path) -> Kind:
    """Return the images of one kind; the first three in name order are painted, up to six others scored."""
    if name == "stardist":
        ((image, labels),) = _pairs(
            data / "nuclei_stardist_2d", [p.stem for p in (data / "nuclei_stardist_2d/images").glob("*.tif")]
        )
        half = image.shape[1] // 2
        return Kind([(image[:, :half], labels[:, :half])], [(image[:, half:], labels[:, half:])])
    folder = data / ("phase_contrast_t98g" if name == "phase" else "nuclei_dsb2018")
    prefix = {"phase": "set", "histology": "histology_rgb"}.get(name, name)
    stems = sorted(path.stem for path in (folder / "images").glob(f"{prefix}*.tif"))
    pairs = _pairs(folder, stems[:9])
    return Kind(pairs[:3], pairs[3:])


def run(name: str, args: argparse.Namespace, seed: int) -> dict[str, object]:
    """Paint, train, segment and score one kind with one seed."""
    kind = load_kind(name, args.data)
    rng = np.random.default_rng(seed)
    paints = [
        paint_image(labels, objects=args.objects, background=args.background, rng=rng, filled=args.filled)
        for _, labels in kind.paint
    ]
    weights = WeightConfig(w0=args.w0, class_balance=args.balance)
    settings = override(
        Settings(training=TrainingConfig(seconds=args.seconds, seed=seed, weights=weights)), args.set
    )
    model = train([image for image, _ in kind.paint], paints, settings.training)
    folder = args.output / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder / "model.safetensors")
    rows, found, touching = [], 0, 0
    for index, (image, truth) in enumerate(kind.score):
        prediction = predict(model, image, settings.prediction)
        scores = evaluate(prediction, truth)
        rows.append((scores.ap_50, scores.ap_75, scores.foreground_iou))
        hit, count = touching_recall(prediction.objects, truth)
        found, touching = found + hit, touching + count
        io.imsave(folder / f"{index}.png", _picture(image, prediction.objects, truth), check_contrast=False)
    ap_50, ap_75, iou = np.mean(rows, axis=0)
    return {
        "kind": name,
        "seed": seed,
        "ap_50": round(float(ap_50), 3),
        "ap_75": round(float(ap_75), 3),
        "touching": round(found / touching, 3) if touching else None,
        "iou": round(float(iou), 3),
        "steps": model.history.steps,
        "best_step": model.history.best_step,
    }


def _picture(image: Image, predicted: Labels, truth: Labels) -> NDArray[np.uint8]:
    """Prediction outlined in yellow, truth in cyan."""
    low, high = np.percentile(image, (1, 99.8))
    grey = np.clip((image - low) / max(high - low, 1e-9), 0, 1)
    rgb = grey[..., :3] if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)
    drawn = mark_boundaries(
        mark_boundaries(rgb, truth, color=(0, 1, 1), mode="inner"), predicted, color=(1, 1, 0), mode="inner"
    )
    return (drawn * 255).astype(np.uint8)


def main() -> None:
    """Run every kind and seed; print one JSON line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--kinds", nargs="+", default=["stardist", "fluo_256", "fluo_520x696", "histology", "phase"]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--background", type=int, default=8)
    parser.add_argument("--filled", action="store_true")
    parser.add_argument("--w0", type=float, default=10.0)
    parser.add_argument("--balance", choices=["inverse", "none"], default="inverse")
    parser.add_argument(
        "--set", nargs="*", default=[], help="settings as on the command line: section.key=value"
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/output/few_strokes"))
    args = parser.parse_args()
    for seed in args.seeds:
        for name in args.kinds:
            print(json.dumps(run(name, args, seed)), flush=True)


if __name__ == "__main__":
    main()
