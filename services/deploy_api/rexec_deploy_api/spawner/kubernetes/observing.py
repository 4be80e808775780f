"""From the state of a pod to how far its server is, and what holds it up, in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
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
_TOO_MUCH = "Write less to the disk, or ask for more memory."
_TOLD = 300
_LACKING = {
    "memory": ("memory", "Ask for less memory (--mem), or stop a server that you do not need."),
    "cpu": ("CPU", "Ask for fewer cores (--cpu), or stop a server that you do not need."),
    "ephemeral-storage": ("disk space", "Ask whoever runs the cluster."),
    "pods": ("room for another pod", "Try again later."),
}
_HELP = "Try again later; if it stays like this, ask whoever runs the cluster."
_STORAGE_HELP = "Choose another profile, or ask whoever runs the cluster."
_PROGRESS = frozenset(
    ("Scheduled", "SuccessfulAttachVolume", "Pulling", "Pulled", "Created", "Started")
)
_MOUNTING = frozenset(("FailedMount", "FailedAttachVolume", "FailedMapVolume"))
_SANDBOX = frozenset(("FailedCreatePodSandBox", "NetworkNotReady"))
_VAGUE = "Unable to attach or mount"


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
        if each[0] != "running" and each[1] is not None:
            return each
    for each in found:
        if each[0] != "running" or each[2] != float("inf"):
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
        # By then the image was there for what installs packages.
        initializing = state["waiting"].get("reason") == "PodInitializing"
        return _waiting(each, state, "starting" if initializing else "pulling")
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
    if (text := _without_storage(message)) is not None:
        return Cause("unschedulable", text, _STORAGE_HELP)
    if "didn't match" in message or "untolerated" in message or "affinity" in message:
        text = "No node fits: all are reserved for others, or lack what the profile needs."
        return Cause("unschedulable", text, "Choose another profile.")
    return Cause("unschedulable", f"No node takes it: {message[:_TOLD]}", _HELP)


def _without_storage(message: str) -> str | None:
    """Return what is wrong with the storage of a pod that no node takes; None if nothing is."""
    if found := re.search(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)', message):
        name, how = found.groups()
        gone = "is not there" if how == "not found" else "is just being removed"
        return f"Its storage {name!r} {gone}."
    if "unbound immediate" in message or "available persistent volumes to bind" in message:
        return "Its storage is not there yet: no volume was found or made for it."
    if "volume node affinity" in message:
        return "Its storage belongs to a machine that cannot take it."
    if "persistentvolume" in message.lower() or "volume" in message:
        return f"Its storage is not there: {message[:_TOLD]}"
    return None


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
        return Cause("evicted", text, _TOO_MUCH)
    if reason in ("Preempting", "Preempted", "NodeShutdown", "Terminated", "NodeLost"):
        return Cause("evicted", "The cluster needed its place, or shut its machine down.")
    if reason == "UnexpectedAdmissionError" or reason.startswith("OutOf"):
        return Cause("unschedulable", f"The machine it was to run on refused it: {message}")
    if not reason and not message:
        # The kubelet forgets why it evicted a pod whose containers take their time to end.
        text = "The cluster took its place away and did not say why: as when it writes too much."
        return Cause("evicted", text, _TOO_MUCH)
    return Cause("crash", f"It ended: {message or reason}.")


def complaint(events: Sequence[Object]) -> Cause | None:
    """Return what holds a pod up of which its state tells nothing; None if it goes on.

    Parameters
    ----------
    events
        What Kubernetes told of the pod, in any order.
    """
    found, vague = None, True
    for each in sorted(events, key=_order):
        reason, message = each.get("reason") or "", _plain(each.get("message") or "")
        if reason in _PROGRESS:
            found, vague = None, True
        elif reason == "FailedScheduling":
            found = _unschedulable({"reason": "Unschedulable", "message": message})
        elif reason in _MOUNTING and (vague or not message.startswith(_VAGUE)):
            found, vague = _unmounted(message), message.startswith(_VAGUE)
        elif reason in _SANDBOX:
            found, vague = _unfounded(message), False
    return found


def _order(event: Object) -> tuple[str, bool]:
    """Sort by the second, for that is all that most events tell; what went well comes first."""
    series = event.get("series") or {}
    times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    return max(str(each or "") for each in times)[:19], event.get("type") == "Warning"


def _plain(message: str) -> str:
    """Leave out what differs from one attempt to the next, and what only programs read."""
    message = message.removeprefix("(combined from similar events): ")
    message = re.sub(r"rpc error: code = \w+ desc = ", "", message)
    message = re.sub(r"[0-9a-f]{32,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", message)
    return " ".join(message.rpartition("\nOutput: ")[2].split()) if "\n" in message else message


def _unmounted(message: str) -> Cause:
    if message.startswith("Multi-Attach"):
        text = "Its storage is in use by another machine, and can be used by one at a time."
        hint = "Stop what uses it; if nothing does, wait some minutes until it is released."
        return Cause("configuration", text, hint)
    if message.startswith(_VAGUE):
        named = re.search(r"unmounted volumes=\[([^\]]*)\]", message)
        which = f" ({named[1]})" if named else ""
        why = message.rpartition("]: ")[2]
        if "timed out" in why or "deadline exceeded" in why:
            why = "it takes too long"
        text = f"Its storage{which} cannot be mounted: {why[:_TOLD]}"
        return Cause("configuration", text, _STORAGE_HELP)
    why = re.sub(r'^\w+\.\w+ (initialization )?failed for volume "[^"]*"\s*:\s*', "", message)
    return Cause("configuration", f"Its storage cannot be mounted: {why[:_TOLD]}", _STORAGE_HELP)


def _unfounded(message: str) -> Cause:
    if "no IP addresses available" in message:
        return Cause("backend", "The cluster has no network address left for it.", _HELP)
    why = message.removeprefix("Failed to create pod sandbox: ")
    return Cause("backend", f"Its machine cannot prepare its place: {why[:_TOLD]}", _HELP)


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
