"""What all tests share."""

import gc

import pytest
from hypothesis import settings

# A shared or slow machine may take its time over one example; a hang is what the time-out of pytest is for.
settings.register_profile("napari-unet", deadline=None)
settings.load_profile("napari-unet")


@pytest.fixture(scope="module", autouse=True)
def little_to_sweep():
    """Exempt what is imported by now from the garbage collections that come with every window and layer."""
    gc.collect()
    gc.freeze()
