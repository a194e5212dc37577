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

# A signal, or the end of whoever called this, ends what runs and removes what was made: bash would act on a signal only
# after the command that runs, and leave its children alone.
child=
root=
run() {
    "$@" &
    child=$!
    wait "$child"
    child=
}

end_tree() {
    local each
    for each in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        end_tree "$each"
    done
    kill "$1" 2>/dev/null || true
}

clean_up() {
    [ -z "$child" ] || end_tree "$child"
    [ -z "$root" ] || rm -rf "$root"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

if ! exists "$RUN_IMAGE" || ! exists "$BUILD_IMAGE"; then
    command -v debootstrap >/dev/null || { echo 'debootstrap is needed; on Debian: apt install debootstrap' >&2; exit 1; }
    root=$(mktemp -d "${TMPDIR:-/tmp}/nsq-base.XXXXXX")
    chmod 755 "$root"
    run debootstrap --variant=minbase --include="$RUN_PACKAGES" "$SUITE" "$root" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >&2
    tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . | docker import - "$RUN_IMAGE" >&2
    run env DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends \
        "${BUILD_PACKAGES[@]}" >&2
    tar -C "$root" --exclude='./var/cache/apt/archives/*.deb' -c . | docker import - "$BUILD_IMAGE" >&2
fi
echo "$RUN_IMAGE"
echo "$BUILD_IMAGE"
