#!/usr/bin/env bash
# Builds the Dockerfile's target cpu without a container engine and without a registry of images, as an archive that `docker load`,
# `podman load`, `ctr images import` and `skopeo copy docker-archive:` read:
#
#   build.sh ARCHIVE [OPTION OF BUILDAH]...     e.g. --volume /etc/ssl/certs:/etc/ssl/certs:ro
#
# Needs root and, of Debian 12: buildah debootstrap npm. The Dockerfile's steps are run as they are. Its base images are not those of
# Docker Hub: both are Debian's smallest system, one with Node.js and npm of npm's registry, one with Debian's own Python. Base images
# and finished steps are kept in IMAGE_CACHE (default: fullconv-image in the user's cache) for the next build. The image has no health
# check, which the format of OCI does not know.
set -euo pipefail
archive=$(realpath "${1:?a path for the archive}")
shift
project=$(cd "$(dirname "$0")/../.." && pwd)
cache=${IMAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fullconv-image}
# The name that docs/scale.md uses, and the chart's version.
name=registry.example.com/fullconv:$(sed -n 's/^appVersion: *//p' "$project/deploy/helm/fullconv/Chart.yaml")
debian=localhost/debian:bookworm
mkdir -p "$cache"
buildah() { command buildah --root "$cache/storage" --runroot "$cache/run" "$@"; }
is_there() { buildah inspect --type image "$1" > /dev/null 2>&1; }

# base_of STAGE: the image that the Dockerfile names for it.
base_of() { sed -n "s/^FROM \([^ ]*\) AS $1\$/\1/p" "$project/Dockerfile"; }
# make IMAGE FROM FUNCTION: an image, by a function that changes the root folder of a container.
make() {
  is_there "$1" && return
  local container
  container=$(buildah from "$2")
  "$3" "$(buildah mount "$container")"
  buildah unmount "$container" > /dev/null
  buildah commit --quiet --rm "$container" "$1"
}
debian_in() {
  debootstrap --variant=minbase --include=ca-certificates bookworm "$1"
  # As in Docker's Debian: what apt fetches and computes does not stay.
  echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; }; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' \
    > "$1/etc/apt/apt.conf.d/clean"
  rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb
}
node_in() {
  local version program
  version=$(base_of cpu) version=${version#node:} version=${version%%-*} program=node-linux-$(node -p process.arch)
  npm install --global --prefix "$1/usr/local" "$program@$version" npm@10
  mv "$1/usr/local/lib/node_modules/$program/bin/node" "$1/usr/local/bin/node"
  rm -r "$1/usr/local/lib/node_modules/$program"
}
python_in() {
  chroot "$1" apt-get update -qq
  chroot "$1" apt-get install -qq --yes --no-install-recommends python3 python3-pip
}

make $debian scratch debian_in
make "docker.io/library/$(base_of cpu)" $debian node_in
make "docker.io/library/$(base_of openvino)" $debian python_in
buildah build --isolation chroot --layers --pull-never --target cpu --tag "$name" "$@" "$project"
rm -f "$archive"
buildah push --quiet "$name" "docker-archive:$archive:$name"
echo "$name: $(du -h "$archive" | cut -f1)"
