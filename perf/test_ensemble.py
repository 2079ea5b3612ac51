"""Tests of the ensembles' measurement: tables, slopes, pauses, configuration. `python3 -m unittest discover perf`."""

import pathlib
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import ensemble_rows  # noqa: E402
import ensemble_summary  # noqa: E402
import ensembles  # noqa: E402
import failover  # noqa: E402
import servers  # noqa: E402
import summary  # noqa: E402
import syncers  # noqa: E402


def result(row, server, value, **more):
    return {"row": row, "server": server, "round": 1, "value": value, "unit": "op/s", **more}


def text_of(*results):
    return ensemble_summary.markdown(
        summary.Table([*ensemble_rows.ROWS, *ensemble_rows.FLOOR_ROWS], list(results)))


class SummaryTest(unittest.TestCase):
    def test_sets_are_judged_by_both_ratios(self):
        text = text_of(result("set3", "ringkeeper", 700, server_usage={"operations_per_cpu_second": 130}),
                       result("set3", "zookeeper", 100, server_usage={"operations_per_cpu_second": 10}))
        self.assertIn("| 7.00 | 5 × ZooKeeper: reached | 10 × ZooKeeper: MISSED |", text)
        self.assertIn("| 13.00 | 6 × ZooKeeper: reached | 12 × ZooKeeper: reached |", text)

    def test_the_floor_of_a_write_is_two_round_trips_and_a_sync(self):
        floor = [result("hop", "floor", 20), result("syncers", "floor", 100, all_us=130)]
        text = text_of(*floor, result("set1", "ringkeeper", 180), result("set1", "zookeeper", 400))
        self.assertIn("| 140 µs | 0.45 | ≤ 0.5 of ZooKeeper's: reached | ≤ 1.3 × the floor: reached |", text)
        text = text_of(*floor, result("set1", "ringkeeper", 190), result("set1", "zookeeper", 300))
        self.assertIn("MISSED | ≤ 1.3 × the floor: MISSED |", text)
        self.assertIn("floor: not measured", text_of(result("set1", "ringkeeper", 1)))

    def test_one_server_alone_reaches_nothing_relative(self):
        text = text_of(result("set5", "ringkeeper", 700), result("mixed3", "ringkeeper", 1))
        self.assertIn("6 × ZooKeeper: not measured", text)
        self.assertNotIn("reached", text)

    def test_a_load_without_an_answer_is_no_fast_one(self):
        text = text_of(result("set1", "ringkeeper", None, errors={"nothing": 1}), result("set1", "zookeeper", 400))
        self.assertIn("≤ 0.5 of ZooKeeper's: not measured", text)

    def test_every_requirement_has_a_line_and_every_line_a_row(self):
        names = {row.name for row in ensemble_rows.ROWS} | {"percpu"}
        self.assertLessEqual(set(ensemble_summary.REQUIREMENTS), set(ensemble_summary.TABLE_ROWS))
        self.assertLessEqual(set(ensemble_summary.TABLE_ROWS), names)
        self.assertEqual(names - set(ensemble_summary.TABLE_ROWS), {"followers", "observers", "openloop"})


class SlopeTest(unittest.TestCase):
    def costs(self, row, *values):
        return [result(row, "ringkeeper", value, count=count, rate=100.0) for count, value in values]

    def test_least_squares(self):
        self.assertEqual(ensemble_summary.slope([(1, 5), (2, 7), (3, 9)]), (2, 3))
        self.assertIsNone(ensemble_summary.slope([(1, 5), (1, 6)]))
        self.assertIsNone(ensemble_summary.slope([]))

    def test_an_observer_is_compared_with_a_follower(self):
        followers = self.costs("followers", (1, 12), (2, 14), (3, 16), (4, 18))
        text = text_of(*followers, *self.costs("observers", (0, 14), (1, 15), (2, 16)))
        self.assertIn("An observer costs 1.00 µs a write, a follower 2.00: ≤ 0.6 of a follower: reached", text)
        text = text_of(*followers, *self.costs("observers", (0, 14), (1, 16), (2, 18)))
        self.assertIn("MISSED", text)

    def test_a_slope_that_noise_turned_round_reaches_nothing(self):
        text = text_of(*self.costs("followers", (1, 14), (2, 12)), *self.costs("observers", (0, 14), (1, 9)))
        self.assertIn("not told", text)
        self.assertNotIn("reached", text)


class LostTest(unittest.TestCase):
    MS = 1_000_000

    def answers(self, *times):
        return [((at - 0.2) * self.MS, at * self.MS) for at in times]

    def test_a_dying_leaders_answer_does_not_end_the_pause_and_a_later_one_is_told_apart(self):
        seen = self.answers(99, 100.5, 130, 131, 190)
        self.assertEqual(failover.pauses(seen, [120 * self.MS], 100 * self.MS),
                         (100.5 * self.MS, 130 * self.MS, 59 * self.MS))

    def test_where_the_connection_lives_on_the_longest_pause_counts(self):
        self.assertEqual(failover.pauses(self.answers(99, 100.5, 130, 131), [], 100 * self.MS),
                         (100.5 * self.MS, 130 * self.MS, 1 * self.MS))

    def test_no_answer_after_or_before_is_no_pause(self):
        self.assertIsNone(failover.pauses(self.answers(98, 99), [], 100 * self.MS))
        self.assertIsNone(failover.pauses(self.answers(101, 102), [], 100 * self.MS))
        self.assertIsNone(failover.pauses(self.answers(99, 101), [102 * self.MS], 100 * self.MS))

    def test_detection_is_taken_off_only_from_a_stopped_leaders_time(self):
        client = {"disconnected_ms": 1005.0, "reconnected_ms": None, "sessions_lost": 0, "later_pause_ms": 1.0}
        clients = [{**client, "wrote_ms": 1040.0}, {**client, "wrote_ms": 1020.0}]
        rows = {row.name: row for row in ensemble_rows.ROWS}
        stopped = ensemble_rows.lost_result(rows["stop"], clients, 1.0, None)
        self.assertEqual((stopped["value"], stopped["all_clients_ms"]), (20, 40))
        self.assertEqual(ensemble_rows.lost_result(rows["kill"], clients, 10.0, 3.5)["value"], 1020)
        killed = [result("kill", "ringkeeper", value, all_clients_ms=30, clients=clients) for value in (20, 24, 200)]
        self.assertIn("≤ 80 ms: reached | ≤ 25 ms: reached |", text_of(*killed))


class TinyServer(threading.Thread):
    """Takes sessions and acknowledges everything; hangs up after so many answers on each of its connections."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.answers = answers
        self.sessions = []
        self.start()

    def run(self):
        while True:
            try:
                conversation, _ = self.listener.accept()
            except OSError:
                return
            with conversation, conversation.makefile("rb") as stream:
                for number in range(self.answers):
                    head = stream.read(4)
                    if len(head) < 4:
                        break
                    body = stream.read(struct.unpack(">i", head)[0])
                    if number == 0:
                        self.sessions.append(struct.unpack_from(">q", body, 16)[0])
                        answer = struct.pack(">iiq", 0, 6000, 77) + failover.buffer(b"p" * 16) + b"\0"
                    else:
                        answer = body[:4] + struct.pack(">qi", 5, 0)
                    conversation.sendall(failover.buffer(answer))


class WriterTest(unittest.TestCase):
    def test_it_comes_back_with_its_session_and_goes_to_the_other_server(self):
        first, second = TinyServer(5), TinyServer(1_000_000)
        writer = failover.Writer([first.address, second.address], "/w")
        writer.start()
        deadline = time.monotonic() + 10
        while len(writer.acknowledged) < 20:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.002)
        writer.finish()
        first.listener.close()
        second.listener.close()
        self.assertEqual((first.sessions, second.sessions), ([0], [77]))
        self.assertEqual((len(writer.disconnects), writer.sessions_lost, writer.errors), (1, 0, {}))
        self.assertFalse(writer.is_alive())


class HangUpTest(unittest.TestCase):
    def test_it_notes_when_the_other_side_closes(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            watch = failover.HangUp("127.0.0.1:%d" % listener.getsockname()[1])
            accepted, _ = listener.accept()
            self.assertIsNone(watch.at)
            before = time.monotonic_ns()
            accepted.close()
            watch.join(10)
            self.assertGreaterEqual(watch.at, before)
            watch.finish()


class EnsembleTest(unittest.TestCase):
    def test_members_name_one_another_and_observers_say_so(self):
        def make(directory):
            return servers.Ringkeeper(directory, "load", "binary")

        ensemble = ensembles.Ensemble("ringkeeper", "d", make, 2, 1, {"tickTime": 500, "syncLimit": 2})
        lines = [{key: value for key, value in member.settings.items() if key.startswith("server.")}
                 for member in ensemble.members]
        self.assertEqual(lines[0], lines[2])
        self.assertEqual([line.endswith(":observer") for line in lines[0].values()], [False, False, True])
        self.assertEqual([member.settings.get("peerType") for member in ensemble.members], [None, None, "observer"])
        self.assertEqual(ensemble.detection_seconds, 1.0)
        ports = [port for pair in ensemble.peer_ports for port in pair] + [member.port for member in ensemble.members]
        self.assertEqual(len(set(ports)), 9)
        self.assertEqual((ensemble.running, ensemble.addresses), ([], []))

    def test_the_mode_is_found_in_the_answer(self):
        self.assertEqual(servers.mode_of("Zxid: 0x1\nMode: leader\nNode count: 5\n"), "leader")
        self.assertIsNone(servers.mode_of("This ZooKeeper instance is not currently serving requests\n"))


class SyncersTest(unittest.TestCase):
    def test_the_second_of_three_is_the_quorums(self):
        self.assertEqual(syncers.summary([[3000, 1000, 2000], [9000, 2000, 4000], [6000, 1000, 3000]]),
                         {"first_us": 1, "quorum_us": 3, "all_us": 6, "count": 3})

    def test_three_processes_sync_and_leave_nothing(self):
        with tempfile.TemporaryDirectory() as name:
            seen = syncers.measure(name, 0)
            self.assertEqual(list(pathlib.Path(name).iterdir()), [])
        self.assertEqual(seen["count"], 50)
        self.assertTrue(0 < seen["first_us"] <= seen["quorum_us"] <= seen["all_us"])


if __name__ == "__main__":
    unittest.main()
