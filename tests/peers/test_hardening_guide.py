"""The key, team and incident parts of a published LiteLLM hardening guide, command by command.

The commands are ours, written after the guide's: the same routes, fields and spellings, run by `curl` from a shell against a
real gateway. What is different here is a step of its own, with the reason.
"""

import json
import shutil
import sqlite3
import subprocess

from gateway import SEALGATE, GatewayCase, environment, run

CURL = "curl -sS -w '\\n%{http_code}'"
ADMIN = '-H "Authorization: Bearer $LITELLM_MASTER_KEY" -H "Content-Type: application/json"'


class HardeningGuide(GatewayCase):
    settings = {"limits": {"requests_per_address": 100, "burst_per_address": 200, "connections_per_address": 50}}

    def shell(self, command, **more):
        """Runs a line of the guide; gives the status and the answer."""
        env = environment(LITELLM_MASTER_KEY=self.gateway.key, URL=self.gateway.url, **more)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, env=env, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.startswith(("{", "[")) else body

    def post(self, path, body, method="POST"):
        return self.shell(f"{CURL} -X {method} $URL{path} {ADMIN} -d '{json.dumps(body)}'")

    def fine(self, path, body):
        status, answer = self.post(path, body)
        self.assertEqual(status, 200, answer)
        return answer

    def chat(self, key, **more):
        body = {"model": "echo", "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}], **more}
        line = f"{CURL} $URL/v1/chat/completions -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
        return self.shell(line, KEY=key)

    def test_1_a_master_key_as_the_guide_makes_it(self):
        for line in ("openssl rand -hex 32", "python3 -c \"import secrets; print('sk-' + secrets.token_hex(32))\""):
            if shutil.which(line.split()[0]) is None:
                self.fail(f"{line.split()[0]} is not installed")
            key = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.strip()
            config = self.gateway.folder / "master.json"
            config.write_text(json.dumps({**self.gateway.config(), "guardrails": []}))
            code, out, err = run(SEALGATE, "config", "check", "--config", str(config), LITELLM_MASTER_KEY=key, UPSTREAM_KEY="sk-x")
            self.assertEqual(code, 0, out + err)
            self.assertNotIn(key, out + err)
        code, out, err = run(SEALGATE, "config", "check", "--config", str(config), LITELLM_MASTER_KEY="sk-1234", UPSTREAM_KEY="sk-x")
        self.assertNotEqual(code, 0, out + err)

    def test_2_keys_and_teams(self):
        wanted = {"key_alias": "frontend-app", "models": ["gpt-4o", "claude-sonnet-4"], "max_budget": 100.0,
                  "budget_duration": "30d", "rpm_limit": 100, "tpm_limit": 100000, "team_id": "team-engineering",
                  "metadata": {"environment": "production", "app": "chat-widget"}}
        # A key of a team that does not exist is refused, with the command that makes the team.
        status, answer = self.post("/key/generate", wanted)
        self.assertEqual(status, 404, answer)
        self.assertIn("/team/new", answer["error"]["message"])
        self.fine("/team/new", {"team_id": "team-engineering"})
        made = self.fine("/key/generate", wanted)
        for name in ("models", "max_budget", "budget_duration", "rpm_limit", "tpm_limit", "team_id", "metadata", "key_alias"):
            self.assertEqual(made[name], wanted[name], name)
        self.assertTrue(made["key"].startswith("sk-"))
        self.assertIsNone(made["expires"])
        # The guide shows the alias as key_name; the product, and we, the masked form.
        self.assertEqual(made["key_name"], "sk-..." + made["key"][-4:])
        # Models that are not configured are said at once, and refused when they are called.
        self.assertIn("gpt-4o", made["warning"])
        # Shown once: neither the list nor the row has it again, and the file has no digest that anybody can compute.
        listed = json.dumps(self.shell(f"{CURL} \"$URL/key/list?return_full_object=true\" {ADMIN}"))
        self.assertNotIn(made["key"], listed)
        self.assertNotIn(made["key"].encode(), self.gateway.database.read_bytes())
        team = self.fine("/team/new", {"team_alias": "engineering", "models": ["gpt-4o", "claude-sonnet-4"], "max_budget": 1000.0,
                                       "budget_duration": "30d", "rpm_limit": 500, "tpm_limit": 500000})
        self.assertEqual((team["max_budget"], team["rpm_limit"], team["tpm_limit"]), (1000.0, 500, 500000))
        # The guide's path and its role `member`; the user is made where there is none.
        self.fine("/team/new", {"team_id": "team-123"})
        added = self.fine("/team/member/add", {"team_id": "team-123", "user_id": "dev@example.com", "role": "member"})
        self.assertEqual(added["created_users"], ["dev@example.com"])
        self.assertIn({"user_id": "dev@example.com", "role": "user"}, added["members_with_roles"])

    def test_3_limits(self):
        key = self.fine("/key/generate", {"rpm_limit": 100, "tpm_limit": 100000, "max_parallel_requests": 10})
        self.assertEqual([key[name] for name in ("rpm_limit", "tpm_limit", "max_parallel_requests")], [100, 100000, 10])
        self.assertEqual(self.chat(key["key"])[0], 200)
        self.fine("/team/new", {"team_alias": "engineering", "rpm_limit": 1000, "tpm_limit": 1000000})
        # The settings of the whole gateway, in the sections where the guide puts them.
        config = self.gateway.folder / "limits.json"
        guide = {**self.gateway.config(), "router_settings": {"rpm_limit": 10000, "tpm_limit": 1000000}}
        guide["general_settings"] = {"master_key": "os.environ/LITELLM_MASTER_KEY", "max_parallel_requests": 100,
                                     "global_max_parallel_requests": 1000}
        config.write_text(json.dumps(guide))
        code, out, err = run(SEALGATE, "config", "check", "--config", str(config), LITELLM_MASTER_KEY=self.gateway.key, UPSTREAM_KEY="sk-x")
        self.assertEqual(code, 0, out + err)

    def test_4_consent_and_what_is_known_of_a_user(self):
        user = self.fine("/user/new", {"user_id": "person@example.com", "user_email": "person@example.com"})
        status, answer = self.chat(user["key"], metadata={"user_consent": "analytics:true,storage:true", "consent_date": "2024-01-01"})
        self.assertEqual(status, 200, answer)
        status, known = self.shell(f"{CURL} $URL/user/person@example.com {ADMIN}")
        self.assertEqual((status, known["user_id"], len(known["keys"])), (200, "person@example.com", 1), known)
        # What the guide promises of this route is either done or refused, never half done.
        status, answer = self.post("/user/delete", {"user_id": "person@example.com"}, method="DELETE")
        self.assertIn(status, (200, 403, 501), answer)
        if status != 200:
            self.assertEqual(self.chat(user["key"])[0], 200)
            status, answer = self.post("/user/delete", {"user_ids": ["person@example.com"]})
            self.assertEqual(status, 200, answer)
        self.assertEqual(self.chat(user["key"])[0], 401)
        self.assertEqual(self.shell(f"{CURL} $URL/user/person@example.com {ADMIN}")[0], 404)

    def test_5_an_incident(self):
        team = self.fine("/team/new", {"team_alias": "incident"})["team_id"]
        leaked, other = (self.fine("/key/generate", {"team_id": team}) for _ in range(2))
        self.assertEqual([self.chat(key["key"])[0] for key in (leaked, other)], [200, 200])
        # Containment: the key by its text, as the guide writes it; then the team.
        self.assertTrue(self.fine("/key/block", {"key": leaked["key"]})["blocked"])
        self.assertEqual([self.chat(key["key"])[0] for key in (leaked, other)], [401, 200])
        self.assertTrue(self.fine("/team/block", {"team_id": team})["blocked"])
        self.assertEqual(self.chat(other["key"])[0], 401)
        # Investigation: the value that stands in `api_key`, without asking the gateway, and its calls.
        code, out, err = run(SEALGATE, "keys", "id", leaked["key"], "--data-dir", str(self.gateway.data), "--json")
        self.assertEqual(code, 0, err)
        identity = json.loads(out)["id"]
        self.assertEqual(identity, leaked["token"])
        status, rows = self.shell(f"{CURL} \"$URL/spend/logs?api_key={identity}\" {ADMIN}")
        # The call that was answered, and the one that was refused after the block.
        self.assertEqual((status, [(row["api_key"], row["status"]) for row in rows]), (200, [(identity, "error"), (identity, "success")]), rows)
        # The audit trail says who did what, each entry with the record that seals it.
        status, trail = self.shell(f"{CURL} \"$URL/audit?object_id={identity}\" {ADMIN}")
        entries = trail["audit_logs"]
        self.assertEqual([entry["action"] for entry in entries], ["blocked", "created"])
        for entry in entries:
            self.assertEqual(entry["table_name"], "LiteLLM_VerificationToken")
            self.assertNotIn(leaked["key"], json.dumps(entry))
            record = self.gateway.record(entry["id"])
            changes = record["context"]["environment"]["changes"]
            self.assertIn((entry["action"], identity), [(change["action"], change["object"]) for change in changes])
        # Recovery: new values; the old one is dead.
        self.fine("/team/unblock", {"team_id": team})
        self.fine("/key/unblock", {"key": identity})
        renewed = self.fine("/key/regenerate", {"key": identity})
        self.assertEqual([self.chat(key)[0] for key in (leaked["key"], renewed["key"], other["key"])], [401, 200, 200])

    def test_6_a_row_that_is_put_back_is_noticed(self):
        """Not in the guide, whose trail is a table that its owner can rewrite."""
        key = self.fine("/key/generate", {"key_alias": "put-back"})
        identity = key["token"]
        with sqlite3.connect(f"file:{self.gateway.database}?mode=ro", uri=True) as database:
            columns = "kind, tenant, id, version, doc, mac, sequence"
            old = database.execute(f"SELECT {columns} FROM sealgate_entities WHERE id = ?", (identity,)).fetchone()
        self.fine("/key/block", {"key": identity})
        self.assertEqual(self.gateway.stop(), 0)
        with sqlite3.connect(self.gateway.database) as database:
            database.execute("DELETE FROM sealgate_entities WHERE id = ?", (identity,))
            database.execute("INSERT INTO sealgate_entities VALUES (?, ?, ?, ?, ?, ?, ?)", old)
        self.gateway.start()
        self.assertEqual(self.chat(key["key"])[0], 401)
        status, answer = self.post("/key/unblock", {"key": identity})
        self.assertEqual(status, 400, answer)
        # Deleting it makes the table good again.
        self.fine("/key/delete", {"keys": [identity]})
        self.assertEqual(self.gateway.stop(), 0)
        self.gateway.start()
        status, metrics = self.shell(f"{CURL} $URL/metrics {ADMIN}")
        self.assertIn("sealgate_damaged_entities 0", metrics)
