"""`python -m deploy.check`: render everything, validate it, and ask a real API server where one is built.

python -m deploy.check            # the API server is asked if it was built before
python -m deploy.check --build    # … and is built first (five minutes on two free cores, once)
python -m deploy.check --no-server
"""

import argparse
import sys
import time
from collections.abc import Iterable

from deploy.check import control_plane, rendering, rules, schemas
from deploy.check.rendering import Manifest
from deploy.check.tools import CheckFailed, Tools, tools


def main() -> int:
    """Return 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m deploy.check", description=__doc__.splitlines()[0])
    parser.add_argument("--build", action="store_true", help="build etcd and kube-apiserver if they are not built")
    parser.add_argument("--no-server", action="store_true", help="leave the API server out, even if it is built")
    given = parser.parse_args()
    try:
        found = _check(given.build, given.no_server)
    except CheckFailed as error:
        found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def _check(build: bool, no_server: bool) -> list[str]:
    begun = time.perf_counter()
    brought = tools()
    rendered = {case.name: case.render(brought) for case in rendering.cases()}
    found = [f"{name}: {problem}" for name, documents in rendered.items() for problem in rules.problems(documents)]
    documents = distinct(rendered.values())
    print(f"{len(rendered)} renderings, {len(documents)} distinct documents", flush=True)
    found += schemas.problems(brought, documents)
    print(
        f"schemas of Kubernetes {', '.join(schemas.MINORS)} and {len(schemas.custom_schemas())} custom kinds",
        flush=True,
    )
    programs = None if no_server else control_plane.build() if build else control_plane.built()
    if programs:
        found += _asked(programs, brought, rendered.values())
    elif not no_server:
        print("no API server is built, so none was asked; `make check-deploy ARGS=--build` builds it once")
    print(f"{len(found)} problems in {time.perf_counter() - begun:.0f} s")
    return found


def _asked(programs: control_plane.Programs, brought: Tools, rendered: Iterable[list[Manifest]]) -> list[str]:
    documents = distinct(rendered)
    with control_plane.running(programs, brought) as server:
        (namespace,) = (each for each in documents if each["kind"] == "Namespace")
        server.apply_namespace(namespace)
        found = server.problems(documents)
    print(f"a real API server was asked about {len(documents)} documents", flush=True)
    return found


def distinct(rendered: Iterable[list[Manifest]]) -> list[Manifest]:
    """Return every document once, in the order of their first appearance."""
    seen: dict[str, Manifest] = {}
    for documents in rendered:
        for each in documents:
            seen.setdefault(repr(each), each)
    return list(seen.values())


if __name__ == "__main__":
    sys.exit(main())
