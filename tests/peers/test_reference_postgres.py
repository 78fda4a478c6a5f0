"""The reference reads, verifies and continues the chain that the gateway keeps in PostgreSQL."""

import asyncio
import importlib.util
import json
import pathlib
import shutil
import tempfile
import unittest
import urllib.request

from gateway import CAPSULE, ROOT, SEALGATE, Gateway, run
from upstream import Upstream

spec = importlib.util.spec_from_file_location("replicas", ROOT / "tests/replicas/run.py")
replicas = importlib.util.module_from_spec(spec)
spec.loader.exec_module(replicas)


class OnPostgres(Gateway):
    """A gateway whose ledger is in a database; its directory holds the keys."""

    def __init__(self, upstream, url):
        super().__init__(upstream, {"content_mode": "masked"})
        self.url_of_database = url

    def config(self):
        config = super().config()
        config["general_settings"]["database_url"] = self.url_of_database
        return config

    def init(self):
        (self.folder / "config.yaml").write_text(json.dumps(self.config(), indent=1))
        code, out, err = run(SEALGATE, "init", "--no-config", "--data-dir", str(self.data), DATABASE_URL=self.url_of_database)
        if code != 0:
            raise AssertionError(f"init: exit {code}\n{out}{err}")


class ReferenceOnPostgres(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealgate-peers-pg-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.postgres = replicas.Postgres(self.folder)
        self.addCleanup(self.postgres.stop)
        self.upstream = Upstream()
        self.addCleanup(self.upstream.close)
        self.gateway = OnPostgres(self.upstream, self.postgres.url)
        self.addCleanup(self.gateway.close)
        self.gateway.init()

    def call(self, text):
        body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": text}]}).encode()
        headers = {"authorization": f"Bearer {self.gateway.key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self.gateway.url}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["x-litellm-call-id"]

    def by_reference(self, append=False):
        """What the reference says of the chain without a tenant, with every signature checked; then it may add a record."""
        from qp_capsule import Capsule, CapsuleChain, PostgresCapsuleStorage, Seal

        key = self.folder / "key"
        shutil.copy(self.gateway.data / "key", key)

        async def work():
            storage = PostgresCapsuleStorage(self.postgres.url)
            chain, seal = CapsuleChain(storage), Seal(key_path=key, enable_pq=False)
            try:
                found = await chain.verify(seal=seal)
                ids = [str(capsule.id) for capsule in await storage.get_all_ordered()]
                if append:
                    await chain.seal_and_store(Capsule(), seal=seal)
                return found, ids
            finally:
                await storage.close()

        return asyncio.run(work())

    def ours(self):
        code, out, err = run(CAPSULE, "verify", "--pg", self.postgres.url, "--pubkey", self.gateway.public_key(), "--json")
        return code, json.loads(out or "{}"), err

    def test_it_verifies_what_the_gateway_wrote_and_the_gateway_goes_on_after_it(self):
        self.gateway.start()
        calls = [self.call(f"question {number}") for number in range(5)]
        self.assertEqual(self.gateway.stop(), 0)
        found, ids = self.by_reference(append=True)
        self.assertTrue(found.valid, found.error)
        self.assertEqual(found.capsules_verified, len(ids))
        self.assertEqual([one for one in ids if one in calls], calls)
        # A record by this ledger's key is taken over.
        self.gateway.start()
        later = self.call("after the reference")
        self.assertEqual(self.gateway.stop(), 0)
        found, ids = self.by_reference()
        self.assertTrue(found.valid, found.error)
        self.assertIn(later, ids)
        code, said, err = self.ours()
        self.assertEqual((code, said.get("valid")), (0, True), (said, err))

    def test_both_name_a_record_that_was_edited(self):
        self.gateway.start()
        edited = [self.call(f"question {number}") for number in range(3)][1]
        self.assertEqual(self.gateway.stop(), 0)
        self.postgres.ask("UPDATE quantumpipes_capsules SET data = replace(data, '\"success\"', '\"failure\"') "
                          f"WHERE id = '{edited}'")
        found, _ = self.by_reference()
        self.assertEqual((found.valid, found.broken_at), (False, edited), found.error)
        code, said, _ = self.ours()
        self.assertEqual((code, said["valid"]), (1, False))


if __name__ == "__main__":
    unittest.main()
