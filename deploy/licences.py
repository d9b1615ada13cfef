"""`python -m deploy.licences [EXTRA…]`: the licence of everything that `mien[EXTRA…]` installs, from its metadata."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

_CLASSIFIER = "License :: OSI Approved :: "
# Licences that would bind whoever passes Mien on; libraries under them need a decision record first.
COPYLEFT = re.compile(r"\b(AGPL|GPL|SSPL|Affero|GNU General Public)", re.IGNORECASE)
LESSER = re.compile(r"\bLGPL|Lesser", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package."""

    name: str
    version: str
    licence: str

    @property
    def is_copyleft(self) -> bool:
        """Whether it is under GPL, AGPL or SSPL alone; a choice that holds another licence counts as that one."""
        choices = re.split(r"\s+OR\s+", self.licence)
        return all(COPYLEFT.search(each) and not LESSER.search(each) for each in choices)


def packages(extras: Iterable[str], root: str = "mien") -> list[Package]:
    """Return everything that `root[extras]` needs and that is installed here, by name."""
    found: dict[str, Package] = {}
    waiting = [(root, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (_plain(name), wanted) in seen:
            continue
        seen.add((_plain(name), wanted))
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform
        if name != root:
            found[_plain(name)] = Package(there.name, there.version, licence_of(there))
        waiting += [(need.name, frozenset(need.extras)) for need in _needs(there, wanted)]
    return [found[name] for name in sorted(found)]


def licence_of(package: Distribution) -> str:
    """Return the licence: its SPDX expression, its classifiers, the first line of its text, or `unknown`."""
    metadata = package.metadata
    if "License-Expression" in metadata:
        return str(metadata["License-Expression"])
    classified = [
        each.removeprefix(_CLASSIFIER) for each in metadata.get_all("Classifier") or [] if _CLASSIFIER in each
    ]
    if classified:
        return ", ".join(classified)
    text = str(metadata["License"]).strip() if "License" in metadata else ""
    return text.splitlines()[0][:60] if text else "unknown"


def _needs(package: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for text in package.requires or []:
        need = Requirement(text)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if need.marker is None or any(need.marker.evaluate(environment) for environment in environments):
            yield need


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print the table; return 1 where a licence is copyleft."""
    every = packages(sys.argv[1:])
    for each in every:
        print(f"{each.name:40} {each.version:16} {each.licence}")
    bound = [each.name for each in every if each.is_copyleft]
    if bound:
        print(f"copyleft: {', '.join(bound)}", file=sys.stderr)
    return 1 if bound else 0


if __name__ == "__main__":
    sys.exit(main())
