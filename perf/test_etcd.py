"""etcd in the scenarios: settings, answers, addresses, what is left out. `python3 -m unittest discover perf`."""

import contextlib
import io
import pathlib
import tempfile
import types
import unittest
from unittest import mock

import etcd_server
import etcd_writer
import scenarios
from scenarios import distance, kit, lost
from servers import ServerError


def ensemble(settings=None, voters=3):
    return etcd_server.EtcdEnsemble("etcd", "/nowhere", voters, settings=settings)


def bare_kit(servers, running=()):
    """A kit with nothing that needs a folder or a machine."""
    made = kit.Kit.__new__(kit.Kit)
    made.servers, made.running = list(servers), [kit.Running(name, ["h:1"]) for name in running]
    made.failures, made.left_out, made.directory = [], [], pathlib.Path("/nowhere")
    return made


class Members(unittest.TestCase):
    def test_each_knows_all_and_all_know_the_same(self):
        settings = [member.settings for member in ensemble().members]
        self.assertEqual(len({one["initial-cluster"] for one in settings}), 1)
        self.assertEqual(len({one["initial-cluster-token"] for one in settings}), 1)
        for one in settings:
            self.assertIn(f"{one['name']}={one['initial-advertise-peer-urls']}", one["initial-cluster"].split(","))
        self.assertNotEqual(ensemble().members[0].settings["initial-cluster-token"], settings[0]["initial-cluster-token"])

    def test_settings_are_defaults_but_for_the_quota(self):
        member = ensemble().members[0]
        command = [str(word) for word in member.command()]
        self.assertIn(f"--quota-backend-bytes={8 << 30}", command)
        self.assertFalse([word for word in command if "fsync" in word or "election" in word or "snapshot" in word])

    def test_what_the_environment_says_of_etcd_is_not_passed_on(self):
        with mock.patch.dict("os.environ", {"ETCD_UNSAFE_NO_FSYNC": "true", "OTHER": "1"}):
            passed = ensemble().members[0].environment()
        self.assertNotIn("ETCD_UNSAFE_NO_FSYNC", passed)
        self.assertEqual(passed["OTHER"], "1")

    def test_the_detection_of_a_lost_leader_is_what_the_scenario_asks_for(self):
        found = ensemble(lost.SETTINGS)
        self.assertEqual(found.members[0].settings["election-timeout"], 1000)
        self.assertEqual(found.detection_seconds, 1)
        self.assertEqual(etcd_server.detection({}), {})

    def test_what_has_no_counterpart_is_refused(self):
        for settings in ({"snapCount": 5}, {"tickTime": 500}):
            with self.assertRaises(ServerError):
                ensemble(settings)
        with self.assertRaisesRegex(ServerError, "learners"):
            etcd_server.EtcdEnsemble("etcd", "/nowhere", 3, observers=1)

    def test_loads_go_through_its_own_client(self):
        found = ensemble()
        self.assertEqual(found.generator, etcd_server.BUILT / "etcd-load")
        self.assertEqual(kit.Running("etcd-old", ["h:2379"]).generator, found.generator)
        self.assertIsNone(kit.Running("mine", ["h:2181"]).generator)


class Answers(unittest.TestCase):
    def test_who_leads(self):
        status = {"header": {"member_id": "7"}, "leader": "7"}
        self.assertEqual(etcd_server.mode_in(status), "leader")
        self.assertEqual(etcd_server.mode_in({**status, "leader": "8"}), "follower")
        self.assertEqual(etcd_server.mode_in({**status, "leader": "8", "isLearner": True}), "learner")
        # The gateway leaves zeros out.
        self.assertIsNone(etcd_server.mode_in({"header": {"member_id": "7"}}))
        self.assertIsNone(etcd_server.mode_in(None))

    def test_syncs_of_the_log(self):
        text = "# TYPE x\netcd_disk_wal_fsync_duration_seconds_sum 0.5\netcd_disk_wal_fsync_duration_seconds_count 1.234e+03\n"
        self.assertEqual(etcd_server.syncs_in(text), 1234)
        self.assertIsNone(etcd_server.syncs_in("nothing"))
        self.assertIsNone(etcd_server.syncs_in(None))

    def test_the_version_is_that_of_the_module(self):
        self.assertRegex(etcd_server.version_in((etcd_server.MODULE / "go.mod").read_text()), r"^3\.\d+\.\d+$")
        with self.assertRaisesRegex(ServerError, "go.mod"):
            etcd_server.version_in("module x\n")

    def test_what_a_writer_saw(self):
        writer = etcd_writer.Writer(["a:1"], "/x")
        writer.take('{"acknowledged": [[1, 2], [3, 4]], "errors": {"etcdserver: no leader": 1}}', 0, "")
        self.assertEqual(writer.acknowledged, [(1, 2), (3, 4)])
        self.assertEqual(lost.errors_of([writer, types.SimpleNamespace(errors={-4: 2})]), {"etcdserver: no leader": 1, "code -4": 2})
        with self.assertRaisesRegex(ServerError, "told nothing: refused"):
            writer.take("", 2, "refused")
        self.assertIsNone(lost.total([None, None]))
        self.assertEqual(lost.total([1, 2]), 3)


class Built(unittest.TestCase):
    def test_without_go_it_is_said_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(etcd_server, "BUILT", pathlib.Path(folder)):
            with mock.patch("shutil.which", return_value=None), self.assertRaisesRegex(ServerError, "go is needed .* install"):
                etcd_server.build()

    def test_what_is_built_is_built_again_only_when_the_module_changed(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(etcd_server, "BUILT", pathlib.Path(folder)):
            (pathlib.Path(folder) / "stamp").write_text(etcd_server.stamp_of(etcd_server.sources()))
            with mock.patch("subprocess.run", side_effect=AssertionError("it builds")):
                etcd_server.build()
        one, *others = etcd_server.sources()
        self.assertNotEqual(etcd_server.stamp_of([one]), etcd_server.stamp_of(others))


class LeftOut(unittest.TestCase):
    def test_a_server_without_such_work_is_told_and_is_no_failure(self):
        made = bare_kit(["ringkeeper", "etcd"])
        with contextlib.redirect_stdout(io.StringIO()):
            made.leave_out({"etcd": "it has none"})
        self.assertEqual((made.names, made.failures), (["ringkeeper"], []))
        self.assertEqual(made.left_out, ["etcd is left out: it has none."])

    def test_a_server_that_cannot_be_had_is_a_failure_and_the_others_go_on(self):
        for made in (bare_kit(["ringkeeper", "etcd"]), bare_kit([], ["ringkeeper", "etcd-old"])):
            with mock.patch.object(etcd_server, "build", side_effect=ServerError("no Go")):
                with contextlib.redirect_stdout(io.StringIO()):
                    made.fetch()
            self.assertEqual((made.names, made.failures), (["ringkeeper"], ["etcd: no Go"]))

    def test_reasons_are_given_where_the_work_differs(self):
        without = {one.NAME for one in scenarios.ALL if "etcd" in getattr(one, "WITHOUT", {})}
        self.assertEqual(without, {"observers", "snapshots", "watches"})

    def test_servers_that_run_are_measured_by_their_number_or_by_name(self):
        made = bare_kit([])
        made.running = [kit.Running("three", ["a:1", "b:1", "c:1"]), kit.Running("one", ["a:2"])]
        made.bench, made.descriptions = None, {}
        with mock.patch("rows.prepare"):
            self.assertEqual(made.sizes([1, 9]), [1, 3])
            self.assertEqual([target.name for target in made.targets(3)], ["three"])
            self.assertEqual(made.target("one", 3).addresses, ["a:2"])
        self.assertEqual(bare_kit(["etcd"]).sizes([1, 9]), [1, 9])


class Ways(unittest.TestCase):
    def test_two_shares_make_the_round_trip(self):
        ways = {(1, 2): 10, (1, 3): 10, (2, 3): 0.2}
        shares = {one: distance.own_share_ms(one, lambda a, b: ways[min(a, b), max(a, b)]) for one in (1, 2, 3)}
        for (one, other), millis in ways.items():
            self.assertAlmostEqual(shares[one] + shares[other], millis)

    def test_a_relay_stands_before_each_member_that_is_away(self):
        found = distance.DistantEtcd("load", lambda *_: 1, "etcd", "/nowhere", 3)
        self.assertEqual(len(found.links), 3)
        for number, member in enumerate(found.members, 1):
            link = next(link for link in found.links if f":{found.peer_ports[number - 1][0]}/500" in link)
            advertised = member.settings["initial-advertise-peer-urls"]
            self.assertEqual(advertised, "http://" + link.split("=")[0])
            self.assertNotEqual(advertised, member.settings["listen-peer-urls"])
        near = distance.DistantEtcd("load", lambda *_: 0, "etcd", "/nowhere", 3)
        self.assertEqual(near.links, [])
        self.assertEqual(near.members[0].settings["initial-advertise-peer-urls"], near.members[0].settings["listen-peer-urls"])


if __name__ == "__main__":
    unittest.main()
