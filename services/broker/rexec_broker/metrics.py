"""What the broker counts, and how Prometheus reads it.

The loop adds to plain integers and takes no lock; the thread that answers `/metrics` only
reads them. No label ever holds a key, a token or the name of a user.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Refusal = Literal["ticket", "certificate", "version", "superseded", "limit", "expired"]
State = Literal["ready", "suspect", "draining"]


class Traffic:
    """Envelopes and bytes through one port."""

    __slots__ = ("bytes_in", "bytes_out", "envelopes_in", "envelopes_out")

    def __init__(self) -> None:
        self.envelopes_in = 0
        self.envelopes_out = 0
        self.bytes_in = 0
        self.bytes_out = 0


class Metrics:
    """All counters (they only grow) and gauges of one broker.

    Attributes
    ----------
    refused
        Hellos and connections refused, by reason.
    dropped
        Envelopes and messages that went nowhere, by reason. ``malformed``: not of the
        protocol. ``ignored``: from a key whose error budget is spent. ``unidentified``:
        without a verified key. ``unknown_peer``: before a hello. ``no_server``: the user has
        none. ``no_reader``: nobody reads the job. ``jobs_full``: the user's table of jobs is
        full. ``draining``: a hello while the broker is shutting down. ``unreachable``: the
        connection is gone. ``congested``: the peer does not read. ``failed``: handling it
        raised, which is a bug.
    handshakes
        CURVE handshakes by outcome.
    """

    def __init__(self) -> None:
        self.client = Traffic()
        self.server = Traffic()
        self.refused: dict[Refusal, int] = dict.fromkeys(
            ("ticket", "certificate", "version", "superseded", "limit", "expired"), 0
        )
        self.dropped = dict.fromkeys(
            (
                "malformed",
                "ignored",
                "unidentified",
                "unknown_peer",
                "no_server",
                "no_reader",
                "jobs_full",
                "draining",
                "unreachable",
                "congested",
                "failed",
            ),
            0,
        )
        self.handshakes = dict.fromkeys(
            ("accepted", "not_curve", "wrong_key", "denied", "broken_off"), 0
        )
        self.resyncs = 0
        self.congestions = 0
        self.clients = 0
        self.jobs = 0
        self.servers: dict[State, int] = dict.fromkeys(("ready", "suspect", "draining"), 0)
        self.egress_bytes = 0
        self.started = time.monotonic()


class Exposition:
    """The metrics in Prometheus' text format, from a registry of their own."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return the current values."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the current values as metric families."""
        metrics = self._metrics
        envelopes = CounterMetricFamily(
            "rexec_broker_envelopes", "Envelopes forwarded or handled", labels=["port", "direction"]
        )
        traffic = CounterMetricFamily(
            "rexec_broker_bytes", "Bytes of envelopes", labels=["port", "direction"]
        )
        for port, counts in (("client", metrics.client), ("server", metrics.server)):
            envelopes.add_metric([port, "in"], counts.envelopes_in)
            envelopes.add_metric([port, "out"], counts.envelopes_out)
            traffic.add_metric([port, "in"], counts.bytes_in)
            traffic.add_metric([port, "out"], counts.bytes_out)
        yield envelopes
        yield traffic
        for name, text, label, values in (
            ("refused", "Hellos and connections refused", "reason", metrics.refused),
            ("dropped", "Envelopes and messages that went nowhere", "reason", metrics.dropped),
            ("handshakes", "CURVE handshakes", "outcome", metrics.handshakes),
        ):
            family = CounterMetricFamily(f"rexec_broker_{name}", text, labels=[label])
            for value, count in values.items():
                family.add_metric([value], count)
            yield family
        for name, text, count in (
            ("resyncs", "Peers asked to say hello", metrics.resyncs),
            ("congestions", "Peers detached because they do not read", metrics.congestions),
        ):
            yield CounterMetricFamily(f"rexec_broker_{name}", text, value=count)
        for name, text, count in (
            ("clients", "Clients connected", metrics.clients),
            ("jobs", "Jobs with a reader", metrics.jobs),
            ("egress_bytes", "Bytes waiting for peers that do not read", metrics.egress_bytes),
        ):
            yield GaugeMetricFamily(f"rexec_broker_{name}", text, value=count)
        servers = GaugeMetricFamily("rexec_broker_servers", "Servers by state", labels=["state"])
        for state, count in metrics.servers.items():
            servers.add_metric([state], count)
        yield servers
        yield GaugeMetricFamily(
            "rexec_broker_uptime_seconds",
            "Seconds since the start",
            value=time.monotonic() - metrics.started,
        )
