"""What each command of `napari-unet` does; `napari_unet.cli` reads its flags."""
