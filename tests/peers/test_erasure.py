"""A person is erased: both tools verify the ledger before and after, no record has changed, and no file holds the text."""

import json
import unittest

import openai

from gateway import SEALGATE, Gateway, run
from upstream import Upstream

TEXT = "the canary of customer seven"


class Erasure(unittest.TestCase):
    def setUp(self):
        self.upstream = Upstream()
        self.addCleanup(self.upstream.close)
        self.gateway = Gateway(self.upstream)
        self.addCleanup(self.gateway.close)
        self.gateway.init()

    def sealgate(self, *arguments):
        return run(SEALGATE, *arguments, "--url", self.gateway.url, "--json", LITELLM_MASTER_KEY=self.gateway.key)

    def both_verify(self):
        code, theirs = self.gateway.reference_verify()
        self.assertEqual((code, theirs["valid"]), (0, True), theirs)
        code, ours = self.gateway.verify()
        self.assertEqual((code, ours["valid"]), (0, True), ours)

    def test_the_chain_is_valid_before_and_after(self):
        gateway = self.gateway
        gateway.start()
        with openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0, timeout=20) as client:
            answer = client.chat.completions.with_raw_response.create(
                model="echo", user="customer-7", messages=[{"role": "user", "content": TEXT}])
        record = answer.headers["x-litellm-call-id"]
        self.assertEqual(gateway.stop(), 0)
        self.both_verify()
        before = {row["id"]: row for row in gateway.records()}

        gateway.start()
        code, out, err = self.sealgate("content", record)
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["records"][0]["content"]["request"], TEXT)
        code, out, err = self.sealgate("erase", "--subject", "customer-7")
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["erased"][0]["records"], 1, out)
        code, out, err = self.sealgate("content", record)
        self.assertEqual((code, json.loads(out)["records"][0]["state"]), (1, "erased"), err)
        self.assertEqual(gateway.stop(), 0)
        self.both_verify()
        after = {row["id"]: row for row in gateway.records()}
        self.assertEqual({name: after[name] for name in before}, before, "no record has changed")
        for path in gateway.data.iterdir():
            self.assertNotIn(TEXT.encode(), path.read_bytes(), path)


if __name__ == "__main__":
    unittest.main()
