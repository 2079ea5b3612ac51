"""Servers that run already: what they tell of themselves, and what is said where they don't. `python3 -m unittest discover perf`."""

import contextlib
import pathlib
import socket
import tempfile
import threading
import types
import unittest
from unittest import mock

import etcd_server
import rows
import scenario
import scenarios
from ensembles import Ensemble
from scenarios import distance, kit, running, snapshots

SRVR = "Zookeeper version: 3.9.5\nMode: {}\nNode count: 5\n"
MNTR = "zk_version\t3.9.5\nzk_avg_fsynctime\t0.2\nzk_cnt_fsynctime\t{}\nzk_sum_fsynctime\t8\n"
PAGE = "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {}\nfsynctime{{quantile=\"0.5\",}} 1.0\nfsynctime_count 77.0\n"
ETCD = "etcd_disk_wal_fsync_duration_seconds_count 41\nprocess_cpu_seconds_total 2.5\n"
REFUSED = "mntr is not executed because it is not in the whitelist.\n"


@contextlib.contextmanager
def server(answers):
    """Its port. `answers`: the first word of what it is asked → what it says to that."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked = connection.recv(4096).split()[:1]
                connection.sendall(answers.get(asked[0].decode() if asked else "", "").encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Wakes accept, which a close alone doesn't.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def page_of(text):
    return {"GET": f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"}


class Told(unittest.TestCase):
    def test_syncs_are_of_mntr_and_processor_time_of_the_page_for_prometheus(self):
        with server({"mntr": MNTR.format(123), "srvr": SRVR.format("leader")}) as port, server(page_of(PAGE.format(4.5))) as metrics:
            plain, both = running.Remote(f"127.0.0.1:{port}"), running.Remote(f"127.0.0.1:{port}/{metrics}")
            self.assertEqual(plain.counters(), {"syncs": 123, "cpu_seconds": None})
            self.assertEqual(both.counters(), {"syncs": 123, "cpu_seconds": 4.5})
            self.assertEqual((plain.address, plain.mode()), (f"127.0.0.1:{port}", "leader"))

    def test_where_mntr_is_not_allowed_the_page_tells_the_syncs_or_nobody_does(self):
        with server({"mntr": REFUSED}) as port, server(page_of(PAGE.format(1))) as metrics:
            self.assertEqual(running.Remote(f"127.0.0.1:{port}").counters(), {"syncs": None, "cpu_seconds": None})
            self.assertEqual(running.Remote(f"127.0.0.1:{port}/{metrics}").counters(), {"syncs": 77, "cpu_seconds": 1.0})

    def test_etcd_tells_both_at_its_clients_port(self):
        with server(page_of(ETCD)) as port:
            self.assertEqual(running.Remote(f"127.0.0.1:{port}", True).counters(), {"syncs": 41, "cpu_seconds": 2.5})

    def test_addresses_of_both_kinds_are_taken_apart(self):
        one = running.Remote("[::1]:2181/7000")
        self.assertEqual((one.address, one.host, one.port, one.metrics_port), ("[::1]:2181", "::1", 2181, 7000))
        self.assertIsNone(running.Remote("zk1:2181").metrics_port)
        self.assertEqual(running.Remote("e1:2379", True).metrics_port, 2379)


class Leaders(unittest.TestCase):
    def led(self, *modes):
        target = running.Running("mine", [f"h{number}:1" for number in range(1, len(modes) + 1)])
        for member, mode in zip(target.members, modes):
            member.mode = lambda mode=mode: mode
        return target.led()

    def test_the_leader_is_first(self):
        led = self.led("follower", "follower", "leader")
        self.assertEqual((led.addresses, led.knows_leader), (["h3:1", "h1:1", "h2:1"], True))
        self.assertEqual([member.address for member in led.members], led.addresses)

    def test_one_alone_leads_and_of_several_that_are_silent_none(self):
        self.assertTrue(self.led(None).knows_leader)
        self.assertEqual((self.led(None, None).knows_leader, self.led(None, None).addresses), (False, ["h1:1", "h2:1"]))


class Notes(unittest.TestCase):
    def told(self, name="mine", **derived):
        return " ".join(running.not_told([running.Running(name, ["h:1"])], [{"server": name, "derived": derived}]))

    def test_what_is_unknown_is_said_with_what_would_tell_it(self):
        self.assertRegex(self.told(), "Syncs of mine aren't known: .*4lw.commands.whitelist")
        self.assertRegex(self.told(), "Processor time of mine .*metricsProvider.httpPort")
        self.assertNotIn("mntr", self.told("etcd-mine"))
        self.assertIn("Who leads mine isn't known", self.told(syncs_per_second=3.0, cpu_us_per_operation=1.0))
        self.assertEqual(self.told(syncs_per_second=0.0, leader_syncs_per_second=0.0, cpu_us_per_operation=1.0), "")

    def test_a_machine_that_counts_no_instructions_is_told(self):
        made = kit.Kit.__new__(kit.Kit)
        made.running, made.bench, made.counts_instructions = [], mock.Mock(results=[]), False
        self.assertEqual(made.notes(), [kit.NO_INSTRUCTIONS])
        made.counts_instructions = True
        self.assertEqual(made.notes(), [])
        made.running = [running.Running("mine", ["h:1"])]
        self.assertRegex(made.notes()[0], "Instructions .* the servers' own hosts")

    def test_the_page_has_them(self):
        made = types.SimpleNamespace(bench=mock.Mock(results=[], unwritten=[]), failures=[], left_out=[], running=[],
                                     directory=pathlib.Path("/nowhere"), notes=lambda: [kit.NO_INSTRUCTIONS])
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None), \
                mock.patch.object(scenario, "facts", return_value=[("command", "c")]):
            scenario.write(scenarios.sizes, made, pathlib.Path(folder), 60)
            for name in ("index.html", "README.md", "summary.md"):
                self.assertIn("this machine counts none", pathlib.Path(folder, name).read_text())


class Counted(unittest.TestCase):
    """Loads on an ensemble, on one that is `at` its leader, and beside snapshots: syncs are asked before and after each."""

    def member(self, first):
        counts = iter(range(first, first + 1000, 30))
        return mock.Mock(counters=lambda: {"syncs": next(counts)}, address=f"h:{first}", pid=first)

    def ensemble(self):
        made = distance.DistantEnsemble.__new__(distance.DistantEnsemble)
        made.name, made.members = "ringkeeper", [self.member(1), self.member(1001)]
        made.leader = lambda: made.members[1]
        made.members[0].generator = None
        return made

    def kit(self):
        made = kit.Kit.__new__(kit.Kit)
        made.counts_instructions = False
        made.bench = mock.Mock()
        made.bench.load = lambda *_: {"replies_total": 10}
        return made

    def test_a_load_that_is_only_at_the_leader_has_them_too(self):
        ensemble = self.ensemble()
        for target in (ensemble, ensemble.at(ensemble.leader())):
            found = self.kit().counted_load(target, [])
            self.assertEqual(found["counted"], {"syncs": [30, 30], "members": 2, "knows_leader": True})
        self.assertEqual(ensemble.led().pids, [1001, 1])
        self.assertEqual(Ensemble.at(ensemble, ensemble.members[1]).addresses, ["h:1001"])

    def test_a_load_beside_snapshots_has_them_too(self):
        made, used = self.kit(), []
        made.options = types.SimpleNamespace(seconds=1)
        ensemble = self.ensemble()
        for member in ensemble.members:
            member.settings, member.start = {}, lambda _: 0.5
        ensemble.directory = None
        made.ensemble, made.warm_member = (lambda *_: ensemble), (lambda *_: None)
        made.bench.load = lambda *_: {"operations_per_second": 10.0}
        result = {"snapshots": [], "series_100ms": {"replies": []}, "operations": 10, "replies_total": 10, "operations_per_second": 5.0,
                  "generator": {"cpu_seconds": 1.0}, "window_seconds": 2.0}

        def watched(bench, server, arguments, seconds, load=None):
            used.append(load)
            return {**result, "counted": {"syncs": [4]}}

        with mock.patch.object(rows, "watched_load", watched), mock.patch.object(rows, "status_bytes", return_value={"anonymous": 1}), \
                mock.patch.object(snapshots, "share_while_writing", return_value=(None, 0, 0)), \
                mock.patch.object(snapshots.machine, "wait_until_quiet"), mock.patch.object(snapshots.time, "sleep"):
            snapshots.of(made, "ringkeeper", 10_000)
        self.assertEqual(used, [made.counted_load])
        recorded = made.bench.record.call_args.args[3]
        self.assertEqual(recorded["derived"]["leader_syncs_per_second"], 2.0)

    def test_the_hosts_word_is_asked_of_etcd_where_it_runs(self):
        with mock.patch.object(etcd_server, "told_by", return_value=None) as asked:
            self.assertIsNone(running.Remote("e1:2379", True).mode())
            self.assertEqual(asked.call_args.args[-1], "e1")


if __name__ == "__main__":
    unittest.main()
