"""Score a starter before the first stroke, with a given or an estimated diameter of the median object.

The sizes that were used are printed as multiples of the usual size of true objects.

python training/score_starter.py cells.safetensors --data ../shared/data --kinds fluo_256 phase [--report]

The images are those of the score sheet (benchmarks/kinds.py): development images, on which the full starter
was trained, or with --report images on which no starter was.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from skimage.io import imsave

from kinds import REPORT, load_kind
from napari_unet import PredictionConfig, evaluate, load_model
from napari_unet.network.prediction import predict_events
from scoring import picture


def median_diameter(labels: NDArray[np.int32]) -> float:
    """Return the diameter in pixels of a disc with the area of the median object."""
    areas = np.bincount(labels.ravel())[1:]
    return 2 * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))


def usual_diameter(labels: NDArray[np.int32]) -> float:
    """Return the geometric mean of two: of the median object, and of that in which the median pixel lies."""
    areas = np.sort(np.bincount(labels.ravel())[1:])
    areas = areas[areas > 0]
    by_area = areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)]
    return float(np.sqrt(median_diameter(labels) * 2 * np.sqrt(by_area / np.pi)))


def main(arguments: list[str] | None = None) -> int:
    """Print one line of JSON for each kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", default=list(REPORT))
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--estimate", action="store_true", help="let the diameter be estimated")
    parser.add_argument("--scored", type=int, default=4, help="images of each kind at most (default 4)")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the segmentations")
    options = parser.parse_args(arguments)
    model = load_model(options.model)
    for name in options.kinds:
        pairs = load_kind(name, options.data, report=options.report, scored=options.scored).score
        rows, sizes = [], []
        for number, (image, truth) in enumerate(pairs):
            size = "estimate" if options.estimate else median_diameter(truth)
            scaled, *_, end = predict_events(model, image, PredictionConfig(object_size=size))
            objects = end.prediction.objects
            sizes.append(scaled.object_size / usual_diameter(truth))
            scores = evaluate(objects, truth)
            rows.append((scores.ap_50, scores.ap_75, scores.foreground_iou))
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                path = options.pictures / f"{name}_{number}.png"
                imsave(path, picture(image, objects, truth), check_contrast=False)
        means = [round(float(value), 3) for value in np.mean(rows, axis=0)]
        each = [round(row[0], 3) for row in rows]
        line = {"kind": name, "ap_50": means[0], "ap_75": means[1], "iou": means[2], "each": each}
        print(json.dumps(line | {"sizes": [round(size, 2) for size in sizes]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
