"""What all tests share."""

from hypothesis import settings

# A shared or slow machine may take its time over one example; a hang is what the time-out of pytest is for.
settings.register_profile("napari-unet", deadline=None)
settings.load_profile("napari-unet")
