"""What a row measured and found at fault, beyond what stands in the store."""

from dataclasses import dataclass, field

import msgspec

from bench.faults.oracle import Verdict
from bench.faults.report import Run


class RunFailed(Exception):
    """What the row asks for did not come about; the text says what was seen."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """What a row measured, beyond what stands in the store."""

    recovery_s: float | None = None
    drain_s: float | None = None
    notes: list[str] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)  # any of these and the run has not passed

    def expect(self, so: bool, otherwise: str) -> None:
        """Note a flaw unless it is so."""
        if not so:
            self.flaws.append(otherwise)


def judged_run(run: Run, verdict: Verdict, facts: Facts) -> Run:
    """The run with the oracle's verdict and the row's facts; it has passed where neither found a flaw."""
    flaws = [*verdict.notes, *facts.flaws]
    return msgspec.structs.replace(
        run,
        committed=verdict.committed,
        lost=verdict.lost,
        dup=verdict.dup,
        wrong=verdict.wrong,
        marked=verdict.marked,
        recovery_s=_rounded(facts.recovery_s),
        drain_s=_rounded(facts.drain_s),
        passed=verdict.clean and not flaws,
        why="; ".join(flaws)[:1500],
        notes="; ".join(facts.notes),
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
