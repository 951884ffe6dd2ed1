#!/bin/sh
# Usage: make_venv.sh PYTHON FOLDER. A virtual environment with pip, from Python 3.11 only: the pins are for it.
set -eu
python=$1 folder=$2
command -v "$python" >/dev/null 2>&1 || python=python3
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
if [ "$version" != 3.11 ]; then
    echo "konsil: Python 3.11 is needed; $python is $version. Install it or say where it is: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "konsil: this Python lacks venv; installing the package python3.11-venv" >&2
    sh "$(dirname "$0")/apt_install.sh" python3.11-venv
fi
[ -x "$folder/bin/pip" ] || "$python" -m venv --clear "$folder"
