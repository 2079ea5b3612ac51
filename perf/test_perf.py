"""Tests of the arithmetic in perf/: medians, verdicts, intervals. `python3 -m unittest discover perf`."""

import contextlib
import io
import pathlib
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
import rows  # noqa: E402
import summary  # noqa: E402
from snapshot_watch import SnapshotWatch, share_while_writing  # noqa: E402


def result(row, server, value, **more):
    return {"row": row, "server": server, "round": 1, "value": value, "unit": "op/s", **more}


class SummaryTest(unittest.TestCase):
    def table(self, *results):
        return summary.Table(rows.ROWS, list(results))

    def test_a_row_is_judged_by_medians(self):
        results = [result("get32x16", "ringkeeper", value) for value in (500, 620, 900)]
        results += [result("get32x16", "zookeeper", value) for value in (90, 100, 300)]
        results += [result("get32x16", "floor", 1000)]
        text = summary.markdown(self.table(*results))
        self.assertIn("620 op/s (500 to 900)", text)
        self.assertIn("| 6.20 | 0.62 | 6 × ZooKeeper: reached | 0.7 of the floor: MISSED |", text)

    def test_what_was_not_measured_is_said(self):
        text = summary.markdown(self.table(result("get1x1", "zookeeper", 100)))
        self.assertIn("≤ 1/4 of ZooKeeper's: not measured", text)
        self.assertNotIn("reached", text)

    def test_noise_and_errors_are_marked(self):
        text = summary.markdown(self.table(result("get1x1", "floor", 14, noisy=True, errors={"NoNode": 2})))
        self.assertIn("14 op/s ~ **errors**", text)
        self.assertIn("≤ 1.4 × the floor: not measured ~", text)

    def test_what_was_measured_in_part_is_marked(self):
        part = result("openloop", "zookeeper", 14, partial="too far behind", errors={})
        self.assertIn("**in part**", self.table(part).cell("openloop", "zookeeper"))
        self.assertEqual(summary.marks([result("get1x1", "floor", 14, noisy=True), part]), " ~ **in part**")

    def test_every_requirement_belongs_to_a_row(self):
        names = {row.name for row in rows.ROWS}
        self.assertLessEqual(set(summary.REQUIREMENTS), names)
        self.assertEqual(names - set(summary.REQUIREMENTS), {"openloop", "instructions"})

    def test_flatness_needs_a_setting_that_is_heeded(self):
        def read(shards, threads, instructions):
            return result("instructions", "ringkeeper", 900, shards=shards, user_instructions_per_read=instructions,
                          kernel_instructions_per_read=800, operations_per_second=1e6, server_usage={"threads": threads})

        deaf = summary.markdown(self.table(read("1 shards", 5, 900), read("2 shards", 5, 900)))
        self.assertIn("Flatness not measured", deaf)
        flat = summary.markdown(self.table(read("1 shards", 5, 900), read("2 shards", 6, 910)))
        self.assertIn("(flat;", flat)
        steep = summary.markdown(self.table(read("1 shards", 5, 900), read("2 shards", 6, 1100)))
        self.assertIn("NOT flat", steep)

    def test_csv_has_a_line_per_result(self):
        text = summary.as_csv([result("get1x1", "floor", 14), result("restart", "zookeeper", 3.5)])
        self.assertEqual(len(text.splitlines()), 3)


class ComparisonTest(unittest.TestCase):
    def test_rows_that_fail_are_told_and_the_others_are_measured(self):
        comparison = object.__new__(compare.Comparison)
        comparison.failures, measured = [], []

        def fail():
            raise compare.ServerError("no counters here")

        comparison.closed, comparison.instructions = lambda: measured.append("closed"), fail
        comparison.open_loop, comparison.million_rows = lambda: measured.append("open"), lambda: measured.append("million")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            comparison.measure()
        self.assertEqual(measured, ["closed", "open", "million"])
        self.assertEqual(comparison.failures, ["instructions: no counters here"])
        self.assertIn("NOT MEASURED: instructions", said.getvalue())


class SnapshotTest(unittest.TestCase):
    def test_share_compares_slices_with_and_without(self):
        replies = [100] * 20 + [50] * 20
        load = {"window_start_ns": 0, "series_100ms": {"replies": replies}}
        share, inside, outside = share_while_writing(load, [(2_000_000_000, 4_000_000_000)])
        self.assertEqual((share, inside, outside), (0.5, 20, 20))
        self.assertEqual(share_while_writing(load, []), (None, 0, 40))

    def until(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_a_snapshot_lasts_until_it_is_renamed_or_stops_growing(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "snapshot.1").write_text("old")
            (directory / "log.1").write_text("old")
            with SnapshotWatch(name) as watch:
                (directory / "snapshot.2.tmp").write_text("begun")
                self.until(lambda: watch.snapshots())
                began = watch.snapshots()[0][0]
                (directory / "snapshot.2.tmp").rename(directory / "snapshot.2")
                self.until(lambda: watch.snapshots()[0][1] > began)
                (directory / "log.2").write_text("new")
                self.until(lambda: watch.logs_begun() == 1)
                (directory / "snapshot.1").unlink()
                self.until(lambda: watch.files_removed() == 1)
            self.assertEqual(len(watch.snapshots()), 1)

    def test_a_snapshot_that_was_begun_before_is_written_from_the_first_look_on(self):
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            (directory / "snapshot.1").write_text("whole")
            (directory / "snapshot.2.tmp").write_text("begun")
            with SnapshotWatch(name) as watch:
                (directory / "snapshot.2.tmp").rename(directory / "snapshot.2")
                self.until(lambda: str(directory / "snapshot.2") in watch.files_seen)
            (begin, end), = watch.snapshots()
            self.assertGreater(end, begin)


if __name__ == "__main__":
    unittest.main()
