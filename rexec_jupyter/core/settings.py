"""What can be set from outside: environment variables that start with ``REXEC_``."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from rexec_jupyter.core import protocol as p
from rexec_jupyter.core.errors import NotConfiguredError


class Settings(Struct, frozen=True, kw_only=True):
    """Settings of a client.

    Attributes
    ----------
    url
        ``REXEC_URL``: what `rexec_jupyter.connect` connects to if it is not told; empty or
        ``local`` for the embedded backend.
    lost_after
        ``REXEC_LOST_AFTER``: seconds without the backend after which waiting jobs end with an
        error. They may go on where they run.
    """

    url: str = ""
    lost_after: float = p.LOST

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read them.

        Raises
        ------
        NotConfiguredError
            If a variable cannot be understood.
        """
        values = {
            field: environment[name]
            for field in cls.__struct_fields__
            if (name := f"REXEC_{field.upper()}") in environment
        }
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise NotConfiguredError(
                f"The environment variables REXEC_… cannot be understood: {error}."
            ) from None
