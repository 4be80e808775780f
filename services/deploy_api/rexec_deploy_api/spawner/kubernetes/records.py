"""Records as ConfigMaps, and what becomes of one that somebody damaged."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from rexec_deploy_api.records import Cause, Key, Record, Spec, decoded, encoded
from rexec_deploy_api.spawner.kubernetes.api import Object
from rexec_deploy_api.spawner.kubernetes.names import ISSUER, SERVER, SUBJECT, USER, USERNAME, Names
from rexec_deploy_api.spawner.kubernetes.observing import Pod

_FIELD = "record"
_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What is kept of a ConfigMap.

    Attributes
    ----------
    key
        Which server it is the record of.
    owner
        Its name and uid, for what belongs to it.
    record
        None if it is damaged.
    """

    key: Key
    owner: Object
    version: str
    record: Record | None


def content(record: Record, names: Names) -> Object:
    """Return the ConfigMap of a record."""
    metadata: Object = {
        "name": names.record(record.key),
        "labels": names.labels_of(record.key),
        "annotations": {
            SUBJECT: record.user,
            ISSUER: record.issuer,
            USERNAME: record.username,
        },
    }
    if record.version:
        metadata["resourceVersion"] = record.version
    return {"metadata": metadata, "data": {_FIELD: encoded(record).decode()}}


def kept(each: Object, names: Names) -> Kept | None:
    """Return what is to be kept of a ConfigMap; None if it tells not even whose it is."""
    metadata = each["metadata"]
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    key = Key(str(notes.get(SUBJECT, "")), str(labels.get(SERVER, "")))
    place = (metadata.get("namespace"), metadata["name"], labels.get(USER))
    record: Record | None = None
    try:
        record = decoded((each.get("data") or {}).get(_FIELD) or "", metadata["resourceVersion"])
    except ValueError as error:
        _log.warning("%s/%s: %s", *place[:2], error)
    if record is not None and place == _place(record.key, names):
        key = record.key
    elif key.user and place == _place(key, names):
        record = None  # it is in the place of another one's
    else:
        _log.warning("%s/%s is no record of ours, and is left alone", *place[:2])
        return None
    owner = {"name": metadata["name"], "uid": metadata["uid"]}
    return Kept(key, owner, metadata["resourceVersion"], record)


def _place(key: Key, names: Names) -> tuple[str, str, str]:
    return names.namespace(key.user), names.record(key), names.hash(key.user)


def rebuilt(there: Kept, pods: Sequence[Pod]) -> Record:
    """Return a record in place of one that is damaged: from what runs, if something does."""
    for pod in sorted(pods, key=lambda each: each.seen.generation, reverse=True):
        try:
            record = decoded(pod.record, there.version)
        except ValueError:
            continue
        if record.key == there.key and record.generation == pod.seen.generation:
            record = record.having(placed=pod.seen.id, state="starting")
            return record.told(
                record.since, "Its record was damaged, and was made anew from what runs."
            )
    # Newer than any that the broker may remember, see `service.Servers`.
    newest = max(int(time.time()), *(pod.seen.generation for pod in pods), 1)
    cause = Cause(
        "configuration",
        "Its record was damaged, so nobody knows what it was to be.",
        "Start it again.",
        final=True,
    )
    return Record(
        user=there.key.user,
        name=there.key.name,
        spec=Spec(profile=""),
        generation=newest,
        state="failed",
        since=time.time(),
        cause=cause,
        version=there.version,
    )
