#!/usr/bin/env bash
# Sees to it that a Qt window with OpenGL opens on this Linux, on a virtual display (Xvfb) where there is no screen.
# Usage: scripts/display.sh PYTHON
set -euo pipefail

packages=(
    xvfb xauth libegl1 libgl1 libgl1-mesa-dri libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0
    libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0
)
python=$1

# Asking Qt itself is the one check that holds on every distribution, whatever its packages are called.
probe='
import sys
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication

application = QApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
sys.exit(not (context.create() and context.makeCurrent(surface)))
'

opens_on_screen() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && "$python" -c "$probe" >/dev/null 2>&1; }
opens_on_xvfb() { QT_QPA_PLATFORM=xcb xvfb-run --auto-servernum "$python" -c "$probe" >/dev/null 2>&1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

may_install() { command -v apt-get >/dev/null && as_root true 2>/dev/null; }

install_packages() {
    local known=() package
    as_root apt-get update -qq >&2
    for package in "${packages[@]}"; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            known+=("$package")
        else
            echo "This system has no package $package; going on without it." >&2
        fi
    done
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${known[@]}" >/dev/null
}

if opens_on_xvfb; then exit 0; fi

if may_install; then
    echo "Installing the system libraries that a window needs (Xvfb, OpenGL, xcb) …"
    if install_packages && opens_on_xvfb; then exit 0; fi
fi

if opens_on_screen; then
    echo "There is no virtual display (Xvfb): the tests will open windows on your screen." >&2
    exit 0
fi

cat >&2 <<MESSAGE

napari-unet setup: no window can be opened yet. Install these (Debian and Ubuntu names), then run this again:
    sudo apt-get install ${packages[*]}
On other systems install Xvfb, Mesa's OpenGL and EGL, and the xcb libraries of Qt 6.
MESSAGE
exit 1
