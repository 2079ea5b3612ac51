"""The pure parts of knob.py. Run by `python3 -m unittest discover perf`."""

import argparse
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import knob  # noqa: E402
import page  # noqa: E402
from servers import ServerError  # noqa: E402


def measured(server, round_number, rate, x=1, row="set-32x16", **more):
    return {"row": row, "server": server, "round": round_number, "x": x, "operations_per_second": rate, "errors": {},
            "latency": {"p50_us": 1e6 / rate, "p99_us": 2e6 / rate, "p999_us": 3e6 / rate}, "derived": {"cpu_us_per_operation": 4.0},
            "anonymous_bytes": 8_000_000, **more}


def options(name="ringkeeper.shards", values=("1", "2"), voters=1):
    return argparse.Namespace(name=name, values=list(values), voters=voters)


class Arguments(unittest.TestCase):
    def test_loads_are_read_or_refused(self):
        self.assertEqual(knob.parse_loads("32x16,4@900"), {
            "32x16": ["--sessions", 32, "--outstanding", 16], "4@900": ["--sessions", 4, "--rate", 900]})
        for wrong in ("", "32", "0x1", "1x0", "1x1,,2x2", "1X1", "-1x1", "1x1x1", "1@", "1@0", "1@2x3"):
            with self.assertRaisesRegex(ServerError, "--loads"):
                knob.parse_loads(wrong)

    def test_there_are_two_values_or_more_and_none_twice(self):
        self.assertEqual(knob.checked_values(["a", "b", "c"]), ["a", "b", "c"])
        for wrong in (["a"], ["a", "b", "a"]):
            with self.assertRaises(ServerError):
                knob.checked_values(wrong)

    def test_names_of_files_are_plain(self):
        self.assertEqual(knob.file_name("A_B=0,1"), "A_B=0,1")
        self.assertEqual(knob.file_name("../a b/ü"), "a-b")


class Rounds(unittest.TestCase):
    def test_each_value_is_first_in_turn(self):
        self.assertEqual([knob.turns(["a", "b", "c"], number) for number in (1, 2, 3, 4)],
                         [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]])

    def test_a_setting_that_is_not_taken_is_noticed(self):
        said = "INFO ready\nERROR zoo.cfg:3: unknown key `ringkeeper.shads` (line 3)\nWARN other thing\n"
        self.assertEqual(len(knob.objections(said, "ringkeeper.shads")), 1)
        self.assertEqual(knob.objections(said, "ringkeeper.shards"), [])
        self.assertEqual(knob.objections("INFO ringkeeper.shards=2\n", "ringkeeper.shards"), [])
        # What it warns of and does.
        self.assertEqual(knob.objections("ERROR forceSync=no: acknowledged writes are lost when the power fails\n", "forceSync"), [])


class Figures(unittest.TestCase):
    RESULTS = [measured("k=1", 1, 100.0), measured("k=2", 1, 120.0, 2), measured("k=1", 2, 200.0), measured("k=2", 2, 180.0, 2),
               measured("k=1", 3, 100.0), measured("k=2", 3, 130.0, 2)]

    def test_a_round_is_held_against_the_same_round(self):
        self.assertEqual(knob.against(self.RESULTS, "k=1", "k=1"), "1")
        self.assertEqual(knob.against(self.RESULTS, "k=1", "k=2"), "1.200 (0.900 to 1.300; more in 2 of 3)")
        self.assertEqual(knob.against(self.RESULTS[1:2], "k=1", "k=2"), "–")

    def test_a_line_has_medians_and_ranges(self):
        lines = knob.table(self.RESULTS, ["k=1", "k=2"])
        self.assertEqual(lines[0][:3], ["k=1", "100 (100 to 200)", "1"])
        self.assertEqual(lines[0][6:], ["250,000", "8"])
        self.assertEqual(lines[1][1], "130 (120 to 180)")
        marked = knob.table([measured("k=1", 1, 100.0, noisy=True, errors={"NoNode": 1})], ["k=1"])
        self.assertEqual(marked[0][0], "k=1 ~ **errors**")
        silent = knob.table([{**measured("k=1", 1, 100.0), "derived": {}}], ["k=1"])
        self.assertEqual(silent[0][6], "–")

    def test_a_chart_has_the_values_as_numbers_where_they_are(self):
        of_numbers = knob.Knob(options(values=("4096", "65536")))
        self.assertEqual([of_numbers.x_of(value) for value in ("4096", "65536")], [4096.0, 65536.0])
        of_words = knob.Knob(options("ringkeeper.logWrite", ("direct", "mmap")))
        self.assertEqual([of_words.x_of(value) for value in ("direct", "mmap")], [1, 2])

    def test_the_page_has_every_value_and_load(self):
        results = self.RESULTS + [measured("k=1", 1, 10.0, row="get-1x1")]
        charts, tables = knob.Knob(options()).report(results)
        text = page.page("t", "q", [("a", "b")], charts, tables, [])
        for part in ("<td>k=1</td>", "<td>k=2</td>", "set, 32x16", "get, 1x1", "ringkeeper.shards (1: 1, 2: 2)"):
            self.assertIn(part, text)
        self.assertEqual(len(charts), 6)


if __name__ == "__main__":
    unittest.main()
