"""Records = calls, whatever the application does; each chain verifies with both tools and goes on."""

import hashlib
import json
import sqlite3
import sys
import unittest

import chain
import shapes
from qp_capsule import validate_capsule_dict


class Calls(unittest.TestCase):
    def setUp(self):
        self.home = chain.Home()
        self.addCleanup(self.home.close)

    def check(self, scenario, **more):
        made, done = self.home.run(scenario, **more)
        records = self.home.records()
        self.assertEqual(len(records), made, done.stderr[-3000:])
        self.home.verify(made)
        return records

    def test_50_synchronous_calls(self):
        records = self.check("sync_calls")
        self.assertEqual({record["trigger"]["request"] for record in records}, {f"question {n}" for n in range(50)})

    def test_100_concurrent_asynchronous_calls(self):
        self.check("async_100")

    def test_1000_concurrent_asynchronous_calls(self):
        records = self.check("async_1000")
        self.assertEqual(len({record["trigger"]["request"] for record in records}), 1000)

    def test_asynchronous_calls_with_a_flush(self):
        self.check("async_with_flush")

    def test_ten_threads(self):
        self.check("threads")

    def test_threads_and_loops(self):
        self.check("threads_and_loops")

    def test_events_that_litellm_loses(self):
        self.check("events_that_litellm_loses")

    def test_a_slow_callback_beside_ours(self):
        *answered, failed = self.check("a_slow_neighbour")
        for record in answered:
            self.assertEqual((record["outcome"]["status"], record["outcome"]["result"]), ("success", "Paris"))
        self.assertEqual(failed["outcome"]["status"], "failure")
        self.assertIn("provider is down", failed["outcome"]["error"])

    def test_a_call_that_two_threads_report(self):
        self.check("reported_by_two_threads")

    def test_four_processes_on_one_file(self):
        self.check("processes")

    def test_fork_after_first_use(self):
        self.check("fork_after_use")

    def test_fork_under_load(self):
        self.check("fork_under_load")

    def test_synchronous_streams_are_recorded_once(self):
        for record in self.check("streams_sync"):
            self.assertEqual(record["outcome"]["result"], "Paris")
            self.assertGreater(record["outcome"]["metrics"]["tokens_out"], 0)

    def test_asynchronous_streams_are_recorded_once(self):
        for record in self.check("streams_async"):
            self.assertEqual(record["outcome"]["result"], "Paris")

    def test_every_exception_class_with_its_text(self):
        for record in self.check("exceptions"):
            outcome = record["outcome"]
            self.assertEqual((outcome["status"], outcome["result"]), ("failure", None))
            self.assertIn("failed as ", outcome["error"])
            self.assertEqual(record["execution"]["tool_calls"][0]["error"], outcome["error"])

    def test_sigterm_to_a_script(self):
        for scenario in ("sigterm_sync", "sigterm_async"):
            with self.subTest(scenario):
                home = chain.Home()
                self.addCleanup(home.close)
                made, done = home.run(scenario)
                self.assertEqual(done.returncode, -15, done.stderr)
                self.assertEqual(len(home.records()), made, done.stderr[-3000:])
                home.verify(made)

    def test_hooks_wait_when_the_queue_is_full(self):
        self.check("back_pressure")

    def test_a_file_that_another_program_holds(self):
        made, done = self.home.run("locked_file")
        self.assertIn("none is lost", done.stderr)
        self.assertIn("records are written again", done.stderr)
        self.assertEqual(len(self.home.records()), made, done.stderr[-3000:])
        self.home.verify(made)

    def test_a_key_that_is_replaced_meanwhile(self):
        """The new key seals from then on; all records verify with the keyring, and none is lost."""
        made, done = self.home.run("key_rotation", SEALGATE_TEST_TOOLS=f"{chain.CAPSULE}:{chain.REFERENCE}")
        with sqlite3.connect(self.home.database) as connection:
            rows = connection.execute("SELECT signed_by FROM capsules ORDER BY sequence").fetchall()
        connection.close()
        signers = [row[0] for row in rows]
        changes = [second for first, second in zip(signers, signers[1:]) if first != second]
        self.assertEqual((len(signers), len(changes), len(set(signers))), (made, 2, 3), done.stderr[-3000:])
        self.assertIn(f"{signers[-1]} seals from now on", done.stderr)
        self.home.verify(made)

    def test_errors_are_raised_when_they_shall_be(self):
        self.check("raising")


class Records(unittest.TestCase):
    """What a record says."""

    def setUp(self):
        self.home = chain.Home()
        self.addCleanup(self.home.close)

    def test_the_sections_of_the_published_page(self):
        self.home.run("sync_calls")
        record = self.home.records()[0]
        self.assertTrue(validate_capsule_dict(record).ok, validate_capsule_dict(record))
        self.assertEqual((record["type"], record["domain"]), ("chat", "chat"))
        trigger = record["trigger"]
        self.assertEqual((trigger["type"], trigger["source"]), ("user_request", "litellm"))
        self.assertTrue(trigger["timestamp"].endswith("+00:00"))
        self.assertEqual(record["context"]["agent_id"], "litellm")
        self.assertEqual(record["context"]["environment"], {"model": "gpt-4o", "call_type": "completion"})
        self.assertEqual(record["authority"]["type"], "autonomous")
        metrics = record["outcome"]["metrics"]
        self.assertEqual(set(metrics), {"tokens_in", "tokens_out", "latency_ms"})
        self.assertEqual(metrics, record["execution"]["resources_used"])
        self.assertEqual(record["outcome"]["result"], "Paris")
        self.assertEqual(record["outcome"]["status"], "success")
        self.assertEqual(record["execution"]["tool_calls"][0]["arguments"], {"model": "gpt-4o", "message_count": 1})

    def test_messages_of_any_shape(self):
        made, done = self.home.run("shapes")
        records = {record["reasoning"]["model"]: record for record in self.home.records()}
        for number, (messages, request) in enumerate(zip(shapes.MESSAGES, shapes.REQUESTS)):
            record = records[f"shape-{number}"]
            self.assertEqual(record["trigger"]["request"], request)
            expected = None
            if messages is not None:
                text = json.dumps(messages, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                expected = hashlib.sha3_256(text.encode()).hexdigest()
            self.assertEqual(record["reasoning"]["prompt_hash"], expected, messages)
        self.assertEqual(len(self.home.records()), made, done.stderr[-3000:])
        self.home.verify(made)

    def test_parameters_of_the_published_page(self):
        _, done = self.home.run("documented")
        self.assertIn("recommended: content='masked' or content='hash'", done.stderr)
        database = self.home.folder / "other.db"
        record = self.home.records(database)[0]
        self.assertEqual((record["type"], record["domain"], record["context"]["agent_id"]), ("agent", "finance", "trading-bot"))
        self.assertFalse(self.home.database.exists())
        self.home.verify(1, database)

    def test_objects_of_the_reference_package(self):
        self.home.run("reference_objects", python=sys.executable)
        self.assertEqual(self.home.records()[0]["type"], "tool")
        self.home.verify(1)

    def test_the_table_is_the_references(self):
        self.home.run("documented")
        plain = self.home.folder / "plain.db"
        self.home.append(str(plain))
        tables = []
        for database in (plain, self.home.folder / "other.db"):
            with sqlite3.connect(database) as connection:
                columns = [row[1:4] + row[5:] for row in connection.execute("PRAGMA table_info(capsules)")]
                indexes = sorted(row[1] for row in connection.execute("PRAGMA index_list(capsules)"))
            connection.close()
            tables.append((columns, indexes))
        self.assertEqual(*tables)

    def test_other_endpoints_and_shapes(self):
        made, _ = self.home.run("other_endpoints")
        records = {record["reasoning"]["selected_option"] + record["trigger"]["request"][:12]: record for record in self.home.records()}
        self.assertEqual(len(records), made)
        self.home.verify(made)
        embedding = records["embeddinga\nb"]
        # The mock answers with one vector whatever is asked.
        self.assertEqual(embedding["outcome"]["result"], "[1 items]")
        self.assertEqual(records["text_completionSay hi"]["outcome"]["result"], "hi")
        self.assertEqual(records["completionWhat is this"]["trigger"]["request"].splitlines()[-1], "[image_url]")
        asked = [record for record in self.home.records() if len(record["execution"]["tool_calls"]) == 3]
        self.assertEqual(len(asked), 1)
        _, weather, broken = asked[0]["execution"]["tool_calls"]
        self.assertEqual((weather["tool"], weather["arguments"]), ("weather", {"city": "Paris"}))
        self.assertEqual((broken["tool"], broken["arguments"]), ("broken", {"text": '{"city": '}))

    def test_masked_content(self):
        self.home.run("masked")
        record = self.home.records()[0]
        self.assertEqual(record["trigger"]["request"], "write to <EMAIL_ADDRESS>")
        self.assertNotIn(b"canary", self.home.database.read_bytes())
        self.assertEqual(record["context"]["environment"]["content_mode"], "masked")
        self.home.verify(1)

    def test_hashes_in_place_of_content(self):
        self.home.run("hashed")
        records = self.home.records()
        self.assertEqual(len(records), 3)
        self.assertNotIn("canary", json.dumps(records))
        self.assertNotIn(b"canary", self.home.database.read_bytes())
        first = next(record for record in records if record["outcome"]["result"])
        for said in (first["trigger"]["request"], first["outcome"]["result"]):
            self.assertRegex(said, r"^keyed-sha3-256:[0-9a-f]{64}$")
        self.assertEqual(first["context"]["environment"]["content_mode"], "hash")
        self.home.verify(3)


class Page(unittest.TestCase):
    def test_the_published_page_ends_with_pass(self):
        for tool in (chain.CAPSULE, chain.REFERENCE):
            home = chain.Home()
            self.addCleanup(home.close)
            code, out, err = home.tool(sys.executable, str(chain.HERE / "published_page.py"), tool)
            self.assertEqual((code, out.split()[-1]), (0, "PASS"), out + err)


if __name__ == "__main__":
    unittest.main()
