"""What ``--explain`` shows: where a cell would run and what would go along. Sends nothing."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rexec_jupyter.capture.choice import Capture
from rexec_jupyter.capture.refusals import shadowing
from rexec_jupyter.core.errors import RexecError
from rexec_jupyter.core.versions import PYTHON, installed, minor
from rexec_jupyter.widget.status import size
from rexec_jupyter.widget.table import Column, Facts, Table

if TYPE_CHECKING:
    from rexec_jupyter.core.client import Client

_COLUMNS = (
    Column("name", "would be sent"),
    Column("type", "type"),
    Column("nbytes", "size", size, right=True),
    Column("why", "why"),
)


class Explanation:
    """Where a cell would run, and what would go along.

    Attributes
    ----------
    facts
        What is to be said of the whole, by heading.
    sent
        Names that would be sent, with type, size and reason.
    problem
        Why nothing could be sent; else empty.
    """

    def __init__(self, facts: dict[str, str], sent: Table, problem: str = "") -> None:
        self.facts = Facts(facts)
        self.sent = sent
        self.problem = problem

    def __repr__(self) -> str:
        return f"{self.facts}\n\n{self.problem or self.sent}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001 - IPython's protocol
        printer.text(repr(self))

    def _repr_html_(self) -> str:
        problem = f"<pre>{html.escape(self.problem)}</pre>"
        rest = problem if self.problem else self.sent._repr_html_()
        return self.facts._repr_html_() + rest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for; each is an option of a cell."""

    session: str
    profile: str
    fresh: bool
    out: Mapping[str, str]
    env: Mapping[str, str]
    max_send: int


@dataclass(frozen=True, slots=True)
class There:
    """What is known of the session.

    Attributes
    ----------
    state
        In words; empty if it is not known.
    packages
        Versions by package, as `versions.installed` gives them; empty if they are not known.
    """

    state: str = ""
    packages: Mapping[str, str | None] = field(default_factory=dict)


def explain(
    chosen: Capture | RexecError,
    plan: Plan,
    client: Client | None,
    there: There,
    packages: Iterable[str],
) -> Explanation:
    """Tell what would happen.

    Parameters
    ----------
    chosen
        What would go along, or why nothing can.
    plan
        What is asked for.
    client
        The connection, if there is one already.
    there
        What is known of the session.
    packages
        Packages that the cell uses.
    """
    state = f" ({there.state})" if there.state else ""
    fresh = "a new process, which ends with the cell"
    facts = {
        "session": fresh if plan.fresh else plan.session + state,
        "profile": plan.profile or "default",
    }
    if isinstance(chosen, RexecError):
        facts |= _versions(client) | _packages(there, packages)
        return Explanation(facts, Table(), str(chosen))
    imports = [name for name, item in chosen.items.items() if item.imported]
    facts |= _listed("imports", imports)
    facts |= _listed("there already", chosen.held)
    facts |= _listed("the session's own", chosen.own)
    facts |= _listed("other value here", chosen.conflicts)
    facts |= _listed("maybe another here", chosen.compared)
    for user, used in chosen.shadowed.items():
        facts[user] = shadowing(user, used)
    facts |= _listed("assumed to be there", chosen.unresolved)
    facts |= _listed("environment", plan.env)
    facts |= _listed("brought back", plan.out.values())
    rows = [
        {"name": name, "type": item.kind, "nbytes": item.nbytes, "why": item.why}
        for name, item in chosen.items.items()
        if not item.imported
    ]
    limit = f" of at most {size(plan.max_send)}" if plan.max_send else ""
    total = f"{size(chosen.nbytes)}{limit}" if rows else ""
    table = Table(rows, _COLUMNS, empty="Nothing would be sent.", note=total)
    return Explanation(facts | _versions(client) | _packages(there, packages), table)


def used_packages(imports: Iterable[str], chosen: Capture | RexecError) -> set[str]:
    """Return the packages that a cell imports, or of which something goes along."""
    kinds = [] if isinstance(chosen, RexecError) else [i.package for i in chosen.items.values()]
    return {*imports, *filter(None, kinds)} - sys.stdlib_module_names - {"__main__"}


def _listed(heading: str, names: Any) -> dict[str, str]:
    every: Sequence[str] = list(names)
    return {heading: ", ".join(every)} if every else {}


def _versions(client: Client | None) -> dict[str, str]:
    servers = client.status().servers if client is not None else []
    pythons = [server.python for server in servers if server.python]
    if not pythons:
        return {"Python": f"{PYTHON} here; there it is known once it is connected"}
    there = minor(pythons[0])
    if there == PYTHON:
        return {"Python": f"{there} on both sides"}
    return {
        "Python": f"{there} there, {PYTHON} here: functions and classes of the notebook that "
        "go along may not work there"
    }


def _packages(there: There, packages: Iterable[str]) -> dict[str, str]:
    wanted = sorted(packages)
    if not wanted:
        return {}
    if not there.packages:
        told = "compared once the session runs and is idle: "
        return {"packages": told + ", ".join(wanted)}
    here = installed(wanted)
    return {"packages": "; ".join(_compared(name, there.packages, here) for name in wanted)}


def _compared(name: str, there: Mapping[str, str | None], here: Mapping[str, str | None]) -> str:
    if there.get(name) is None:
        return f"{name} is missing there"
    if there[name] == here[name]:
        return f"{name} {there[name]}".strip()
    if here[name] is None:
        return f"{name} {there[name]} there, missing here".replace("  ", " ")
    return f"{name} {there[name] or '?'} there, {here[name] or '?'} here"
