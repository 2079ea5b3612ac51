"""Tests of perf/neighbours.py's arithmetic, of what perf/abuses.py sends, and of the frames that it and perf/disturb.py build.

`python3 -m unittest discover perf`.
"""

import pathlib
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import abuses  # noqa: E402
import disturb  # noqa: E402
import neighbours  # noqa: E402


class LatencyTest(unittest.TestCase):
    def test_percentiles_are_by_nearest_rank(self):
        samples = list(range(100, 0, -1))
        found = [neighbours.percentile(samples, share) for share in (0, 0.5, 0.99, 0.995, 1)]
        self.assertEqual(found, [1, 50, 99, 100, 100])
        self.assertEqual(neighbours.percentile([7], 0.5), 7)
        self.assertIsNone(neighbours.percentile([], 0.5))

    def test_a_stall_counts_for_all_that_it_kept_from_being_sent(self):
        self.assertEqual(sorted(neighbours.without_omission([1, 10], 4)), [1, 2, 6, 10])
        found = neighbours.latency([0.1] * 999 + [1000.0])
        self.assertEqual((found["count"], found["p99"], found["max"]), (1000, 0.1, 1000.0))
        self.assertGreater(found["p99_corrected"], 900)

    def test_samples_before_the_abuse_belong_to_no_phase_and_phases_go_on(self):
        samples = [(time_ns, "get", 1.0) for time_ns in (5, 15, 25, 35, 45)]
        parts = neighbours.by_phase(samples, [("making", 10), ("closing", 20), ("making", 30), ("over", 40)])
        times = {phase: [sample[0] for sample in part] for phase, part in parts.items()}
        self.assertEqual(times, {"making": [15, 35], "closing": [25], "leaving": [45]})

    def test_the_summary_takes_medians_over_rounds_and_the_largest_maximum(self):
        def result(p99, longest, fault):
            part = {kind: {"p50": 1, "p99": p99, "max": longest} for kind in ("get", "set")}
            return {"scenario": "spin", "server": "zookeeper", "round": 1, "alone": part, "beside": part, "phases": {"spinning": part},
                    "errors": {}, "facts": {"times": 3}, "fault": fault, "after": "in 1 ms", "memory_peak_mib": 2, "memory_left_mib": -1}

        text = neighbours.summary([result(2, 9, None), result(4, 8, None), result(3, 7, "it broke")])
        self.assertIn("| spin | zookeeper | 1.00 / 3.00 / 9.00 |", text)
        self.assertIn("+2, -1", text)
        self.assertIn("**FAILED: it broke**", text)


class FrameTest(unittest.TestCase):
    def test_frames_are_those_of_the_protocol(self):
        self.assertEqual(len(disturb.HELLO), 49)
        self.assertEqual(disturb.HELLO[:4], (45).to_bytes(4, "big"))
        self.assertEqual(disturb.PING_FRAME.hex(), "00000008" "fffffffe" "0000000b")
        self.assertEqual(disturb.set_data("/a", "xy", 7).hex(), "00000007" "00000005" "00000002" "2f61" "00000002" "7879" "ffffffff")
        self.assertEqual(disturb.delete("/a").hex(), "00000001" "00000002" "00000002" "2f61" "ffffffff")

    def test_a_multi_has_a_header_before_each_create_and_one_at_its_end(self):
        made = disturb.create("/a")
        found = disturb.multi([made, made])
        part = (1).to_bytes(4, "big") + b"\0" + b"\xff" * 4 + made[8:]
        self.assertEqual(found, bytes.fromhex("00000001" "0000000e") + part + part + b"\xff" * 4 + b"\1" + b"\xff" * 4)

    def test_an_event_is_as_long_as_the_crowd_counts(self):
        # xid -1, zxid -1, error 0; type, state, path
        body = b"\xff" * 12 + bytes(4) + bytes.fromhex("00000003" "00000003") + disturb.text("/fan")
        self.assertEqual(len(disturb.frame(body)), disturb.event_bytes("/fan"))

    def test_garbage_is_of_many_kinds_and_the_same_for_a_seed(self):
        def drawn():
            dice = abuses.random.Random(5)
            return [abuses.garbage_bytes(dice) for _ in range(200)]

        first = drawn()
        self.assertEqual(first, drawn())
        self.assertEqual({after_handshake for _, after_handshake in first}, {True, False})
        self.assertTrue(any(len(data) > 2 << 20 for data, _ in first), "none is oversized")


class CrowdTest(unittest.TestCase):
    def test_a_crowd_waits_for_all_bytes_and_notes_who_was_dropped(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            crowd = disturb.Crowd(listener.getsockname()[1])
            first, second = crowd.dial(), crowd.dial()
            accepted = [listener.accept()[0] for _ in range(2)]
            crowd.put(first, b"ask", 6)
            crowd.put(second, b"ask", 6)
            answer = threading.Thread(target=lambda: (accepted[0].sendall(b"ans"), accepted[0].sendall(b"wer"), accepted[1].close()))
            answer.start()
            self.assertTrue(crowd.pump(time.monotonic() + 10))
            answer.join()
            self.assertEqual((first.got, second.got, crowd.dropped), (6, 0, 1))
            crowd.put(first, b"half a frame, to which no answer comes", 0)
            self.assertTrue(crowd.pump(time.monotonic() + 0.05))
            crowd.expect(first, 1)
            self.assertFalse(crowd.pump(time.monotonic() + 0.05))
            accepted[0].close()
            first.socket.close()
            crowd.epoll.close()


if __name__ == "__main__":
    unittest.main()
