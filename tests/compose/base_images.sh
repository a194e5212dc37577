#!/usr/bin/env bash
# Makes the two images that the Dockerfile builds on, from Debian packages, where no image registry can be reached:
# one with Python alone, and one with a compiler on top. Prints their names, in this order; does nothing where the
# engine has them already. Needs root and debootstrap; a mirror other than Debian's own in DEBIAN_MIRROR.
set -euo pipefail

SUITE=bookworm
# Raise the number when the packages below change: the old images are then left alone.
RUN_IMAGE=nsq-trio-test-run:$SUITE-1
BUILD_IMAGE=nsq-trio-test-build:$SUITE-1
RUN_PACKAGES=python3,python3-venv,ca-certificates
BUILD_PACKAGES=(gcc libc6-dev python3-dev)

exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

if ! exists "$RUN_IMAGE" || ! exists "$BUILD_IMAGE"; then
    command -v debootstrap >/dev/null || { echo 'debootstrap is needed; on Debian: apt install debootstrap' >&2; exit 1; }
    root=$(mktemp -d "${TMPDIR:-/tmp}/nsq-base.XXXXXX")
    trap 'rm -rf "$root"' EXIT
    chmod 755 "$root"
    debootstrap --variant=minbase --include="$RUN_PACKAGES" "$SUITE" "$root" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
    tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . | docker import - "$RUN_IMAGE" >&2
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends \
        "${BUILD_PACKAGES[@]}" >&2
    tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . | docker import - "$BUILD_IMAGE" >&2
fi
echo "$RUN_IMAGE"
echo "$BUILD_IMAGE"
