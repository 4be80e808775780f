"""Events as Kubernetes 1.34 writes them, and what is told of pods that sit still."""

import asyncio

import msgspec
import pytest

from rexec_deploy_api.records import Observed
from rexec_deploy_api.spawner.kubernetes.api import EVENTS, ApiError
from rexec_deploy_api.spawner.kubernetes.complaints import Complaints
from rexec_deploy_api.spawner.kubernetes.informer import Name
from rexec_deploy_api.spawner.kubernetes.observing import Pod, complaint


def event(reason, message="", second=0, kind="Warning", **times):
    at = f"2026-01-01T00:00:{second:02}Z"
    return {"reason": reason, "message": message, "type": kind, "lastTimestamp": at} | times


def setup_failed(why, volume="pvc-1", step="MountVolume.SetUp"):
    return f'{step} failed for volume "{volume}" : {why}'


SANDBOX = "Failed to create pod sandbox: rpc error: code = Unknown desc = "
LATE = "Unable to attach or mount volumes: unmounted volumes=[volume-0], unattached volumes=[], "


@pytest.mark.parametrize(
    ("reason", "message", "kind", "told"),
    [
        (
            "FailedMount",
            setup_failed("hostPath type check failed: /srv/data is not a directory"),
            "configuration",
            "Its storage cannot be mounted: hostPath type check failed: /srv/data is not a dir",
        ),
        (
            "FailedMount",
            setup_failed(
                "mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs "
                "10.0.0.9:/data /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/data\n"
                "Output: mount.nfs: access denied by server while mounting 10.0.0.9:/data\n"
            ),
            "configuration",
            "mounted: mount.nfs: access denied by server while mounting 10.0.0.9:/data",
        ),
        (
            "FailedMount",
            setup_failed(
                'path "/mnt/disks/1" does not exist',
                step="MountVolume.NewMounter initialization",
            ),
            "configuration",
            'mounted: path "/mnt/disks/1" does not exist',
        ),
        (
            "FailedMount",
            setup_failed(
                "rpc error: code = Internal desc = stat /dev/xvdba: no such file or directory",
                step="MountVolume.MountDevice",
            ),
            "configuration",
            "mounted: stat /dev/xvdba",
        ),
        (
            "FailedMount",
            f"{LATE}failed to process volumes=[]: timed out waiting for the condition",
            "configuration",
            "Its storage (volume-0) cannot be mounted: it takes too long",
        ),
        (
            "FailedMount",
            (
                f"{LATE}failed to process volumes=[volume-0]: error processing PVC rexec-u-1/data: "
                'failed to fetch PVC from API server: persistentvolumeclaims "data" not found'
            ),
            "configuration",
            'persistentvolumeclaims "data" not found',
        ),
        (
            "FailedAttachVolume",
            setup_failed(
                "rpc error: code = NotFound desc = volume not found", step="AttachVolume.Attach"
            ),
            "configuration",
            "Its storage cannot be mounted: volume not found",
        ),
        (
            "FailedAttachVolume",
            (
                'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to '
                "one node and can't be attached to another"
            ),
            "configuration",
            "in use by another machine",
        ),
        (
            "FailedCreatePodSandBox",
            (
                f'(combined from similar events): {SANDBOX}failed to setup network for sandbox "'
                f'{"a1" * 32}": failed to allocate for range 0: no IP addresses available in range '
                "set: 10.1.56.1-10.1.56.254"
            ),
            "backend",
            "no network address left",
        ),
        (
            "FailedCreatePodSandBox",
            (
                f'{SANDBOX}failed to setup network for sandbox "{"a1" * 32}": plugin type="calico" '
                "failed (add): error getting ClusterInformation: connection is unauthorized"
            ),
            "backend",
            'sandbox "…": plugin type="calico" failed (add)',
        ),
        (
            "FailedCreatePodSandBox",
            f'{SANDBOX}failed to get sandbox runtime: no runtime for "gvisor" is configured',
            "backend",
            "Its machine cannot prepare its place: failed to get sandbox runtime",
        ),
        (
            "FailedScheduling",
            'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded',
            "unschedulable",
            "Its storage is not there: running PreBind",
        ),
    ],
)
def test_what_events_tell_of_a_pod_that_sits_still(reason, message, kind, told):
    scheduled = event("Scheduled", "Successfully assigned", kind="Normal")
    cause = complaint([event(reason, message, 3), scheduled])
    assert told in cause.message
    assert (cause.reason, cause.final) == (kind, False)
    assert cause.hint
    assert "rpc error" not in cause.message
    again = complaint([event(reason, message.replace("a1", "b2"), 60), scheduled])
    assert again == cause


def test_events_of_what_has_passed_are_no_complaints():
    in_use = event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"', 3)
    attached = event("SuccessfulAttachVolume", "AttachVolume.Attach succeeded", 9, "Normal")
    assert complaint([attached, in_use]) is None
    assert complaint([in_use, attached | {"lastTimestamp": None}]).message.startswith("Its storage")
    micro = {"lastTimestamp": None, "eventTime": "2026-01-01T00:00:09.250000Z"}
    assert complaint([in_use, attached | micro]) is None
    assert complaint([event("Unhealthy", "Readiness probe failed"), event("BackOff")]) is None
    assert complaint([]) is None


def test_of_two_events_the_one_that_says_why_counts():
    why = event("FailedMount", setup_failed("permission denied"), 3)
    late = event("FailedMount", f"{LATE}timed out waiting for the condition", 9)
    assert "permission denied" in complaint([late, why]).message
    changed = event("SandboxChanged", "Pod sandbox changed", 9, "Normal")
    assert complaint([event("FailedCreatePodSandBox", SANDBOX, 3), changed]).reason == "backend"


class Told:
    """A cluster whose events are given."""

    def __init__(self):
        self.events, self.status, self.asked = [], 200, 0

    async def list(self, kind, namespace, *, fields, most):
        assert (kind, namespace, fields) == (EVENTS, "space", "involvedObject.uid=u1")
        assert most
        self.asked += 1
        if self.status != 200:
            raise ApiError(self.status, "Forbidden", "events is forbidden")
        return {"items": self.events}


class Watch:
    """One pod that sits still, and who asks for its events."""

    def __init__(self):
        self.there, self.cluster, self.changed = {}, Told(), []
        self.complaints = Complaints(self.cluster, self.there, self.changed.append)
        self.see(Observed(id="u1", generation=1, phase="pulling"))

    def see(self, seen):
        self.seen = seen
        self.there[Name("space", "pod")] = Pod(seen, "user", "default", "")

    def wait(self, seconds):
        async def rounds():
            for now in range(seconds):
                await self.complaints._round(float(now))

        asyncio.run(rounds())

    @property
    def cause(self):
        return self.complaints.of(self.seen).cause


def test_a_pod_that_sits_still_is_asked_about_less_and_less_often():
    watch = Watch()
    watch.wait(3)
    assert watch.cluster.asked == 0
    watch.cluster.events = [event("FailedMount", setup_failed("permission denied"))]
    watch.wait(300)
    assert 8 <= watch.cluster.asked <= 14
    assert len(watch.changed) == 1
    assert "permission denied" in watch.cause.message


def test_a_pod_that_goes_on_is_not_asked_about_and_has_no_complaint():
    watch = Watch()
    watch.cluster.events = [event("FailedMount", setup_failed("permission denied"))]
    watch.wait(10)
    asked = watch.cluster.asked
    watch.see(msgspec.structs.replace(watch.seen, phase="running"))
    watch.wait(100)
    assert (watch.cause, watch.cluster.asked) == (None, asked)
    watch.see(msgspec.structs.replace(watch.seen, phase="pulling"))
    assert watch.cause is None
    watch.there.clear()
    watch.wait(10)


def test_a_deploy_api_that_may_not_read_events_says_so_once(caplog):
    watch = Watch()
    watch.cluster.status = 403
    watch.wait(100)
    assert watch.cluster.asked > 1
    assert caplog.text.count("cannot be read") == 1
    assert watch.cause is None
