"""Results where there is no room for them, and pages of what the scripts write."""

import contextlib
import io
import pathlib
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import compare  # noqa: E402
import ensemble  # noqa: E402
import index  # noqa: E402
import machine  # noqa: E402
import neighbours  # noqa: E402
import page  # noqa: E402
import results  # noqa: E402
import rows  # noqa: E402
import scenario  # noqa: E402
import scenarios  # noqa: E402
from servers import ROOT, ServerError  # noqa: E402


class Folders(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)

    def options(self, out):
        return types.SimpleNamespace(out=str(out))

    def test_a_result_is_never_mixed_with_another(self):
        self.assertTrue((results.new_folder(self.options(self.folder / "new")) / "raw").is_dir())
        with self.assertRaisesRegex(ServerError, "holds a result already: give --out"):
            results.new_folder(self.options(self.folder / "new"))

    def test_a_folder_that_cant_be_made_is_named(self):
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(ServerError, "no result can be kept in .*file/below: Not a directory: give --out"):
            results.new_folder(self.options(self.folder / "file" / "below"))
        with self.assertRaisesRegex(ServerError, "no data directory can be made in .*: Not a directory: give --dir"):
            results.check_directory(self.folder / "file" / "below")

    def test_what_has_room_is_written_and_the_rest_is_told(self):
        (self.folder / "charts").write_text("in the way")
        with self.assertRaisesRegex(ServerError, r"not whole: charts/01.svg \(.*\) could not be written. What was measured is in"):
            results.save(self.folder, {"charts/01.svg": "<svg/>", "summary.md": "kept"})
        self.assertEqual((self.folder / "summary.md").read_text(), "kept")

    def test_a_measurement_without_room_is_in_the_tables_all_the_same(self):
        bench = rows.Bench("load", self.folder / "gone", 1, 1, 1, 0, 0)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            bench.record("set", "ringkeeper", 1, {"line": "5 op/s", "value": 5})
        self.assertEqual([result["value"] for result in bench.results], [5])
        self.assertIn("raw/001-set-ringkeeper-1.json could not be written: No such file or directory", told.getvalue())
        self.assertEqual(len(bench.unwritten), 1)


class Ends(unittest.TestCase):
    def guarded(self, run):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return results.guarded("compare.py", run), told.getvalue()

    def test_each_end_has_a_line_and_a_status(self):
        self.assertEqual(self.guarded(lambda: 1), (1, ""))
        for error, line in ((ServerError("it is so"), "compare.py: it is so\n"),
                            (OSError(28, "No space left on device", "raw.csv"), "compare.py: raw.csv: No space left on device\n")):
            self.assertEqual(self.guarded(mock.Mock(side_effect=error)), (2, line))

    def test_what_ended_the_run_isnt_hidden_by_what_then_failed(self):
        def run():
            try:
                raise ServerError("a server is gone")
            finally:
                raise ServerError("no room")

        self.assertEqual(self.guarded(run), (2, "compare.py: a server is gone; then no room\n"))


class Pages(unittest.TestCase):
    def test_markdown_becomes_a_page(self):
        text = "| row | a |\n|---|---:|\n| get ~ | 1 < 2 |\n\n## Open loop\n\nOf *late* `x`.\n\n- one: **MISSED**\n- two\n"
        made = page.of_markdown("T", "Q?", [("kernel", "6")], [], text)
        for part in ("<th>row</th><th>a</th>", "<td>get ~</td><td>1 &lt; 2</td>", "<h2>Open loop</h2>",
                     "<p>Of <em>late</em> <code>x</code>.</p>", "<li>one: <em>MISSED</em></li><li>two</li>", "<td>kernel</td>"):
            self.assertIn(part, made)
        self.assertNotIn("---", made)

    def test_a_row_is_drawn_by_its_round_in_the_middle(self):
        def measured(rate, row="get"):
            return {"row": row, "server": "ringkeeper", "operations_per_second": rate, "series_100ms": {"replies": [rate / 10] * 2}}

        charts = results.series_charts([measured(10), measured(30), measured(20), {"row": "restart"}], {"get": "gets", "restart": "r"})
        self.assertEqual([(one.title, one.lines[0].points) for one in charts], [("gets", [(0, 20), (0.1, 20)])])
        files = results.pages("T", "Q?", [], "text", charts)
        self.assertEqual(sorted(files), ["charts/01.svg", "index.html"])


class Secrets(unittest.TestCase):
    def test_who_the_sessions_are_is_told_nowhere(self):
        with mock.patch.object(sys, "argv", ["x", "sizes", "--running", "a=b:1", "--aut", "digest:me:secret"]), \
                contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            scenario.arguments()
        with mock.patch.object(sys, "argv", ["x", "sizes", "--auth", "digest:me:secret", "--auth=digest:me:secret", "--rounds", "1"]):
            self.assertEqual(results.command_without_folders("x"), "x sizes --rounds 1")
        bench = rows.Bench("false", "/nowhere", 1, 1, 1, 0, 0)
        bench.auth = ["digest:me:secret"]
        failed = types.SimpleNamespace(returncode=2, stderr="invalid value 'digest:me:secret' for '--auth'")
        for generator, given in ((None, 1), ("etcd-load", 0)):
            target = types.SimpleNamespace(name="mine", addresses=["a:1"], pids=[], generator=generator)
            with mock.patch.object(rows.subprocess, "run", return_value=failed) as run, self.assertRaises(ServerError) as raised:
                bench.load(target, ["--op", "get"])
            self.assertEqual(run.call_args.args[0].count("digest:me:secret"), given)
            self.assertNotIn("secret", str(raised.exception))


class Generator(unittest.TestCase):
    def test_its_share_is_told_of_each_server(self):
        measured = [{"server": name, "window_seconds": 2.0, "generator": {"cpu_seconds": 2 * share}}
                    for name, share in (("ringkeeper", 0.3), ("etcd", 0.9), ("ringkeeper", 0.4))]
        self.assertEqual(results.generator(measured)[1], "at most 40% of a processor on ringkeeper, 90% of a processor on etcd")
        # Where a script has clients of its own nothing is known of their share, which is not a share of nothing.
        self.assertEqual(results.generator([{"server": "etcd"}])[1], "clients of the script's own")
        self.assertEqual(results.generator([{**measured[0], "window_seconds": 0}])[1], "clients of the script's own")


class Index(unittest.TestCase):
    def test_every_result_that_is_kept_is_in_it(self):
        # Those that are kept: not what was measured since.
        kept = machine.git("ls-files", "perf/runs/*/README.md").splitlines()
        self.assertEqual((index.RUNS / "README.md").read_text(), index.text(ROOT / path for path in kept), "run perf/index.py")

    def test_results_of_a_kind_lie_together(self):
        told = "| command | perf/knob.py --env X 1 0 |\n"
        texts = ("# Comparison of 2026-01-02\n", f"# X: 1 against 0\n{told}", "# By hand\n")
        self.assertEqual([index.kind(text) for text in texts], [0, 3, 5])


class Origins(unittest.TestCase):
    """Whoever reads a result finds what it was measured with: in its README and on its page."""

    def run_of(self, folder):
        bench = types.SimpleNamespace(results=[], unwritten=[], raw_directory=folder / "raw")
        return types.SimpleNamespace(bench=bench, failures=[], left_out=[], running=[], descriptions={}, servers=[], directory=folder,
                                     folder=folder, counts_instructions=False, notes=lambda: [],
                                     options=types.SimpleNamespace(rounds=1, seconds=1, noise=1, quick=False, dir=folder))

    def test_every_scripts_result_names_commit_and_command(self):
        writers = {
            "compare.py": lambda run: compare.write_result(run),
            "ensemble.py": lambda run: ensemble.write_result(run, run.folder, 1),
            "neighbours.py": lambda run: neighbours.write_result(run.folder, run.options, [], [], 1),
            "scenario.py": lambda run: scenario.write(scenarios.sizes, run, run.folder, 1),
            "knob.py": lambda run: scenario.write(scenarios.sizes, run, run.folder, 1, "perf/knob.py"),
        }
        for script, write in writers.items():
            with self.subTest(script), tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()), \
                    mock.patch.object(machine, "git", lambda *words: "" if "status" in words else "c0ffee"), \
                    mock.patch.object(machine, "sync_microseconds", return_value=(1, 2)), \
                    mock.patch.object(sys, "argv", [script, "--seconds", "9"]):
                write(self.run_of(pathlib.Path(folder)))
                for name in ("README.md", "index.html"):
                    text = pathlib.Path(folder, name).read_text()
                    self.assertIn(f"perf/{script} --seconds 9", text)
                    self.assertRegex(text, r"\| generator \||<td>generator</td>")
                    self.assertIn("c0ffee", text)


if __name__ == "__main__":
    unittest.main()
