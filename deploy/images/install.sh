#!/bin/sh
# Installs the Python environment of one image: install.sh IMAGE PREFIX WHEEL
#   IMAGE   ingest, worker-cpu, worker-gpu, query or train
#   PREFIX  the folder that becomes the virtual environment
#   WHEEL   what `uv build --wheel` made
# The Dockerfiles run it, and so do the tests, on a plain machine. Exact versions come from constraints.txt, which lies
# beside this script in an image and at the root in a repository. $UV names uv where it is not on the path.
set -eu
image=$1 prefix=$2 wheel=$3
here=$(cd "$(dirname "$0")" && pwd)
constraints=$here/constraints.txt
[ -f "$constraints" ] || constraints=$here/../../constraints.txt
uv=${UV:-uv}

case $image in
  ingest | worker-cpu) extras=kafka,redis,otlp ;;
  worker-gpu) extras=kafka,redis,otlp,gpu ;;
  train) extras=train ;;
  query) extras= ;;
  *) echo "install.sh: no image $image; wanted ingest, worker-cpu, worker-gpu, query or train" >&2; exit 2 ;;
esac

"$uv" venv -q --python "${PYTHON:-python3}" --no-python-downloads "$prefix"
install() { "$uv" pip install -q --python "$prefix/bin/python" -c "$constraints" --compile-bytecode "$@"; }
if [ "$image" = query ]; then
  # Serving needs neither decoders nor nets: the wheel without its dependencies, and those of `query` alone.
  install -r "$here/query.txt"
  install --no-deps "$wheel"
else
  install "${wheel}[$extras]"
fi
