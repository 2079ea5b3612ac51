"""The arithmetic and the drawing of the scenarios. Run by `python3 -m unittest discover perf`."""

import pathlib
import tempfile
import unittest
from unittest import mock
from xml.etree import ElementTree

import again
import chart
import page
import rows
import scenario
import scenarios
from chart import Chart, Line
from scenarios import kit, lost, offered, ratios, sessions, sizes, snapshots, tables
from servers import ServerError

MS = 1_000_000
TOLD = {"count": 2, "p50_us": 900.0, "p99_us": 950.0, "max_us": 960.0}


def measured(row, server, x, **more):
    latency = {f"p{name}_us": 100.0 * at for at, name in enumerate(("50", "99", "999", "9999"), 1)}
    derived = {"cpu_us_per_operation": 9.0, "leader_cpu_us_per_operation": 2.0 + x, "operations_per_sync": 40.0,
               "operations_per_leader_sync": 40.0, "leader_syncs_per_second": 4321.0}
    return {"row": row, "server": server, "round": 1, "x": x, "label": str(x), "value": 1000.0, "unit": "op/s", "errors": {},
            "operations_per_second": 1000.0 + x, "latency": {**latency, "max_us": 500.0}, "derived": derived, **more}


class Charts(unittest.TestCase):
    def test_ticks_are_round_and_hold_the_values(self):
        self.assertEqual(chart.ticks(0, 9, False), [0, 2, 4, 6, 8, 10])
        self.assertEqual(chart.ticks(0, 143_000, False)[-1], 150_000)
        self.assertEqual(chart.ticks(0.3, 2_000, True), [0.1, 1, 10, 100, 1000, 10_000])
        self.assertEqual(chart.ticks(10, 10, True), [10])

    def test_a_chart_is_xml_with_a_point_for_each_value(self):
        lines = [Line("ringkeeper", [(1, 5), (3, 2)]), Line("zookeeper <old>", [(1, 1), (3, None)])]
        tree = ElementTree.fromstring(chart.svg(Chart("a & b", "voters", "ms", lines)))
        names = [element.tag.split("}")[1] for element in tree.iter()]
        self.assertEqual(names.count("polyline"), 2)
        self.assertEqual(names.count("circle"), 3)
        self.assertIn("a & b", [element.text for element in tree.iter()])

    def test_nothing_and_zeros_are_drawn_too(self):
        for log in (False, True):
            lines = [Line("ringkeeper", [(0, 0), (1, 0)])]
            ElementTree.fromstring(chart.svg(Chart("t", "x", "y", lines, x_log=log, y_log=log)))
            ElementTree.fromstring(chart.svg(Chart("t", "x", "y", [], x_log=log, y_log=log)))

    def test_larger_is_higher_and_farther_right(self):
        axis = chart.Axis([1, 10, 100], True, 0, 200)
        self.assertEqual([round(axis.place(value)) for value in (1, 10, 100)], [0, 100, 200])
        up = chart.Axis([0, 10], False, 300, 0)
        self.assertLess(up.place(10), up.place(5))


class Arithmetic(unittest.TestCase):
    def test_the_slope_of_a_line_is_its_slope(self):
        self.assertAlmostEqual(sizes.slope([(3, 5.0), (5, 6.0), (7, 7.0)]), 0.5)
        self.assertIsNone(sizes.slope([(3, 5.0)]))
        self.assertIsNone(sizes.slope([]))

    def test_the_knee_is_the_last_rate_before_latency_or_answers_give_way(self):
        flat = [(100, 2.0, 100), (200, 3.0, 200), (300, 6.0, 300), (400, 7.0, 400)]
        self.assertEqual(offered.knee(flat), 300)
        self.assertEqual(offered.knee([(100, 2.0, 100), (200, 2.0, 150)]), 100)
        # What comes back below the limit behind the knee is no part of it.
        self.assertEqual(offered.knee([(100, 2.0, 100), (200, 9.0, 200), (300, 2.0, 300)]), 100)
        self.assertIsNone(offered.knee([]))

    def test_buckets_count_what_was_answered_in_each(self):
        times = [5 * MS, 99 * MS, 100 * MS, 350 * MS, 400 * MS]
        self.assertEqual(lost.buckets(times, 0, 450 * MS), [2, 1, 0, 1])
        self.assertEqual(lost.buckets(times, 300 * MS, 400 * MS), [1])

    def test_the_longest_gap_reaches_to_both_ends(self):
        self.assertEqual(lost.longest_gap([], 0, 70), 70)
        self.assertEqual(lost.longest_gap([5, 40, 50], 0, 70), 35)
        self.assertEqual(lost.longest_gap([1, 2, 90], 0, 60), 58)

    def test_snapshots_of_any_tree_find_room_in_their_window(self):
        self.assertEqual(snapshots.window(10_000, 5), (30, 60))
        self.assertEqual(snapshots.window(1_000_000, 5), (30, 3))
        self.assertEqual(snapshots.window(10_000_000, 5), (120, 2))
        self.assertEqual(snapshots.window(10_000, 1), (6, 12))

    def test_numbers_of_znodes_are_read_or_refused(self):
        self.assertEqual(snapshots.parse_trees("10k,1m,2000"), [10_000, 1_000_000, 2_000])
        for wrong in ("", "k", "1.5m", "500", "1500", "10k,,1m", "many"):
            with self.assertRaisesRegex(ServerError, "--trees"):
                snapshots.parse_trees(wrong)


class Apart(unittest.TestCase):
    def test_a_line_a_load_and_server_with_medians_of_what_is_known(self):
        results = [measured("set", name, 3, derived={"leader_cpu_us_per_operation": cpu})
                   for name, cpu in (("etcd", 1.0), ("etcd", 9.0), ("etcd", 2.0), ("zookeeper", None))]
        (_, header, lines), = tables.apart(results)
        self.assertEqual(header, ["load", "", "server", "leader's CPU µs per operation"])
        self.assertEqual(lines, [["set", "3", "etcd", sizes.told(2.0)]])
        self.assertEqual(tables.apart([measured("set", "etcd", 3, derived={})]), [])

    RESULT = {"server": {"cpu_seconds_each": [1.0, 0.5]}, "operations": 1000, "replies_total": 1500, "operations_per_second": 500.0,
              "generator": {"cpu_seconds": 1.0}, "window_seconds": 2.0}

    def test_a_load_that_was_cut_before_its_window_is_no_fault_of_the_run(self):
        result = {**self.RESULT, "window_seconds": 0.0}
        self.assertNotIn("generator_share_of_a_processor", kit.derived(result))

    def test_syncs_are_those_of_the_operations_that_were_counted_with_them(self):
        # Warm-up and window: 1,500 replies in three seconds.
        found = kit.derived({**self.RESULT, "counted": {"syncs": [10, 20], "members": 2, "knows_leader": True}})
        self.assertEqual((found["operations_per_sync"], found["syncs_per_second"]), (50.0, 10.0))
        self.assertEqual((found["operations_per_leader_sync"], found["leader_syncs_per_second"]), (150.0, 10 / 3))
        self.assertEqual((found["leader_cpu_us_per_operation"], found["cpu_us_per_operation"]), (1000.0, 1500.0))

    def test_no_sync_is_known_to_be_none_and_an_unknown_one_is_not(self):
        reads = kit.derived({**self.RESULT, "counted": {"syncs": [0, 0], "members": 2, "knows_leader": True}})
        self.assertEqual(reads["leader_syncs_per_second"], 0)
        self.assertNotIn("operations_per_leader_sync", reads)
        silent = kit.derived({**self.RESULT, "counted": {"syncs": [30, None], "members": 2, "knows_leader": True}})
        self.assertEqual(silent["leader_syncs_per_second"], 10.0)
        self.assertNotIn("syncs_per_second", silent)

    def test_what_the_servers_tell_of_their_processor_time_goes_before_what_this_host_knows(self):
        counted = {"members": 3, "knows_leader": True, "cpu_seconds": [3.0, 1.5, 1.5]}
        found = kit.derived({**self.RESULT, "counted": counted})
        self.assertEqual((found["leader_cpu_us_per_operation"], found["cpu_us_per_operation"]), (2000.0, 4000.0))
        # Two of three are on this host: what they took is not what all did.
        self.assertNotIn("cpu_us_per_operation", kit.derived({**self.RESULT, "counted": {**counted, "cpu_seconds": [3.0, None, 1.0]}}))
        unled = kit.derived({**self.RESULT, "counted": {**counted, "knows_leader": False}})
        self.assertEqual(unled["cpu_us_per_operation"], 4000.0)
        self.assertNotIn("leader_cpu_us_per_operation", unled)

    def test_what_began_anew_meanwhile_is_not_known(self):
        self.assertEqual(kit.counted([{"syncs": 5}, {"syncs": 9}, {"syncs": None}], [{"syncs": 8}, {"syncs": 1}, {"syncs": 3}]),
                         {"syncs": [3, None, None]})

    def test_the_order_of_the_rounds_is_told(self):
        options = mock.Mock(rounds=3)
        self.assertEqual(scenario.rounds(sizes, options), "3, the servers by turns")
        self.assertEqual(scenario.rounds(snapshots, options), "1, one server after the other")


class Ranges(unittest.TestCase):
    def test_each_load_has_its_rounds_medians_and_ranges_and_what_failed(self):
        results = [{**measured("set", "etcd", 3), "operations_per_second": rate, "errors": errors, "noisy": noisy}
                   for rate, errors, noisy in ((10.0, {}, False), (30.0, {"too many": 2}, True), (20.0, {}, False))]
        (_, header, (line,)), = tables.ranges(results)
        self.assertEqual(line, ["set", "3", "etcd", 3, "20 (10 to 30) ~ **errors**", "0.1", "0.2", "0.3", "0.5", "2"])
        self.assertEqual(len(header), len(line))
        self.assertEqual(tables.ranges([{"row": "memory", "server": "etcd", "value": 1}]), [])
        self.assertEqual(tables.ranges([{**measured("set", "etcd", 3), "operations_per_second": 0.0}]), [])

    def test_failed_requests_are_told_with_their_commonest_reasons(self):
        results = [measured("set", name, 3, errors=errors) for name, errors in (
            ("etcd", {"a": 1, "b": 20, "c": 3}), ("etcd", {"b": 1000, "d": 2}), ("etcd", {}), ("ringkeeper", {}))]
        results = [{**one, "errors": one["errors"]} for one in results]
        self.assertEqual(tables.failed_requests(results), [
            "Failed requests of etcd: 1,026, in 2 of 3 measurements: b (1,020), c (3), d (2), others (1). Latencies are of those that "
            "were answered."])

    def test_pages_are_written_anew_from_what_was_measured(self):
        results = [{**measured("set-32x16", "ringkeeper", x), "errors": {"lost": 1} if x == 3 else {}} for x in (1, 3)]
        facts, notes = [("noise", "others used more than 8% of the machine"), ("commit", "abc | def")], ["One note.", "Another."]
        files = scenario.pages(sizes, results, facts, notes, "2026-01-02")
        found, day, read_facts, read_notes = again.known(files["README.md"])
        self.assertEqual((found, day, read_facts, read_notes), (sizes, "2026-01-02", facts, notes))
        self.assertEqual(scenario.pages(found, results, read_facts, read_notes, day), files)
        self.assertIsNone(again.known("# Something else, 2026-01-02\n\n"))
        _, _, (first, second), _ = again.known(files["README.md"].replace("abc | def", ""))
        self.assertEqual((first[0], second), ("noise", ("commit", "")))

    def test_pages_arent_written_anew_from_a_part(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "raw").mkdir()
            (folder / "raw.csv").write_text("row\na\nb\n")
            for raw in ("001-a-x-1.json", "last.json"):
                (folder / "raw" / raw).write_text("{}")
            with self.assertRaisesRegex(ServerError, "has 1 measurements, raw.csv 2"):
                again.measured(folder)
            (folder / "raw" / "002-b-x-1.json").write_text("{}")
            self.assertEqual(again.measured(folder), [{}, {}])


class Generator(unittest.TestCase):
    def test_what_was_measured_in_part_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "load")
            program.write_text("""#!/bin/sh
while [ "$1" != --json ]; do shift; done
echo '{"partial": "too far behind"}' >"$2"
exit 3
""")
            program.chmod(0o755)
            bench = rows.Bench(program, pathlib.Path(folder), 1, 0, 1, 0, 0)
            target = mock.Mock(addresses=["a:1"], pids=[], generator=None)
            self.assertEqual(bench.load(target, []), {"partial": "too far behind"})
            program.write_text("#!/bin/sh\nexit 3\n")
            target.name = "zookeeper"
            with self.assertRaises(ServerError):
                bench.load(target, [])


class Reports(unittest.TestCase):
    """Each scenario's report takes what its `run` records, also where only a part was measured."""

    RESULTS = {
        "sizes": [measured(row, server, x) for row in ("set-32x16", "set-1x1") for server in ("zookeeper", "ringkeeper")
                  for x in (1, 3, 5)],
        "ratios": [measured("3-voters-100-bytes", "ringkeeper", x) for x in (0, 50.0, 100)],
        "observers": [measured(row, "ringkeeper", x) for row in ("get-32x16", "set-32x16", "set-1x1") for x in (0, 1)],
        "offered": [measured("set-open", "zookeeper", x) for x in (100, 200, 300)],
        "sessions": [measured("get-1-voters", "ringkeeper", x) for x in (1, 10)],
        "lost": [measured("leader-killed", "ringkeeper", 0, buckets=[3, 0, 4], longest_of_a_client_ms=7.0, sessions_lost=0),
                 measured("leader-killed", "etcd", 0, buckets=[3, 0, 4], longest_of_a_client_ms=7.0, sessions_lost=None)],
        "snapshots": [measured("tree", "ringkeeper", 10_000, memory={"anonymous": 5e6}, bytes_per_znode=300.0, fill_seconds=1.0,
                               restart_seconds=0.5, snapshot_seconds=[0.1], series_100ms={"replies": [4, 5]})],
        "watches": [measured("fan", "ringkeeper", x, latency_by_kind={"watch": TOLD, "watch_last": TOLD}) for x in (1, 100)]
        + [measured("memory", "ringkeeper", 1_000_000, bytes_per_watch=80.0, set_seconds=3.0)],
        "distance": [measured(row, "ringkeeper", x) for row in ("set-32x16", "set-1x1") for x in (0, 10)]
        + [measured("set-1x1-one-slow", "ringkeeper", 10)],
    }

    def test_each_has_charts_and_a_table_with_every_server(self):
        for scenario in scenarios.ALL:
            with self.subTest(scenario.NAME):
                results = self.RESULTS[scenario.NAME]
                charts, tables = scenario.report(results)
                self.assertTrue(charts)
                text = page.page(scenario.TITLE, scenario.QUESTION, [("a", "b")], charts, tables, ["note"])
                for name in {result["server"] for result in results}:
                    self.assertIn(f"<td>{name}</td>", text)
                self.assertNotIn("http://", text.replace("http://www.w3.org/2000/svg", ""))
                self.assertNotIn("<script", text)

    def test_each_that_measures_writes_tells_the_leaders_syncs_a_second_and_the_writes_in_each(self):
        for scenario in scenarios.ALL:
            if scenario.NAME in ("lost", "watches"):
                continue  # Theirs are in the table that all have.
            with self.subTest(scenario.NAME):
                results = [{**result, "row": result["row"].replace("get-1-", "set-1-")} for result in self.RESULTS[scenario.NAME]]
                header, lines = next(table for name, *table in scenario.report(results)[1] if name.startswith("Figures"))
                self.assertIn("writes per sync", header)
                at = next(index for index, name in enumerate(header) if name.endswith("syncs/s"))
                self.assertIn(sizes.told(4321.0), [line[at] for line in lines])
                self.assertTrue(all(len(line) == len(header) for line in lines))

    def test_writes_per_sync_of_a_mixed_load_count_its_writes(self):
        self.assertEqual([ratios.writes_per_sync(measured("r", "ringkeeper", x)) for x in (0, 75.0, 100)], [40.0, 10.0, None])
        self.assertIsNone(sessions.writes_per_sync(measured("get-1-voters", "ringkeeper", 1)))

    def test_what_a_write_costs_is_of_the_time_before_the_event(self):
        used = lost.Usage.__new__(lost.Usage)
        used.begin, used.end, used.used = 0, 2_000_000_000, {"cpu_seconds": [0.5, 0.25, 0.25], "syncs": [2, 1, 1]}
        found = used.each([0, 1, 500, 2_000_000_000, 2_000_000_001])
        self.assertEqual(found, {"cpu_us_per_operation": 1e6 / 3, "leader_cpu_us_per_operation": 0.5e6 / 3, "operations_per_sync": 0.75,
                                 "syncs_per_second": 2.0, "operations_per_leader_sync": 1.5, "leader_syncs_per_second": 1.0})
        self.assertEqual(used.each([]), {})
        # A member's counter fell, as when one of its threads has ended.
        used.used = {"cpu_seconds": [0.5, None, 0.25], "syncs": [2, None, 1]}
        self.assertEqual(used.each([1])["leader_cpu_us_per_operation"], 0.5e6)
        self.assertNotIn("cpu_us_per_operation", used.each([1]))

    def test_observers_that_run_are_told_from_voters(self):
        self.assertEqual(scenario.running("mine=a:1,b:2+c:3"), ("mine", ["a:1", "b:2"], ["c:3"]))
        self.assertEqual(scenario.running("mine=a:1"), ("mine", ["a:1"], []))
        self.assertEqual(scenario.running("mine=a:1/7000,[::1]:2+c:3/7001"), ("mine", ["a:1/7000", "[::1]:2"], ["c:3/7001"]))
        for wrong in ("mine=", "=a:1", "mine=+a:1", "mine=a:1+c", "mine=a:b", "mine=a:1/", "mine=:1"):
            with self.assertRaises(ServerError):
                scenario.running(wrong)
        self.assertEqual(kit.Running("mine", ["a:1"], ["c:3", "d:4"]).beside(1).addresses, ["a:1", "c:3"])

    def test_all_have_names_of_their_own(self):
        names = [scenario.NAME for scenario in scenarios.ALL]
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue(all(scenario.TITLE and scenario.QUESTION for scenario in scenarios.ALL))


if __name__ == "__main__":
    unittest.main()
