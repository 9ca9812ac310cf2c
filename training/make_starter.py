"""Train a starter model from scratch.

python training/make_starter.py --views build/views --output build/cells.safetensors --minutes 60

docs/starters.md says how the starter in the package was made; `make starter` repeats it.
"""

import argparse
import sys
from pathlib import Path

from library import load_library
from napari_unet import load_model, save_model
from napari_unet.network.device import choose_device
from real_images import KINDS
from recipe import Recipe, train_starter


def main(arguments: list[str] | None = None) -> int:
    """Train with the settings of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--views", type=Path, required=True, help="what make_views.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="the model file to write")
    parser.add_argument(
        "--leave-out", nargs="+", default=[], choices=KINDS, help="kinds of real images not to train on"
    )
    parser.add_argument("--steps", type=int, help="steps, of all sessions together")
    parser.add_argument("--minutes", type=float, help="minutes, of all sessions together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint of --output")
    parser.add_argument("--start", type=Path, help="start from the weights of this model")
    parser.add_argument("--tail", type=float, default=0.35, help="last part, in which the rate falls")
    parser.add_argument("--drawn", type=float, default=0.5, help="part of the patches that is drawn")
    parser.add_argument("--batch", type=int, default=4, help="patches a step")
    parser.add_argument("--patch", type=int, default=128, help="their edge in pixels")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--checkpoint-every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--package", type=Path, help="write the finished model here, in half precision")
    options = parser.parse_args(arguments)
    if options.steps is None and options.minutes is None:
        parser.error("give --steps or --minutes")
    recipe = Recipe(
        steps=options.steps,
        minutes=options.minutes,
        seed=options.seed,
        leave_out=tuple(options.leave_out),
        tail=options.tail,
        drawn=options.drawn,
        batch=options.batch,
        patch=options.patch,
    )
    library = load_library(options.views, choose_device(options.device))
    start = load_model(options.start) if options.start else None
    events = train_starter(
        recipe,
        library,
        options.output,
        resume=options.resume,
        start=start,
        checkpoint_every=options.checkpoint_every,
    )
    for told in events:
        print(f"step {told.step:6d}  {told.seconds:7.0f} s  loss {told.loss:.4f}", flush=True)
    if options.package:
        save_model(load_model(options.output), options.package, half=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
