"""From a profile of a deploy API to the fields of a form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rexec_jupyter.labapp.messages import Field, Profile, Profiles

_GIB = float(1 << 30)
_MINUTE = 60.0
_CLOCKS = (
    ("idle_timeout", "Ends when idle for", "Minutes without a job, after which it ends."),
    ("orphan_timeout", "Ends when left for", "Minutes without anybody connected."),
    ("max_lifetime", "Lasts at most", "Minutes after which it ends whatever it does."),
)
OPTIONS = frozenset(("cpu", "memory", "gpu", "python", "image", *(name for name, _, _ in _CLOCKS)))
"""What a server can be asked to be."""
EMBEDDED = Profiles(
    profiles=[Profile(name="default", description="The server of this computer.")],
    several=False,
    requirements=False,
)


def forms(profiles: Iterable[dict[str, Any]]) -> Profiles:
    """Return the forms of all profiles that there are."""
    return Profiles(
        profiles=[
            Profile(
                name=str(profile.get("name") or ""),
                description=str(profile.get("description") or ""),
                fields=list(_fields(profile)),
            )
            for profile in profiles
        ]
    )


def _fields(profile: dict[str, Any]) -> Iterator[Field]:
    yield Field(
        name="cpu",
        title="Cores",
        kind="number",
        help="Processors; parts of one are possible.",
        default=_number(profile.get("cpu"), 1),
        maximum=_amount(profile, "cpu"),
        unit="cores",
    )
    yield Field(
        name="memory",
        title="Memory",
        kind="number",
        default=_number(profile.get("memory"), _GIB),
        maximum=round(_amount(profile, "memory") / _GIB, 3),
        unit="GiB",
        factor=_GIB,
    )
    if gpus := _amount(profile, "gpu"):
        yield Field(
            name="gpu", title="GPUs", kind="integer", default=f"{gpus:g}", maximum=gpus, unit="GPUs"
        )
    yield Field(
        name="python",
        title="Python",
        kind="text",
        help="Such as 3.12; functions need the version of the notebook.",
        default=str(profile.get("python") or ""),
    )
    if images := [str(image) for image in profile.get("images") or ()]:
        own = str(profile.get("image") or "")
        yield Field(
            name="image",
            title="Image",
            kind="text",
            default=own,
            choices=list(dict.fromkeys([*filter(None, [own]), *images])),
        )
    for name, title, told in _CLOCKS:
        yield Field(
            name=name,
            title=title,
            kind="number",
            help=told,
            default=_number(profile.get(name), _MINUTE),
            maximum=round(_amount(profile, name) / _MINUTE, 3),
            unit="minutes",
            factor=_MINUTE,
        )


def _amount(profile: dict[str, Any], name: str) -> float:
    value = profile.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _number(value: Any, factor: float) -> str:
    return f"{round(float(value) / factor, 3):g}" if value else ""
