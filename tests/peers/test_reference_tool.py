"""The reference tool `qp-capsule`: verifies our file at each level, finds damage in it, and appends to it."""

import asyncio
import contextlib
import json
import pathlib
import shutil
import sqlite3
import unittest

import openai
from qp_capsule import Capsule, CapsuleChain, CapsuleStorage, CapsuleType, Seal

from gateway import CAPSULE, REFERENCE, Gateway, environment, run
from upstream import Upstream


def calls(gateway, count):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0, timeout=20) as client:
        for number in range(count):
            client.chat.completions.create(model="echo", messages=[{"role": "user", "content": f"naïve \U0001f600 {number}"}])


def append(database, seal, count):
    """Appends with the reference library: its chain, its seal, its storage, on our file."""

    async def work():
        storage = CapsuleStorage(db_path=pathlib.Path(database))
        chain = CapsuleChain(storage)
        for number in range(count):
            capsule = Capsule(type=CapsuleType.AGENT)
            capsule.trigger.request = f"appended by the reference, {number}"
            await chain.seal_and_store(capsule, seal=seal)
        await storage.close()

    asyncio.run(work())


class Reference(unittest.TestCase):
    """A ledger with a few calls, made once; tests that change it work on copies or on a ledger of their own."""

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.gateway = Gateway(cls.upstream)
        cls.addClassCleanup(cls.gateway.close)
        cls.gateway.init()
        cls.gateway.start()
        calls(cls.gateway, 5)
        assert cls.gateway.stop() == 0

    def own(self, settings=None):
        gateway = Gateway(self.upstream, settings)
        self.addCleanup(gateway.close)
        gateway.init()
        gateway.start()
        calls(gateway, 2)
        return gateway

    def test_every_level_passes_and_counts_the_same(self):
        total = len(self.gateway.records())
        self.assertGreater(total, 5)
        for level in (("--structural",), ("--full",), ("--pubkey", self.gateway.public_key())):
            code, theirs = self.gateway.reference_verify(*level)
            self.assertEqual((code, theirs["valid"], theirs["capsules_verified"]), (0, True, total), level)
        for level in ("--structural", "--full", "--signatures"):
            arguments = [CAPSULE, "verify", "--db", str(self.gateway.database), level, "--json", "--data-dir", str(self.gateway.data)]
            code, out, err = run(*arguments)
            self.assertEqual(code, 0, err)
            self.assertEqual(json.loads(out)["capsules_verified"], total)

    def test_it_finds_our_key_in_our_data_directory(self):
        copy = self.gateway.folder / "home"
        shutil.copytree(self.gateway.data, copy)
        self.addCleanup(shutil.rmtree, copy)
        code, out, err = run(REFERENCE, "verify", "--db", str(copy / "capsules.db"), "--signatures", "--json",
                             QUANTUMPIPES_DATA_DIR=str(copy))
        self.assertEqual((code, json.loads(out)["valid"]), (0, True), err)
        code, out, err = run(REFERENCE, "keys", "export-public", QUANTUMPIPES_DATA_DIR=str(copy))
        self.assertEqual(out.strip(), self.gateway.public_key(), err)

    def test_the_human_output_of_both_tools_is_the_same(self):
        arguments = ("verify", "--db", str(self.gateway.database), "--full")
        ours = run(CAPSULE, *arguments)
        copy = self.gateway.folder / "same.db"
        shutil.copy(self.gateway.database, copy)
        theirs = run(REFERENCE, "verify", "--db", str(copy), "--full", QUANTUMPIPES_DATA_DIR=str(self.gateway.folder / "none"))
        self.assertEqual((ours[0], ours[1]), (theirs[0], theirs[1]))

    def test_an_export_verifies_there(self):
        chain = self.gateway.folder / "chain.json"
        code, out, err = run(CAPSULE, "export", "--db", str(self.gateway.database))
        self.assertEqual(code, 0, err)
        chain.write_text(out)
        code, out, err = run(REFERENCE, "verify", str(chain), "--pubkey", self.gateway.public_key(), "--json")
        self.assertEqual((code, json.loads(out)["capsules_verified"]), (0, len(self.gateway.records())), err)

    def test_both_find_the_same_damage(self):
        for name, statement in {
            "edited": "UPDATE capsules SET data = json_set(data, '$.trigger.source', 'elsewhere') WHERE sequence = 3",
            "missing": "DELETE FROM capsules WHERE sequence = 2",
            "signature": "UPDATE capsules SET signature = (SELECT signature FROM capsules WHERE sequence = 1) WHERE sequence = 4",
        }.items():
            with self.subTest(name):
                copy = self.gateway.folder / f"{name}.db"
                shutil.copy(self.gateway.database, copy)
                with contextlib.closing(sqlite3.connect(copy)) as database, database:
                    self.assertEqual(database.execute(statement).rowcount, 1)
                key = self.gateway.public_key()
                ours, out, _ = run(CAPSULE, "verify", "--db", str(copy), "--pubkey", key, "--json")
                theirs, reference, _ = run(REFERENCE, "verify", "--db", str(copy), "--pubkey", key, "--json")
                self.assertEqual((ours, theirs), (1, 1))
                self.assertEqual(json.loads(out)["errors"][0]["sequence"], json.loads(reference)["errors"][0]["sequence"])

    def test_it_appends_with_our_key_and_the_gateway_goes_on(self):
        gateway = self.own()
        self.assertEqual(gateway.stop(), 0)
        before = len(gateway.records())
        append(gateway.database, Seal(key_path=gateway.data / "key"), 2)
        code, theirs = gateway.reference_verify()
        self.assertEqual((code, theirs["capsules_verified"]), (0, before + 2))
        gateway.start()
        calls(gateway, 2)
        self.assertEqual(gateway.stop(), 0)
        code, theirs = gateway.reference_verify()
        self.assertEqual((code, theirs["valid"]), (0, True), theirs)
        code, ours = gateway.verify()
        self.assertEqual((code, ours["valid"]), (0, True), ours)
        self.assertTrue(ours["notes"], "a record that the gateway did not write is named")

    def test_it_appends_while_the_gateway_runs(self):
        gateway = self.own()
        append(gateway.database, Seal(key_path=gateway.data / "key"), 1)
        calls(gateway, 3)
        self.assertEqual(gateway.stop(), 0)
        code, theirs = gateway.reference_verify()
        self.assertEqual((code, theirs["valid"]), (0, True), theirs)

    def test_a_record_by_another_key_is_damage(self):
        gateway = self.own()
        self.assertEqual(gateway.stop(), 0)
        append(gateway.database, Seal(key_path=gateway.folder / "foreign-key"), 1)
        code, ours = gateway.verify()
        self.assertEqual((code, ours["valid"]), (1, False), ours)
        with self.assertRaises(AssertionError):
            gateway.start()

    def test_a_chain_of_the_reference_alone_verifies_with_our_tool(self):
        database = self.gateway.folder / "plain.db"
        seal = Seal(key_path=self.gateway.folder / "plain-key")
        append(database, seal, 4)
        code, out, err = run(CAPSULE, "verify", "--db", str(database), "--pubkey", seal.get_public_key(), "--json")
        self.assertEqual((code, json.loads(out)["capsules_verified"]), (0, 4), err)

    def test_our_tool_never_creates_a_database_or_a_key(self):
        folder = self.gateway.folder / "empty"
        folder.mkdir()
        code, _, _ = run(CAPSULE, "verify", "--db", str(folder / "none.db"), "--signatures", QUANTUMPIPES_DATA_DIR=str(folder))
        self.assertEqual(code, 2)
        self.assertEqual(list(folder.iterdir()), [])

    def test_both_read_the_same_environment(self):
        self.assertNotIn("QUANTUMPIPES_DATA_DIR", environment())
        code, out, err = run(CAPSULE, "keys", "export-public", QUANTUMPIPES_DATA_DIR=str(self.gateway.data))
        self.assertEqual((code, out.strip()), (0, self.gateway.public_key()), err)


class Demo(unittest.TestCase):
    """The demo's ledger, verified by the reference tool."""

    def test_the_reference_verifies_what_the_demo_made(self):
        import tempfile

        from gateway import SEALGATE

        with tempfile.TemporaryDirectory() as folder:
            code, out, err = run(SEALGATE, "demo", "--once", "--data-dir", folder)
            self.assertEqual(code, 0, out + err)
            found = [str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*.db")]
            self.assertEqual(found, ["capsules.db"])
            _, key, _ = run(CAPSULE, "keys", "export-public", "--data-dir", folder)
            code, out, err = run(REFERENCE, "verify", "--db", f"{folder}/capsules.db", "--pubkey", key.strip(), "--json")
            self.assertEqual((code, json.loads(out)["valid"]), (0, True), out + err)
