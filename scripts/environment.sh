#!/bin/sh
# Makes the virtual environment that `make` works in, or makes it anew where it no longer fits.
#
#     scripts/environment.sh FOLDER [PYTHON]
#
# Without PYTHON an environment that works is kept; a new one is made by the first Python of 3.11 or later on PATH, or
# of pyenv. With PYTHON it is made anew if another Python made it. It is made anew, too, if its interpreter is gone or
# has become another version, and if the tree has moved: its scripts and the installed packages name their folder.
# FOLDER/made has what it was made for; its time changes only when the environment does.
set -eu

folder=$1
python=${2:-}

# What an environment of the Python $1 is made for.
describe() {
    "$1" -c 'import sys
assert sys.version_info >= (3, 11)
print(sys.implementation.cache_tag + sys.abiflags, sys.base_prefix)' 2>/dev/null
}

first_python() {
    for each in python3 python3.14 python3.13 python3.12 python3.11 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
        if describe "$each" >/dev/null; then
            echo "$each"
            return
        fi
    done
}

# $1, or where that is a name that pyenv has a shim for but does not have in use (python3.13), the one of pyenv.
resolve() {
    for each in "$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/${1#python}"*/bin/python3; do
        if describe "$each" >/dev/null; then
            echo "$each"
            return
        fi
    done
    echo "$1"
}

if [ -n "$python" ]; then
    python=$(resolve "$python")
    wanted=$(describe "$python") || {
        echo "PYTHON=$python is no Python of 3.11 or later that can be run here" >&2
        exit 1
    }
fi
if [ -e "$folder" ]; then
    found=$(describe "$folder/bin/python") || found=
    if [ -z "$found" ]; then
        trouble='has no interpreter that works'
    elif [ "$found in $PWD" != "$(cat "$folder/made" 2>/dev/null)" ]; then
        trouble='was made for another Python or another folder'
    elif [ -n "$python" ] && [ "$wanted" != "$found" ]; then
        trouble="was made by another Python than $python"
    else
        exit 0
    fi
    echo "$folder $trouble: it is made anew" >&2
    # Nothing is removed that is no environment.
    if [ ! -e "$folder/pyvenv.cfg" ] && [ -n "$(ls -A "$folder")" ]; then
        echo "$folder is no virtual environment: it is left alone" >&2
        exit 1
    fi
    rm -rf "$folder"
fi
python=${python:-$(first_python)}
if [ -z "$python" ]; then
    echo 'Python 3.11 or later is needed; PYTHON=/path/to/python names one' >&2
    exit 1
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || {
    echo "$python cannot make environments; on Debian: apt install python3-venv" >&2
    exit 1
}
"$python" -m venv "$folder"
echo "$(describe "$folder/bin/python") in $PWD" > "$folder/made"
