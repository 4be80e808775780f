"""The kinds of servers that there are, and how far a user may have one otherwise.

An operator describes them in a file of JSON. Whoever asks for a server names one, and may narrow
what it gives; nobody can widen it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from rexec_deploy_api.environments import Environment
from rexec_deploy_api.records import Spec, Volume
from rexec_jupyter.core.quantities import duration, size, written_duration, written_size
from rexec_jupyter.web.settings import SettingsError

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What decides how the user's code and the server find their parts.
_RESERVED: Final = re.compile(r"(REXEC_|LD_|PYTHON|UV_|KUBERNETES_).*|PATH|HOME|TMPDIR|VIRTUAL_ENV")
_MOST_VARIABLES: Final = 64
_LONGEST_VALUE: Final = 4096


class NotAllowedError(ValueError):
    """A profile does not give what was asked for; the text says what it gives."""


def _bytes(value: object) -> object:
    return size(value) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    return duration(value) if isinstance(value, str) else value


def _variables(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no name of an environment variable")
        if _RESERVED.fullmatch(name.upper()):
            raise ValueError(f"the environment variable {name} is reserved")
        if "\0" in text or len(text) > _LONGEST_VALUE:
            raise ValueError(f"the value of {name} is too long, or holds a NUL character")
    if len(value) > _MOST_VARIABLES:
        raise ValueError(f"there are more than {_MOST_VARIABLES} environment variables")
    return value


Cores = Annotated[float, Field(ge=0, le=4096, allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0, le=1 << 50)]
Devices = Annotated[int, Field(ge=0, le=64)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=3.2e8, allow_inf_nan=False)]


class _Strict(BaseModel):
    """Takes what it knows, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Mount(_Strict):
    """Storage that is there already; see `records.Volume`."""

    claim: str = Field(min_length=1, max_length=253)
    path: str = Field(pattern=r"^/[^\x00]*$", max_length=1024)
    read_only: bool = True


class Profile(_Strict):
    """One kind of server.

    Attributes
    ----------
    name, description
        How users call it, and what it is for.
    image, images
        The image of the user's code, and others that a user may have in its place.
    python
        Minor version of the user's code unless they ask for one; empty for that of the image.
    warm
        How many servers of it are kept ready for whoever comes next.
    cpu, memory, gpu
        Cores, bytes and devices; 0 cores or bytes: no limit.
    environment
        Variables of the user's code.
    home
        Bytes of a home directory that outlives the server.
    volumes, node_selector
        As in `records.Spec`.
    idle_timeout, orphan_timeout, max_lifetime, start_timeout
        Seconds, 0 for none except for the last; None for what the operator set for all.
    """

    name: str = "default"
    description: str = Field(default="", max_length=1000)
    image: str = ""
    images: tuple[str, ...] = ()
    python: str = Field(default="", pattern=r"^(3\.[0-9]{1,2})?$")
    cpu: Cores = 0.0
    memory: Bytes = 0
    gpu: Devices = 0
    warm: int = Field(default=0, ge=0, le=100)
    environment: dict[str, str] = {}
    home: Bytes = 0
    volumes: tuple[Mount, ...] = ()
    node_selector: dict[str, str] = {}
    idle_timeout: Seconds | None = None
    orphan_timeout: Seconds | None = None
    max_lifetime: Seconds | None = None
    start_timeout: Annotated[Seconds, Field(gt=0)] | None = None

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a name has lower-case letters, digits and '-', up to 40 of them")
        return name

    @model_validator(mode="after")
    def _of_nobody(self) -> Self:
        if self.warm and (self.home or self.volumes):
            raise ValueError("what is kept ready is nobody's yet, so it has no home and no volumes")
        return self

    @field_validator("image", "images")
    @classmethod
    def _of_image(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for each in (value,) if isinstance(value, str) else value:
            if each and not _IMAGE.fullmatch(each):
                raise ValueError(f"{each[:60]!r} is no name of an image")
        return value

    @field_validator("environment")
    @classmethod
    def _harmless(cls, value: dict[str, str]) -> dict[str, str]:
        _variables(value)
        return value


class Wanted(_Strict):
    """What a user asks for beside the profile; None for what the profile gives."""

    image: str | None = Field(default=None, max_length=512)
    cpu: Cores | None = None
    memory: Bytes | None = None
    gpu: Devices | None = None
    environment: dict[str, str] = {}
    idle_timeout: Seconds | None = None
    orphan_timeout: Seconds | None = None
    max_lifetime: Seconds | None = None

    @field_validator("environment")
    @classmethod
    def _harmless(cls, value: dict[str, str]) -> dict[str, str]:
        _variables(value)
        return value


class Clocks(_Strict):
    """Timeouts for profiles that set none."""

    idle_timeout: float = 0.0
    orphan_timeout: float = 0.0
    max_lifetime: float = 0.0
    start_timeout: float = 300.0


class Profiles(_Strict):
    """All kinds of servers that there are.

    Attributes
    ----------
    default
        Name of the one for those who name none; empty for the first.
    profiles
        All of them.
    """

    default: str = ""
    profiles: tuple[Profile, ...] = (Profile(),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [profile.name for profile in self.profiles]
        if not names:
            raise ValueError("there is no profile")
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"there is more than one profile {double[0]!r}")
        if self.default and self.default not in names:
            raise ValueError(f"the default profile {self.default!r} is not among the profiles")
        return self

    @property
    def first(self) -> str:
        """Name of the profile for those who name none."""
        return self.default or self.profiles[0].name

    def named(self, name: str) -> Profile:
        """Return a profile; that for those who name none if `name` is empty.

        Raises
        ------
        NotAllowedError
            If there is none of this name.
        """
        name = name or self.first
        found = next((profile for profile in self.profiles if profile.name == name), None)
        if found is None:
            names = ", ".join(profile.name for profile in self.profiles)
            raise NotAllowedError(f"There is no profile {name[:60]!r}; there are: {names}.")
        return found


def read_profiles(path: Path | None, clocks: Clocks) -> Profiles:
    """Return what a file describes, its gaps filled from `clocks`; without a file, one profile.

    Raises
    ------
    SettingsError
        If it cannot be read, or something in it cannot be.
    """
    told = Profiles()
    if path is not None:
        try:
            told = Profiles.model_validate(_listed(json.loads(path.read_bytes())))
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_url=False)
            raise SettingsError(
                f"the profiles in {path}: " + "; ".join(_sentence(item) for item in wrong[:5])
            ) from None
        except OSError as error:
            raise SettingsError(f"the profiles in {path}: {error.strerror}") from None
        except ValueError as error:
            raise SettingsError(f"the profiles in {path} are not JSON: {error}") from None
    filled = tuple(_timed(profile, clocks) for profile in told.profiles)
    return told.model_copy(update={"profiles": filled})


def spec_of(
    profile: Profile, wanted: Wanted, environment: Environment, *, python: str = ""
) -> Spec:
    """Return what a server is to be.

    Parameters
    ----------
    profile
        One that `read_profiles` returned.
    wanted
        What is to be otherwise.
    environment
        The user's packages.
    python
        Minor version of the image that servers have unless something else is said.

    Raises
    ------
    NotAllowedError
        If the profile does not give that.
    """
    _check_variables(profile, wanted)
    image = _image(profile, wanted.image)
    environment = replace(environment, python=environment.python or profile.python)
    if not environment.lines and not image and environment.python == python:
        environment = replace(environment, python="")  # it is there already
    return Spec(
        profile=profile.name,
        image=image,
        python=environment.python,
        requirements=environment.lines,
        requirements_digest=environment.digest,
        cpu=_at_most("cpu", profile, wanted, str),
        memory=int(_at_most("memory", profile, wanted, lambda value: written_size(int(value)))),
        gpu=profile.gpu if wanted.gpu is None else _devices(profile, wanted.gpu),
        environment={**profile.environment, **wanted.environment},
        home=profile.home,
        volumes=tuple(Volume(**mount.model_dump()) for mount in profile.volumes),
        node_selector=dict(profile.node_selector),
        idle_timeout=_at_most("idle_timeout", profile, wanted, written_duration),
        orphan_timeout=_at_most("orphan_timeout", profile, wanted, written_duration),
        max_lifetime=_at_most("max_lifetime", profile, wanted, written_duration),
        start_timeout=profile.start_timeout or Clocks().start_timeout,
    )


def _at_most(field: str, profile: Profile, wanted: Wanted, written: Any) -> float:
    """Return what is wanted of something that 0 does not limit, if it is no more than there is."""
    given = float(getattr(profile, field) or 0)
    asked = getattr(wanted, field)
    if asked is None:
        return given
    if given and (not asked or asked > given):
        what = written(asked) if asked else "no limit"
        raise NotAllowedError(
            f"{field}: {what} is more than the {written(given)} of the profile {profile.name!r}."
        )
    return float(asked)


def _devices(profile: Profile, asked: int) -> int:
    if asked > profile.gpu:
        raise NotAllowedError(
            f"gpu: {asked} is more than the {profile.gpu} of the profile {profile.name!r}."
        )
    return asked


def _image(profile: Profile, asked: str | None) -> str:
    if asked is None or asked == profile.image:
        return profile.image
    if asked not in profile.images:
        others = ", ".join(filter(None, (profile.image, *profile.images))) or "its own alone"
        raise NotAllowedError(
            f"image: the profile {profile.name!r} does not have {asked[:100]!r}; it has: {others}."
        )
    return asked


def _check_variables(profile: Profile, wanted: Wanted) -> None:
    if fixed := sorted(profile.environment.keys() & wanted.environment.keys()):
        raise NotAllowedError(
            f"environment: the profile {profile.name!r} sets {fixed[0]} itself; leave it out."
        )


def _timed(profile: Profile, clocks: Clocks) -> Profile:
    missing = {
        name: value for name, value in clocks.model_dump().items() if getattr(profile, name) is None
    }
    return profile.model_copy(update=missing)


def _listed(told: Any) -> Any:
    # A bare list of profiles says enough.
    return {"profiles": told} if isinstance(told, list) else told


def _sentence(item: Mapping[str, Any]) -> str:
    loc: Sequence[object] = item["loc"]
    where = ".".join(str(part) for part in loc)
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
