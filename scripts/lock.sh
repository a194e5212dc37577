#!/bin/sh
# Writes requirements/: what `make` and the image install, with hashes, for every Python that pyproject.toml allows.
#
#     scripts/lock.sh PYTHON     PYTHON has uv
#
# run.txt: what the client and the programs import; test.txt: all that an extra of pyproject.toml names; lint.txt, docs.txt:
# run.txt and the extra of that name; build.txt: what setup.py needs. lowest.txt: as test.txt, with the lowest versions that
# pyproject.toml allows of what is imported.
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
compile run.txt --extra admin pyproject.toml
compile test.txt --extra test --extra all --constraint requirements/run.txt pyproject.toml
for extra in lint docs; do
    compile "$extra.txt" --extra "$extra" --extra admin --constraint requirements/test.txt pyproject.toml
done
"$PYTHON" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
    | compile build.txt -
# lowest-direct means only what is named: what is imported at its lowest, then the tests' own at their newest.
"$PYTHON" -m uv pip compile --quiet --universal --python-version 3.11 --resolution lowest-direct --no-annotate --no-header \
    --extra all pyproject.toml > requirements/lowest.in
compile lowest.txt --extra test --extra all --constraint requirements/lowest.in pyproject.toml
rm requirements/lowest.in
