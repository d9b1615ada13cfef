#!/bin/sh
# Builds the images: build.sh cpu|gpu|all. $PYTHON_DIGEST names the base; without it the digest is asked of the registry
# and printed. $REGISTRY goes before the names, $ENGINE is docker or podman.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
  cpu) images="ingest worker-cpu query" ;;
  gpu) images="ingest worker-gpu query" ;;
  all) images="ingest worker-cpu worker-gpu query train" ;;
  *) echo "build.sh: wanted cpu, gpu or all" >&2; exit 2 ;;
esac
engine=${ENGINE:-docker} base=docker.io/library/python:3.11-slim-bookworm
count=$(find dist -name 'mien-*.whl' 2>/dev/null | wc -l)
[ "$count" = 1 ] || { echo "build.sh: $count wheels in dist/; wanted one: make wheel" >&2; exit 2; }
version=$(find dist -name 'mien-*.whl' | sed 's/.*mien-\([^-]*\)-.*/\1/')
digest=${PYTHON_DIGEST:-$("$engine" buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')}
prefix=${REGISTRY:+$REGISTRY/}
[ -n "$prefix" ] || prefix=mien-
echo "base $base@$digest"
for image in $images; do
  "$engine" build --build-arg "PYTHON_DIGEST=$digest" -f "deploy/images/$image.Dockerfile" \
    -t "$prefix$image:$version" .
done
