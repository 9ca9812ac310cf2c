#!/usr/bin/env bash
# Makes .venv with the tested versions of everything, then sees to it that a window can open. Run it as `make env`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() {
    printf '\nnapari-unet setup: %s\n' "$*" >&2
    exit 1
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
        if supported "$candidate"; then
            say "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python
    python=$(find_python) || fail "no Python 3.11 to 3.14 was found; install one (Debian, Ubuntu: apt install python3" \
        "python3-venv; others: python.org), or name it: make env PYTHON=/path/to/python3."
    say "Making .venv with $("$python" --version) …"
    "$python" -m venv --clear .venv ||
        fail "$python cannot make a virtual environment; on Debian and Ubuntu install python3-venv (or free some disk" \
            "space: $(free_space) left here), then run this again."
}

free_space() { df -Pk . | awk 'NR == 2 { printf "%.1f GB", $4 / 1e6 }'; }

pip_install() {
    "$venv_python" -m pip install --quiet --quiet --disable-pip-version-check --no-warn-script-location \
        --constraint constraints.txt "$@" ||
        fail "the packages could not be installed; pip says why above. Most often the network is down or the disk is" \
            "full ($(free_space) left here; 3 GB are needed, 10 GB on Linux with CUDA). Then run this again."
}

venv_python=.venv/bin/python
case "$(uname -s)" in MINGW* | MSYS* | CYGWIN*) venv_python=.venv/Scripts/python.exe ;; esac

supported "$venv_python" || make_venv
say "Installing the packages of constraints.txt (some minutes the first time) …"
pip_install pip # `--group` needs a newer pip than Python 3.11 brings
pip_install --editable . --group dev

if [ "$(uname -s)" = Linux ]; then
    scripts/display.sh "$venv_python"
fi
say "The environment is ready."
