"""Pods keep what is promised of servers wherever they run."""

import os
import signal
import time

import cloudpickle
import pytest

from rexec_deploy_api.spawner.kubernetes.names import INSTANCE
from rexec_deploy_api.spawner.kubernetes.spawner import KubernetesSpawner
from tests.cluster.broker import BrokerThere, clear
from tests.cluster.kube import delete, get
from tests.cluster.spawning import PATIENCE, SALT, MiB, chosen, small
from tests.deploy import spawner_contract
from tests.deploy.spawner_contract import SpawnerContract, user
from tests.deploy.spawner_setup import Setup

__all__ = ["user"]

cloudpickle.register_pickle_by_value(spawner_contract)

NAMESPACE, NAME = "rexec-contract", "contract"


class PodSetup(Setup):
    """Servers as pods, looked after by a deploy API in this process, and a broker of their own."""

    def __init__(self, broker):
        self.settings = chosen(NAME, NAMESPACE)
        super().__init__(broker.tickets(), broker.clients, broker.health, PATIENCE)

    async def make(self):
        return await KubernetesSpawner.connect(SALT, self.settings)

    def spec(self, **changes):
        return small(**({"memory": 256 * MiB} | changes))

    def _objects(self, kind, key):
        found = get(kind, namespace=self.spawner._names.namespace(key.user))
        return [
            each
            for each in found
            if self.spawner._names.labels_of(key).items()
            <= each["metadata"].get("labels", {}).items()
        ]

    def remains(self, key):
        kinds = ("pods", "secrets", "configmaps", "persistentvolumeclaims")
        return [each for kind in kinds for each in self._objects(kind, key)]

    def kill(self, key):
        for each in self._objects("pods", key):
            metadata = each["metadata"]
            delete("pod", metadata["name"], metadata["namespace"], wait=False, grace=1)

    def kill_from_within(self, user):
        def kill():
            # What is killed once is started again by the first process of the container, which
            # gives up if it ends as soon as it has begun.
            if os.fork() == 0:
                while True:
                    os.kill(-1, signal.SIGKILL)  # all but the first process and this one
            time.sleep(60)

        self.call(user, kill)


@pytest.fixture(scope="module")
def setup(cluster):
    def remove():
        clear(NAMESPACE, f"{INSTANCE}={NAME}")

    remove()
    try:
        made = PodSetup(BrokerThere(NAMESPACE).install())
        try:
            yield made
        finally:
            made.close()
    finally:
        remove()


class TestPods(SpawnerContract):
    """Servers are pods."""
