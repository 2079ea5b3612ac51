"""Servers that somebody else started, on whatever hosts: loads are put on them, and they are asked what they count themselves.

Nothing of their hosts can be read from here, so figures come from the servers: syncs from `mntr`, or in etcd from /metrics at its
clients' port; processor time, which `mntr` doesn't tell, from the page for Prometheus, where its port is given. Each is asked just
before and just after a load.
"""

import etcd_server
import servers
from ensembles import Target


class Remote:
    """One server: HOST:PORT, or HOST:PORT/METRICS with the port of its page for Prometheus (`metricsProvider.httpPort`)."""

    def __init__(self, given, is_etcd=False):
        self.address, _, metrics_port = given.partition("/")
        host, _, port = self.address.rpartition(":")
        self.host, self.port, self.is_etcd = host.strip("[]"), int(port), is_etcd
        self.metrics_port = int(metrics_port) if metrics_port else self.port if is_etcd else None

    def mode(self):
        """leader, follower, standalone …; None where it doesn't say."""
        if self.is_etcd:
            return etcd_server.mode_in(etcd_server.post(self.port, "/v3/maintenance/status", {}, host=self.host))
        return servers.mode_of(servers.ask(self.port, b"srvr", host=self.host))

    def metrics(self):
        """The page for Prometheus; empty where none is answered."""
        if self.metrics_port is None:
            return ""
        return etcd_server.told_by(self.metrics_port, "GET", "/metrics", None, etcd_server.ASK_SECONDS, str, self.host) or ""

    def counters(self):
        """What it counted since its start: syncs of the log, seconds of processor time. None what it doesn't tell."""
        page = self.metrics()
        if self.is_etcd:
            syncs = etcd_server.syncs_in(page)
        else:
            syncs = servers.syncs_in(servers.ask(self.port, b"mntr", host=self.host))
            syncs = metric(page, "fsynctime_count") if syncs is None else syncs
        return {"syncs": syncs, "cpu_seconds": metric(page, "process_cpu_seconds_total")}


def metric(page, name):
    """Of a page for Prometheus: what has no labels. None where it isn't there."""
    found = (line.split() for line in page.splitlines() if line.startswith(f"{name} "))
    return next((float(words[1]) for words in found), None)


class Running:
    """Not started, stopped or killed here."""

    def __init__(self, name, voters, observers=()):
        self.name, self.voters, self.observers, self.pids = name, list(voters), list(observers), []
        self.members = [Remote(one, kind(name) == "etcd") for one in self.voters]
        self.generator = etcd_server.BUILT / "etcd-load" if kind(name) == "etcd" else None

    @property
    def addresses(self):
        return [member.address for member in self.members]

    def describe(self):
        observers = f" and {len(self.observers)} observers" if self.observers else ""
        return f"{len(self.voters)} servers{observers} that were running already"

    def beside(self, count):
        """With so many of its observers."""
        return Running(self.name, self.voters + self.observers[:count])

    def led(self):
        """The leader first. One server alone is its own; of several that don't say who leads, none is taken for it."""
        leader = self.members[0] if len(self.members) == 1 else next(
            (member for member in self.members if member.mode() in ("leader", "leading")), None)
        members = ([leader] if leader else []) + [member for member in self.members if member is not leader]
        # The addresses in this order, too: of servers on this host the generator tells the processor time by them.
        return Target(self.name, [member.address for member in members], [], self.generator, tuple(members), leader is not None)


def kind(name):
    """Which server it is: those that run already may have a name of their own, as etcd-old."""
    return "etcd" if name.startswith("etcd") else name


def not_told(targets, results):
    """Of `targets`, servers that run already: what can't be known of them, and what would make it known."""
    lines = []
    for target in targets:
        found = [one.get("derived", {}) for one in results if one["server"] == target.name]
        if not found:
            continue
        if not any("syncs_per_second" in one for one in found):
            where = "/metrics at their clients' port" if kind(target.name) == "etcd" else "`mntr`, which 4lw.commands.whitelist has to name"
            lines.append(f"Syncs of {target.name} aren't known: not all of its servers answer {where}.")
        elif not any("leader_syncs_per_second" in one for one in found):
            lines.append(f"Who leads {target.name} isn't known: none of its servers says so.")
        if not any("cpu_us_per_operation" in one for one in found):
            lines.append(f"Processor time of {target.name} isn't known: only a server's page for Prometheus tells it, and not all "
                         f"answered one (--running {target.name}=HOST:PORT/METRICS, METRICS being metricsProvider.httpPort).")
    return lines
