"""Who asks: what a service knows of the owner of a valid token."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

# What an identity service may send along that nobody else should see, by name without `_` and `-`.
_SECRET_NAMES: Final = frozenset(
    (
        "accesstoken",
        "apikey",
        "authorization",
        "clientsecret",
        "credential",
        "credentials",
        "idtoken",
        "jwt",
        "password",
        "refreshtoken",
        "secret",
        "token",
    )
)
_LONGEST_SUBJECT: Final = 255
_DEEPEST: Final = 32


class MalformedIdentityError(ValueError):
    """What was said of the owner of a token cannot be understood; the text says why."""


class NoSubjectError(MalformedIdentityError):
    """Nothing tells one owner of a token from another."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of a valid token.

    Attributes
    ----------
    sub
        What tells this person from all others, for ever.
    username
        What people call them; empty if it is not known.
    email
        Their address, if it is known.
    roles, groups
        Names as the identity service writes them; `roles.Access` knows what they mean.
    claims
        Everything the identity service said, without secrets.
    """

    sub: str
    username: str = ""
    email: str | None = None
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )

    @property
    def user_id(self) -> str:
        """What stands for this person in the catalog; it does not tell who they are."""
        return hashlib.sha256(self.sub.encode()).hexdigest()[:16]

    @property
    def creator_md5(self) -> str:
        """The same in the form that older catalogs hold."""
        return hashlib.md5(self.sub.encode(), usedforsecurity=False).hexdigest()


def identity_from(claims: Mapping[str, Any], *, token: str = "") -> Identity:
    """Return the identity that an identity service, or a verified token, tells of.

    Parameters
    ----------
    claims
        What was said.
    token
        The token it was said of, which the identity does not hold even if it was echoed.

    Raises
    ------
    NoSubjectError
        If there is no subject.
    MalformedIdentityError
        If what there is has the wrong type. Nothing is guessed: a right could come of it.
    """
    return Identity(
        sub=_subject(claims),
        username=_text(claims.get("username")) or _text(claims.get("preferred_username")) or "",
        email=_text(claims.get("email")),
        roles=frozenset(role for role in _listed(claims, "roles") if isinstance(role, str)),
        groups=frozenset(group_names(claims)),
        claims=MappingProxyType(_shown(claims, token)),
    )


def group_names(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield the groups of somebody in the order in which the identity service lists them."""
    for group in _listed(claims, "groups"):
        if isinstance(group, Mapping):
            named = _text(group.get("path")) or _text(group.get("name"))
        else:
            named = _text(group)
        if named:
            yield named


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if subject is None:
        raise NoSubjectError("it names no subject")
    if not isinstance(subject, str) or not subject.strip():
        raise MalformedIdentityError("its subject is not a text")
    if len(subject) > _LONGEST_SUBJECT or not subject.isprintable():
        raise MalformedIdentityError("its subject is too long or not printable")
    return subject


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _listed(claims: Mapping[str, Any], name: str) -> list[Any]:
    value = claims.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise MalformedIdentityError(f"its {name} are not a list")
    return list(value)


def _shown(claims: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Return what may be shown of the claims, which is sure to be JSON that others can read."""
    shown = _without_secrets(claims, token, _DEEPEST)
    try:
        json.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise MalformedIdentityError("it holds what JSON cannot express") from None
    return shown


def _without_secrets(claims: Mapping[str, Any], token: str, deep: int) -> dict[str, Any]:
    return {
        name: _cleared(value, token, deep)
        for name, value in claims.items()
        if not _is_secret(name, token)
    }


def _cleared(value: Any, token: str, deep: int) -> Any:
    if not deep:
        raise MalformedIdentityError("it is nested too deep")
    if isinstance(value, Mapping):
        return _without_secrets(value, token, deep - 1)
    if isinstance(value, list | tuple):
        return [_cleared(item, token, deep - 1) for item in value]
    if isinstance(value, str) and token and token in value:
        return value.replace(token, "[removed]")
    return value


def _is_secret(name: str, token: str) -> bool:
    plain = name.casefold().replace("_", "").replace("-", "")
    return plain in _SECRET_NAMES or bool(token and token in name)
