"""Envelopes: messages with their payload frames to ZeroMQ frames and back, within limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from rexec_jupyter.core import protocol as p

Frame = p.Buffer
Parcel = tuple[Any, "Frame | None"]
"""A message and its payload frame, if it has one."""

M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()


class FramingError(ValueError):
    """An envelope that is not of the protocol. The message names no content."""


def pack(parcels: Iterable[Parcel]) -> Iterator[list[Frame]]:
    """Bundle messages into as few envelopes as the limits allow.

    Parameters
    ----------
    parcels
        Messages with their payload frames; ``message.frames`` must agree.

    Yields
    ------
    list of frame
        The header frame and the payload frames of one envelope.
    """
    messages: list[Any] = []
    frames: list[Frame] = []
    nbytes = 0
    for message, frame in parcels:
        size = 0 if frame is None else len(frame)
        if messages and (len(messages) == p.MAX_FRAMES or nbytes + size > p.CHUNK):
            yield from _seal(messages, frames)
            messages, frames, nbytes = [], [], 0
        messages.append(message)
        if frame is not None:
            frames.append(frame)
            nbytes += size
    if messages:
        yield from _seal(messages, frames)


def _seal(messages: list[Any], frames: list[Frame]) -> Iterator[list[Frame]]:
    header = _encoder.encode(messages)
    if len(header) <= p.MAX_HEADER or len(messages) == 1:
        yield [header, *frames]
        return
    half = len(messages) // 2
    split = sum(m.frames for m in messages[:half])
    yield from _seal(messages[:half], frames[:split])
    yield from _seal(messages[half:], frames[split:])


class Unpacker(Generic[M]):
    """Reads the envelopes of one direction of the protocol.

    Parameters
    ----------
    accepts
        Union of the message types that may arrive, such as `protocol.FromClient`.
    """

    def __init__(self, accepts: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[list[M]] = msgspec.msgpack.Decoder(list[accepts])

    def messages(self, envelope: Sequence[Any]) -> list[M]:
        """Read the header of an envelope and leave its payload frames alone.

        Raises
        ------
        FramingError
            If the envelope breaks a limit or is not of the protocol.
        """
        if not envelope:
            raise FramingError("empty envelope")
        header = envelope[0]
        if len(header) > p.MAX_HEADER:
            raise FramingError("header too large")
        if len(envelope) > p.MAX_FRAMES + 1:
            raise FramingError("too many frames")
        try:
            messages = self._decoder.decode(header)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise FramingError("not a header of this protocol") from None
        if not 0 < len(messages) <= p.MAX_FRAMES:
            raise FramingError("number of messages out of range")
        announced = 0
        for message in messages:
            announced += message.frames  # type: ignore[attr-defined]
        if announced != len(envelope) - 1:
            raise FramingError("number of payload frames is not as announced")
        return messages

    def unpack(self, envelope: Sequence[Frame]) -> list[tuple[M, Frame | None]]:
        """Split an envelope into messages with their frames.

        Raises
        ------
        FramingError
            If it breaks a limit or is not of the protocol.
        """
        frames = iter(envelope)
        messages = self.messages(envelope)
        next(frames)
        return [
            (message, next(frames) if message.frames else None)  # type: ignore[attr-defined]
            for message in messages
        ]
