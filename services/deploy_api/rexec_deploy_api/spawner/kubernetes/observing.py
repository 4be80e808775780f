"""From the state of a pod to how far its server is, and what holds it up, in plain words."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from rexec_deploy_api.records import Cause, Observed
from rexec_deploy_api.spawner.kubernetes.api import ApiError, Object
from rexec_deploy_api.spawner.kubernetes.names import GENERATION, SPEC
from rexec_deploy_api.spawner.kubernetes.pods import AGENT, EXEC

_PULL = frozenset(("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"))
_BAD_NAME = "InvalidImageName"
_CONFIGURATION = frozenset(
    ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
)
_PATIENCE = 90.0
_PACKAGES_FAILED = 3
"""With this the installer ends if a package cannot be had, and not if it was interrupted."""
_KILLED = 128 + 9
_TOLD = 300
_LACKING = {
    "memory": ("memory", "Ask for less memory (--mem), or stop a server that you do not need."),
    "cpu": ("CPU", "Ask for fewer cores (--cpu), or stop a server that you do not need."),
    "ephemeral-storage": ("disk space", "Ask whoever runs the cluster."),
    "pods": ("room for another pod", "Try again later."),
}
_HELP = "Try again later; if it stays like this, ask whoever runs the cluster."


class Pod(NamedTuple):
    """What is kept of a pod.

    Attributes
    ----------
    seen
        How far it is. How long ago it was told to end, whoever keeps it knows.
    user, server
        Labels: the user's hash, and the server.
    record
        The record that it was made from, in JSON.
    """

    seen: Observed
    user: str
    server: str
    record: str


def observed(pod: Object) -> Observed:
    """Return how far a pod is."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    phase, cause, patience = _progress(pod, status)
    containers = {each["name"]: each for each in status.get("containerStatuses") or ()}
    return Observed(
        id=metadata["uid"],
        generation=_generation(metadata),
        phase=phase,
        cause=cause,
        patience=patience,
        leaving=0.0 if metadata.get("deletionTimestamp") else -1.0,
        restarts=containers.get(EXEC, {}).get("restartCount", 0),
    )


def _generation(metadata: Object) -> int:
    label = (metadata.get("labels") or {}).get(GENERATION, "")
    return int(label) if label.isdigit() else 0


def spec_of(pod: Object) -> str:
    """Return the record that a pod was made from."""
    return str((pod["metadata"].get("annotations") or {}).get(SPEC, ""))


def _progress(pod: Object, status: Object) -> tuple[Any, Cause | None, float]:
    if status.get("phase") in ("Failed", "Succeeded"):
        return "ended", _ended(status), 0.0
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return "scheduling", _unschedulable(condition), float("inf")
    if not (pod.get("spec") or {}).get("nodeName"):
        return "scheduling", None, float("inf")
    for each in (status.get("initContainerStatuses") or [])[:1]:
        state = each.get("state") or {}
        if "waiting" in state or "running" in state or not _succeeded(state):
            return _installing(each, state)
    return _starting(status)


def _succeeded(state: Object) -> bool:
    return "terminated" in state and state["terminated"].get("exitCode") == 0


def _installing(each: Object, state: Object) -> tuple[Any, Cause | None, float]:
    ended = state.get("terminated") or (each.get("lastState") or {}).get("terminated")
    if ended and ended.get("exitCode"):
        return "installing", _not_installed(ended), _PATIENCE
    if "running" in state or each.get("started"):
        return "installing", None, float("inf")
    return _waiting(each, state, "pulling")


def _starting(status: Object) -> tuple[Any, Cause | None, float]:
    containers = {each["name"]: each for each in status.get("containerStatuses") or ()}
    found = [_container(name, containers.get(name)) for name in (AGENT, EXEC)]
    # What is held up counts before what only takes its time, and that before what runs.
    for each in found:
        if each[0] == "pulling" and each[1] is not None:
            return each
    for each in found:
        if each[0] == "pulling" or each[2] != float("inf"):
            return each
    return found[1]


def _container(name: str, each: Object | None) -> tuple[Any, Cause | None, float]:
    if each is None:
        return "pulling", None, float("inf")
    state = each.get("state") or {}
    last = (each.get("lastState") or {}).get("terminated")
    if "terminated" in state:
        return "running", _died(name, state["terminated"], each), _PATIENCE
    if "waiting" in state:
        if last or each.get("restartCount"):
            return "running", _died(name, last or {}, each), _PATIENCE
        return _waiting(each, state, "pulling")
    return "running", _died(name, last, each) if last else None, float("inf")


def _waiting(each: Object, state: Object, phase: str) -> tuple[Any, Cause | None, float]:
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), str(waiting.get("message") or "")
    image = each.get("image", "")
    if reason == _BAD_NAME:
        text = f"{image!r} is not the name of an image."
        return phase, Cause("image", text, "Choose another profile or image.", final=True), 0.0
    if reason in _PULL:
        text = f"The image {image} cannot be pulled: {_why_not_pulled(message)}."
        hint = "Choose another profile or image, or ask whoever runs the cluster."
        return phase, Cause("image", text, hint), _PATIENCE
    if reason in _CONFIGURATION:
        text = f"The container {each['name']} cannot be made: {message[:_TOLD] or reason}"
        return phase, Cause("configuration", text, _HELP), _PATIENCE
    return phase, None, float("inf")


def _why_not_pulled(message: str) -> str:
    lower = message.lower()
    if "not found" in lower or "manifest unknown" in lower or "not present" in lower:
        return "there is no such image"
    if "unauthorized" in lower or "denied" in lower or "authentication" in lower:
        return "the registry refuses, so it is not there or needs a login"
    if "no such host" in lower or "timeout" in lower or "connection" in lower:
        return "the registry cannot be reached"
    return "the registry does not give it"


def _unschedulable(condition: Object) -> Cause | None:
    if condition.get("reason") != "Unschedulable":
        return None
    message = str(condition.get("message") or "")
    for resource in re.findall(r"Insufficient ([\w/-]+(?:\.[\w/-]+)*)", message):
        what, hint = _LACKING.get(
            resource, (f"{resource} left", "Ask for less of it, or try again later.")
        )
        return Cause("unschedulable", f"No node has enough {what} free.", hint)
    if "didn't match" in message or "untolerated" in message or "affinity" in message:
        text = "No node fits: all are reserved for others, or lack what the profile needs."
        return Cause("unschedulable", text, "Choose another profile.")
    if "PersistentVolumeClaim" in message or "volume" in message:
        return Cause("unschedulable", f"Its storage is not there: {message[:_TOLD]}", _HELP)
    return Cause("unschedulable", f"No node takes it: {message[:_TOLD]}", _HELP)


def _not_installed(ended: Object) -> Cause:
    try:
        told = json.loads(ended.get("message") or "")
        message, hint = str(told["message"]), str(told.get("hint") or "")
    except (ValueError, TypeError, KeyError):
        message, hint = "", ""
    final = ended.get("exitCode") == _PACKAGES_FAILED
    if not message:
        message = f"The packages were not installed ({_exit(ended)})."
        hint = "The log of the environment tells more: `%rexec logs --part environment`."
    if ended.get("reason") == "OOMKilled":
        message = "Installing the packages took more memory than the server may have."
        return Cause("memory", message, "Ask for more memory.", final=True)
    return Cause("package", message, hint, final=final)


def _died(name: str, ended: Object, each: Object) -> Cause | None:
    """Return why a container of a pod that lives on ended last."""
    if not ended:
        return None
    count = each.get("restartCount", 0)
    again = f" ({count} times by now)" if count > 1 else ""
    limit = "Ask for more memory, or handle less data at a time."
    if ended.get("reason") == "OOMKilled":
        if name == EXEC:
            text = "Your code took more memory than the server may have, and was ended"
            return Cause("memory", f"{text}{again}. Its variables are lost.", limit)
        text = "The server's agent took more memory than it may have, and was started again"
        return Cause("memory", f"{text}{again}.", limit)
    if not ended.get("exitCode") and ended.get("reason") == "Completed":
        return None
    who = "What runs your code" if name == EXEC else "The server's agent"
    if name == EXEC and ended.get("exitCode") == _KILLED:
        text = f"{who} was killed{again}, as happens when memory runs out. Its variables are lost."
        return Cause("memory", text, limit)
    text = f"{who} ended ({_exit(ended)}) and was started again{again}."
    return Cause("crash", text, "The log tells more: `%rexec logs`.")


def _exit(ended: Object) -> str:
    if signal := ended.get("signal"):
        return f"signal {signal}"
    return f"exit code {ended.get('exitCode', 0)}"


def _ended(status: Object) -> Cause:
    reason, message = status.get("reason") or "", str(status.get("message") or "")[:_TOLD]
    if reason == "Evicted":
        low = "memory" if "memory" in message.lower() else "disk space"
        if "ephemeral" in message.lower() or "emptydir" in message.lower():
            low = "disk space"
        text = f"The cluster took its place away, because {low} ran out."
        return Cause("evicted", text, "Write less to the disk, or ask for more memory.")
    if reason in ("Preempting", "Preempted", "NodeShutdown", "Terminated", "NodeLost"):
        return Cause("evicted", "The cluster needed its place, or shut its machine down.")
    if reason == "UnexpectedAdmissionError" or reason.startswith("OutOf"):
        return Cause("unschedulable", f"The machine it was to run on refused it: {message}")
    return Cause("crash", f"It ended: {message or reason or 'no reason was given'}.")


def refused(error: ApiError, what: str) -> Cause:
    """Return why Kubernetes did not make something for a server."""
    message = str(error)[:_TOLD]
    if error.status == 403 and "exceeded quota" in str(error):
        return Cause(
            "quota", _quota(str(error)), "Stop a server that you do not need, or ask for less."
        )
    if error.status == 403 and "violates PodSecurity" in str(error):
        return Cause(
            "configuration", f"The cluster does not allow {what}: {message}", _HELP, final=True
        )
    if error.status in (400, 422):
        return Cause(
            "configuration", f"The cluster does not accept {what}: {message}", _HELP, final=True
        )
    if error.status == 403:
        return Cause("backend", f"The deploy API may not make {what}: {message}", _HELP)
    if error.status == 0 or error.status >= 500:
        return Cause("backend", f"Kubernetes does not answer ({message}).", "It is tried again.")
    return Cause("backend", f"Kubernetes refused {what}: {message}", "It is tried again.")


def _quota(message: str) -> str:
    found = re.search(r"requested: ([^,]+(?:,[^:]+=[^,]+)*), used: (.+), limited: (.+)", message)
    if not found:
        return "Your quota is used up."
    asked, used, limited = (re.split(r",\s*", each)[0] for each in found.groups())
    return f"Your quota is used up: {asked} more was asked for, {used} of {limited} is in use."
