"""Make the views that starters learn from, once for all of them.

OMP_NUM_THREADS=1 python training/make_views.py --data ../shared/data --output build/views.safetensors

A view is a window of a drawn or of a real image with all that is taught of it. To draw one takes a tenth of a
second, so this is done by all cores, before a training. Which view has which number follows from the seed.
Views are small: a second thread of each process would only be in the way.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from real_images import RealImage, load_images, shares
from views import WINDOW, real_view, synthetic_view

DRAWN = "drawn"
"""The kind of what is not real."""


View = dict[str, NDArray[np.generic]]
"""``image``, ``weight`` and ``distance`` float16, ``target`` uint8, all (Y, X)."""


def make_view(number: int, *, seed: int, drawn: int, images: list[RealImage]) -> tuple[str, View]:
    """Return the kind and the view of a number: the first ``drawn`` are drawn, all others of the images."""
    rng = np.random.default_rng([seed, 0, number])
    if number < drawn:
        kind, view = DRAWN, synthetic_view(rng)
    else:
        kinds = shares()
        kind = list(kinds)[int(rng.choice(len(kinds), p=list(kinds.values())))]
        view = real_view([image for image in images if image.kind == kind], rng)
    parts: dict[str, NDArray[np.generic]] = {"image": view.image[0], "weight": view.weight}
    if view.distance is not None:
        parts["distance"] = view.distance
    packed: View = {name: values.astype(np.float16) for name, values in parts.items()}
    return kind, packed | {"target": view.target}


def pack_views(views: Iterable[tuple[str, View]], count: int, output: Path) -> None:
    """Write views as arrays (N, WINDOW, WINDOW); of a smaller view the rest is 0.

    ``extent`` (N, 2) has the sizes, ``kind`` (N) an index into the names in the file's metadata.
    """
    shape = (count, WINDOW, WINDOW)
    arrays = {name: np.zeros(shape, np.float16) for name in ("image", "weight", "distance")}
    target = np.zeros(shape, np.uint8)
    extent, kind = np.zeros((count, 2), np.int64), np.zeros(count, np.int64)
    names: list[str] = []
    for number, (name, view) in enumerate(views):
        for part, values in view.items():
            cut = values[:WINDOW, :WINDOW]
            packed = target if part == "target" else arrays[part]
            packed[number, : cut.shape[0], : cut.shape[1]] = cut
            extent[number] = cut.shape
        if name not in names:
            names.append(name)
        kind[number] = names.index(name)
    output.parent.mkdir(parents=True, exist_ok=True)
    packed_views = {**arrays, "target": target, "extent": extent, "kind": kind}
    save_file(packed_views, output, metadata={"kinds": json.dumps(names)})


def main(arguments: list[str] | None = None) -> int:
    """Make as many views as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled images")
    parser.add_argument("--output", type=Path, required=True, help="the file to write; 600 KB a view")
    parser.add_argument("--drawn", type=int, default=3000, help="views of drawn micrographs")
    parser.add_argument("--real", type=int, default=3000, help="views of real images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    images = load_images(options.data)
    count = options.drawn + options.real
    make = partial(make_view, seed=options.seed, drawn=options.drawn, images=images)
    make(0)  # what is compiled is compiled once, not by every process
    with multiprocessing.Pool(options.workers) as pool:
        pack_views(pool.imap(make, range(count), chunksize=8), count, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
