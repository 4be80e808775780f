"""Pods as Kubernetes 1.34 writes them, and what is told of them."""

import json

import pytest

from rexec_deploy_api.spawner.kubernetes.api import ApiError
from rexec_deploy_api.spawner.kubernetes.observing import observed, refused

SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(status, *, node="n1", generation="7", **metadata):
    return {
        "metadata": {"uid": "u1", "labels": {"rexec.dev/generation": generation}, **metadata},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": "Pending", "conditions": [SCHEDULED], **status},
    }


def unschedulable(message):
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
    }
    return pod({"conditions": [condition]}, node="")


def container(name, state, last=None, restarts=0):
    each = {"name": name, "image": "img:1", "state": state, "restartCount": restarts}
    return each | ({"lastState": {"terminated": last}} if last else {})


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}


def test_a_pod_without_a_node_waits_for_one():
    seen = observed(pod({"conditions": []}, node=""))
    assert (seen.phase, seen.cause, seen.generation, seen.id) == ("scheduling", None, 7, "u1")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", "enough memory"),
        ("0/3 nodes are available: 3 Insufficient cpu. no new claims", "enough CPU"),
        ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", "nvidia.com/gpu"),
        ("0/1 nodes are available: 1 Too many pods.", "No node takes it"),
        ("0/1 nodes: 1 node(s) didn't match Pod's node affinity/selector.", "No node fits"),
        ("0/1 nodes: pod has unbound immediate PersistentVolumeClaims", "storage"),
        (
            (
                '0/1 nodes are available: persistentvolumeclaim "data" not found. not found. '
                "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            ),
            "Its storage 'data' is not there.",
        ),
        ('0/1 nodes: persistentvolumeclaim "data" is being deleted.', "being removed"),
        ("0/2 nodes: 2 node(s) had volume node affinity conflict.", "storage belongs to a machine"),
        ("0/1 nodes: 1 node(s) didn't find available persistent volumes to bind.", "no volume"),
        ("0/1 nodes: 1 node(s) exceed max volume count.", "storage is not there"),
    ],
)
def test_what_no_node_can_take_is_told_in_plain_words(message, told):
    cause = observed(unschedulable(message)).cause
    assert cause.reason == "unschedulable"
    assert told in cause.message
    assert cause.hint


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        ("ErrImagePull", 'rpc error: "x": not found', "no such image"),
        ("ImagePullBackOff", 'Back-off pulling image "x": manifest unknown', "no such image"),
        ("ErrImagePull", "pull access denied, repository does not exist", "refuses"),
        ("ErrImagePull", "dial tcp: lookup registry: no such host", "cannot be reached"),
        ("ErrImageNeverPull", "not present with pull policy of Never", "no such image"),
    ],
)
def test_why_an_image_is_not_there(reason, message, told):
    state = {"waiting": {"reason": reason, "message": message}}
    statuses = [container("agent", CREATING), container("exec", state)]
    seen = observed(pod({"containerStatuses": statuses}))
    assert seen.phase == "pulling"
    assert seen.cause.reason == "image"
    assert told in seen.cause.message
    assert 0 < seen.patience < 600


def test_a_bad_name_of_an_image_is_final():
    state = {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse"}}
    seen = observed(pod({"containerStatuses": [container("agent", state)]}))
    assert seen.cause.final


def test_packages_are_installed_before_the_containers_start():
    init = [container("environment", RUNNING)]
    assert observed(pod({"initContainerStatuses": init})).phase == "installing"


def test_after_that_they_start_and_fetch_nothing():
    init = [container("environment", {"terminated": {"exitCode": 0, "reason": "Completed"}})]
    waiting = {"waiting": {"reason": "PodInitializing"}}
    for agent in (waiting, RUNNING):
        statuses = [container("agent", agent), container("exec", waiting)]
        seen = observed(pod({"initContainerStatuses": init, "containerStatuses": statuses}))
        assert (seen.phase, seen.cause) == ("starting", None)


def test_a_package_that_is_not_found_is_final_and_named():
    report = {"reason": "package", "message": "There is no package 'nosuch'.", "hint": "Look."}
    ended = {"exitCode": 3, "reason": "Error", "message": json.dumps(report)}
    for state, last in (({"terminated": ended}, None), ({"waiting": {"reason": "x"}}, ended)):
        init = [container("environment", state, last)]
        cause = observed(pod({"initContainerStatuses": init})).cause
        assert (cause.reason, cause.message, cause.hint) == ("package", *list(report.values())[1:])
        assert cause.final


def test_an_installer_that_was_ended_is_tried_again():
    init = [container("environment", {"terminated": {"exitCode": 137, "reason": "Error"}})]
    seen = observed(pod({"initContainerStatuses": init}))
    assert not seen.cause.final
    assert "137" in seen.cause.message


def test_an_installer_out_of_memory_says_so():
    init = [container("environment", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}})]
    cause = observed(pod({"initContainerStatuses": init})).cause
    assert (cause.reason, cause.final) == ("memory", True)


def test_a_pod_that_runs():
    statuses = [container("agent", RUNNING), container("exec", RUNNING)]
    seen = observed(pod({"phase": "Running", "containerStatuses": statuses}))
    assert (seen.phase, seen.cause, seen.leaving, seen.restarts) == ("running", None, -1.0, 0)


def test_code_out_of_memory_leaves_the_server_running_and_tells_why():
    killed = {"exitCode": 137, "reason": "OOMKilled"}
    statuses = [container("agent", RUNNING), container("exec", RUNNING, killed, 1)]
    seen = observed(pod({"phase": "Running", "containerStatuses": statuses}))
    assert (seen.phase, seen.cause.reason, seen.restarts) == ("running", "memory", 1)
    statuses[1] = container("exec", RUNNING, killed, 2)
    again = observed(pod({"phase": "Running", "containerStatuses": statuses}))
    assert again.cause != seen.cause


def test_eviction_ends_a_generation_and_says_what_ran_out():
    message = "The node was low on resource: memory. Container exec was using 5Gi"
    seen = observed(pod({"phase": "Failed", "reason": "Evicted", "message": message}))
    assert (seen.phase, seen.cause.reason) == ("ended", "evicted")
    assert "memory ran out" in seen.cause.message
    message = 'Usage of EmptyDir volume "tmp" exceeds the limit "4Gi".'
    seen = observed(pod({"phase": "Failed", "reason": "Evicted", "message": message}))
    assert "disk space" in seen.cause.message


def test_code_that_was_killed_may_have_taken_too_much_memory():
    killed = {"exitCode": 137, "reason": "Error"}
    statuses = [container("agent", RUNNING), container("exec", RUNNING, killed, 1)]
    cause = observed(pod({"phase": "Running", "containerStatuses": statuses})).cause
    assert (cause.reason, cause.final) == ("memory", False)
    assert "memory runs out" in cause.message


def test_a_pod_that_was_told_to_end():
    seen = observed(pod({}, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert seen.leaving >= 0


def test_labels_that_were_changed_by_hand_do_no_harm():
    assert observed(pod({}, generation="many")).generation == 0
    assert observed({"metadata": {"uid": "u"}}).phase == "scheduling"


@pytest.mark.parametrize(
    ("status", "message", "reason", "final", "told"),
    [
        (
            403,
            (
                'pods "x" is forbidden: exceeded quota: rexec, requested: limits.memory=2Gi, '
                "used: limits.memory=7Gi, limited: limits.memory=8Gi"
            ),
            "quota",
            False,
            "limits.memory=2Gi more",
        ),
        (
            403,
            'pods "x" is forbidden: violates PodSecurity "restricted"',
            "configuration",
            True,
            "",
        ),
        (422, "Pod is invalid: spec.containers", "configuration", True, "does not accept"),
        (403, 'User "sa" cannot create resource', "backend", False, "may not make"),
        (500, "etcdserver: leader changed", "backend", False, "does not answer"),
        (0, "no answer: ClientConnectorError", "backend", False, "does not answer"),
    ],
)
def test_what_kubernetes_refuses(status, message, reason, final, told):
    cause = refused(ApiError(status, "", message), "the server")
    assert (cause.reason, cause.final) == (reason, final)
    assert told in cause.message
