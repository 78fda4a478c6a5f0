"""What an operator with access to the file can do to a ledger, and how the verifier names it.

Black box: a ledger that the binary made, damaged as SQLite rows, judged by `capsule verify` with the public key and the
newest checkpoint, which somebody else kept. The names begin with the attack cases of the family LED.
"""

import contextlib
import json
import pathlib
import shutil
import sqlite3
import unittest

from gateway import CAPSULE, SEALGATE, Gateway, environment, run
from test_reference_tool import append, calls
from upstream import Upstream

from qp_capsule import Seal


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.gateway = Gateway(cls.upstream)
        cls.addClassCleanup(cls.gateway.close)
        cls.gateway.init()
        cls.gateway.start()
        calls(cls.gateway, 6)
        assert cls.gateway.stop() == 0
        cls.last = len(cls.gateway.records()) - 1

    def copied(self):
        folder = self.gateway.folder / self.id().rsplit(".", 1)[1]
        shutil.copytree(self.gateway.data, folder)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def verdict(self, folder, *more):
        checkpoint = ("--checkpoint", str(self.gateway.data / "checkpoint"))
        code, out, err = run(CAPSULE, "verify", "--db", str(folder / "capsules.db"), "--pubkey", self.gateway.public_key(),
                             "--json", *(more or checkpoint))
        return code, json.loads(out), err

    def damaged(self, *statements):
        """The kinds of damage that are found after these statements, with their sequences."""
        folder = self.copied()
        with contextlib.closing(sqlite3.connect(folder / "capsules.db")) as database, database:
            for statement in statements:
                self.assertGreater(database.execute(statement).rowcount, 0, statement)
        code, report, _ = self.verdict(folder)
        self.assertEqual((code, report["valid"]), (1, False), report)
        shutil.rmtree(folder)
        return {(damage["kind"], damage["sequence"]) for damage in report["damage"]}

    def test_the_undamaged_ledger_is_good(self):
        code, report, _ = self.verdict(self.gateway.data)
        self.assertEqual((code, report["valid"], report["damage"]), (0, True, []), report)
        self.assertEqual((report["signatures_checked"], report["capsules_verified"]), (True, self.last + 1))

    def test_led_01_an_edited_byte(self):
        edits = ["data = json_set(data, '$.trigger.source', 'elsewhere')",
                 "hash = (CASE substr(hash, 1, 1) WHEN '0' THEN '1' ELSE '0' END) || substr(hash, 2)"]
        for edit in edits:
            with self.subTest(edit):
                self.assertIn(("edited", 3), self.damaged(f"UPDATE capsules SET {edit} WHERE sequence = 3"))

    def test_led_01_an_edited_column_beside_an_untouched_document(self):
        # Readers find records by these columns, so they must say what the sealed document says.
        for edit in ("id = substr(id, 1, 35) || (CASE substr(id, 36) WHEN '0' THEN '1' ELSE '0' END)", "type = 'vault'", "previous_hash = hash", "session_id = id"):
            with self.subTest(edit):
                self.assertTrue(self.damaged(f"UPDATE capsules SET {edit} WHERE sequence = 3"))

    def test_led_01_an_edited_seal(self):
        # No hash and no signature covers these; the tree does.
        for statement in ("UPDATE capsules SET signed_at = '2020-01-01T00:00:00+00:00' WHERE sequence = 3",
                          "UPDATE capsules SET signature_pq = 'ab' WHERE sequence = 3"):
            with self.subTest(statement):
                self.assertTrue(self.damaged(statement))

    def test_led_01_a_stripped_seal(self):
        self.assertIn(("seal stripped", 3), self.damaged("UPDATE capsules SET signature = '' WHERE sequence = 3"))

    def test_led_03_a_missing_record(self):
        self.assertIn(("missing", 3), self.damaged("DELETE FROM capsules WHERE sequence = 3"))

    def test_led_05_two_records_in_each_others_place(self):
        kinds = self.damaged("UPDATE capsules SET sequence = 1000 WHERE sequence = 3", "UPDATE capsules SET sequence = 3 WHERE sequence = 4",
                             "UPDATE capsules SET sequence = 4 WHERE sequence = 1000")
        self.assertIn("reordered", {kind for kind, _ in kinds})

    def test_led_07_a_cut_end(self):
        kinds = self.damaged(f"DELETE FROM capsules WHERE sequence > {self.last - 2}")
        self.assertIn("truncated", {kind for kind, _ in kinds})

    def test_led_09_an_older_copy_does_not_start(self):
        gateway = Gateway(self.upstream)
        self.addCleanup(gateway.close)
        gateway.init()
        gateway.start()
        calls(gateway, 1)
        self.assertEqual(gateway.stop(), 0)
        older = gateway.folder / "older.db"
        shutil.copy(gateway.database, older)
        gateway.start()
        calls(gateway, 2)
        self.assertEqual(gateway.stop(), 0)
        shutil.copy(older, gateway.database)
        with self.assertRaisesRegex(AssertionError, "serve ended with 3"):
            gateway.start()
        code, out, err = run(SEALGATE, "ledger", "adopt", "--data-dir", str(gateway.data), "--reason", "restored from a backup")
        self.assertEqual(code, 0, out + err)
        gateway.process = None
        gateway.start()
        calls(gateway, 1)
        self.assertEqual(gateway.stop(), 0)
        code, ours = gateway.verify()
        self.assertEqual((code, ours["valid"]), (0, True), ours)
        adopted = [r for r in gateway.records() if r["context"]["environment"].get("event") == "adopt"]
        self.assertEqual(len(adopted), 1)

    def test_led_11_another_ledger_under_the_same_key(self):
        other = Gateway(self.upstream)
        self.addCleanup(other.close)
        other.data.mkdir(mode=0o700)
        shutil.copy(self.gateway.data / "key", other.data / "key")
        other.init()
        other.start()
        calls(other, 6)
        self.assertEqual(other.stop(), 0)
        self.assertEqual(other.public_key(), self.gateway.public_key())
        code, report, _ = self.verdict(other.data)
        self.assertEqual(code, 1)
        self.assertIn("wrong ledger", {damage["kind"] for damage in report["damage"]})

    def test_led_13_another_key_is_never_taken_for_ours(self):
        folder = self.copied()
        foreign = Seal(key_path=self.gateway.folder / "foreign")
        append(folder / "capsules.db", foreign, 1)
        code, report, _ = self.verdict(folder)
        self.assertEqual(code, 1)
        self.assertIn("unknown key", {damage["kind"] for damage in report["damage"]})
        # The same record under our label, and with a foreign key lying beside the database: still not ours.
        with contextlib.closing(sqlite3.connect(folder / "capsules.db")) as database, database:
            database.execute("UPDATE capsules SET signed_by = ? WHERE signed_by = ?",
                             (self.gateway.public_key()[:16], foreign.get_public_key()[:16]))
        shutil.copy(self.gateway.folder / "foreign", folder / "key")
        code, report, _ = self.verdict(folder)
        self.assertEqual(code, 1, report)

    def test_led_07_without_a_checkpoint_a_cut_end_is_not_seen_and_that_is_said(self):
        folder = self.copied()
        with contextlib.closing(sqlite3.connect(folder / "capsules.db")) as database, database:
            database.execute(f"DELETE FROM capsules WHERE sequence = {self.last}")
        code, report, err = self.verdict(folder, "--quiet")
        self.assertTrue(code == 1 or report["notes"] or "checkpoint" in err, report)


class Installation(unittest.TestCase):
    """Cases about a start, which need no ledger."""

    def test_ops_01_a_default_start_is_closed(self):
        with Gateway.folder_of_its_own() as folder:
            config = pathlib.Path(folder) / "config.yaml"
            config.write_text(json.dumps({"model_list": []}))
            command = [SEALGATE, "serve", "--config", str(config), "--data-dir", f"{folder}/data", "--init-if-missing"]
            for key in (None, "", "sk-1234", "sk-master-key", "password"):
                with self.subTest(key):
                    more = {} if key is None else {"LITELLM_MASTER_KEY": key}
                    code, out, err = run(*command, **more)
                    self.assertEqual(code, 3, out + err)
            self.assertNotIn("LITELLM_MASTER_KEY", environment())
            self.assertFalse((pathlib.Path(folder) / "data").exists(), "a refused start makes nothing")
