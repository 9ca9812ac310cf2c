"""The command ``napari-unet``, which is also ``python -m napari_unet``."""

import sys


def main() -> int:
    """Run the command line and return its exit code, also if Ctrl-C comes while it is still loaded."""
    try:
        from napari_unet.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
