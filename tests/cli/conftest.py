"""What the tests of the command line share."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import SMALL
from skimage.draw import disk

from napari_unet.cli import main


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give images a1, a2 and a10, paint for the first two, truths for all, and a model."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    for name in ("images", "paint", "truth"):
        (folder / name).mkdir()
    for name in ("a1", "a2", "a10"):
        truth = np.zeros((48, 40), np.int32)
        for index, centre in enumerate([(12, 12), (30, 12), (30, 28)], start=2):
            truth[disk(centre, 7)] = index
        image = (rng.normal(50, 5, truth.shape) + 100 * (truth > 0)).astype(np.uint8)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image, imagej=True, metadata={"axes": "YX"})
        tifffile.imwrite(folder / "truth" / f"{name}.tif", truth)
        if name != "a10":
            tifffile.imwrite(folder / "paint" / f"{name}.tif", np.where(truth, truth, 1))
    arguments = ["train", "--images", str(folder / "images"), "--paint", str(folder / "paint" / "*.tif")]
    assert main([*arguments, "--output", str(folder / "model.safetensors"), "--steps", "2", *SMALL]) == 0
    return folder
