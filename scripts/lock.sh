#!/bin/sh
# Writes requirements/: what `make` and the image install, with hashes, for every Python that pyproject.toml allows.
#
#     scripts/lock.sh PYTHON     PYTHON has uv
#
# run.txt: what the programs import; test.txt, lint.txt, docs.txt: that and one extra of pyproject.toml; build.txt: what
# setup.py needs. lowest.txt: as test.txt, with the lowest versions that pyproject.toml allows of what the programs import.
set -eu
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND='make lock'

compile() {
    output=$1
    shift
    "$PYTHON" -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --output-file "requirements/$output" "$@"
}

PYTHON=$1
mkdir -p requirements
rm -f requirements/*.txt
compile run.txt pyproject.toml
for extra in test lint docs; do
    compile "$extra.txt" --extra "$extra" --constraint requirements/run.txt pyproject.toml
done
"$PYTHON" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
    | compile build.txt -
# lowest-direct means only what is named: what the programs import at its lowest, then the tests' own at their newest.
"$PYTHON" -m uv pip compile --quiet --universal --python-version 3.11 --resolution lowest-direct --no-annotate --no-header \
    pyproject.toml > requirements/lowest.in
compile lowest.txt --extra test --constraint requirements/lowest.in pyproject.toml
rm requirements/lowest.in
