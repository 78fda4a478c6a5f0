"""Claude Code and Codex, the programs themselves, with the gateway as their only way out: each is run without a terminal,
uses a tool on this machine, and gets the tool's result back through the gateway. What they send that a run without a
terminal does not send (counts of tokens, model discovery, bodies near their limit) is sent in their shape."""

import json
import pathlib
import tempfile

import httpx

from gateway import BLOCKED_WORD, MASK, MASKED_WORD, GatewayCase
from messages_upstream import LENGTH
from node_peers import environment, program, run

NOTE = "the note says 4711"
BETAS = "claude-code-20250219,interleaved-thinking-2025-05-14,a-beta-that-nobody-knows-2099-01-01"


class Agent(GatewayCase):
    settings = {"opaque_parts": "pass"}

    def setUp(self):
        self.mark = self.upstream.mark()
        folder = tempfile.TemporaryDirectory(prefix="sealgate-agent-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.work = self.home / "work"
        self.work.mkdir()
        (self.work / "note.txt").write_text(NOTE)

    def sent(self):
        return self.upstream.since(self.mark)

    def calls(self, route):
        """Calls that this test made, by the access log."""
        lines = [json.loads(line) for line in self.gateway.access.read_text().splitlines()]
        return [line for line in lines if line.get("route") == route]


class ClaudeCode(Agent):
    def claude(self, model, prompt, **more):
        credentials = more or {"ANTHROPIC_AUTH_TOKEN": self.gateway.key}
        names = {name: model for name in ("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")}
        env = environment(self.home, ANTHROPIC_BASE_URL=self.gateway.url, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
                          DISABLE_AUTOUPDATER="1", CLAUDE_CODE_MAX_RETRIES="0", **names, **credentials)
        command = [*program("claude"), "-p", prompt, "--output-format", "json", "--allowedTools", "Read"]
        code, out, err = run(command, env, self.work)
        try:
            return code, json.loads(out)
        except ValueError:
            raise AssertionError(f"claude: exit {code}\n{out}\n{err}") from None

    def test_over_a_provider_of_its_own_format(self):
        code, result = self.claude("claude-agent", "say hello")
        self.assertEqual((code, result["is_error"], result["result"]), (0, False, "say hello"), result)
        request = self.sent()[0]
        # What it says to the provider reaches the provider: betas, version, system text with its marks, unknown members.
        self.assertIn("claude-code-", request.headers["anthropic-beta"])
        self.assertEqual(request.headers["anthropic-version"], "2023-06-01")
        self.assertTrue([part for part in request.body["system"] if part.get("cache_control")])
        self.assertLessEqual({"thinking", "context_management", "output_config", "metadata", "tools"}, set(request.body))
        self.assertNotIn(self.gateway.key, str(request.headers))

    def test_over_a_provider_of_openais_format(self):
        code, result = self.claude("echo", "say hello")
        self.assertEqual((code, result["is_error"]), (0, False), result)
        self.assertIn("say hello", result["result"])
        self.assertTrue(self.sent()[0].path.endswith("/chat/completions"))

    def test_over_a_provider_of_geminis_format(self):
        code, result = self.claude("gemini-agent", "say hello")
        self.assertEqual((code, result["is_error"], result["result"]), (0, False, "say hello"), result)
        request = self.sent()[0]
        self.assertTrue(request.path.endswith("/gemini-agent:streamGenerateContent?alt=sse"), request.path)
        self.assertTrue(request.body["systemInstruction"]["parts"])

    def test_a_tool_runs_here_and_its_result_goes_to_the_model(self):
        for model in ("claude-agent", "gemini-agent"):
            with self.subTest(model):
                code, result = self.claude(model, f"READ {self.work / 'note.txt'}")
                self.assertEqual((code, result["is_error"]), (0, False), result)
                self.assertIn(NOTE, result["result"])
                self.assertEqual(result["num_turns"], 2)

    def test_a_key_in_place_of_a_token(self):
        code, result = self.claude("claude-agent", "say hello", ANTHROPIC_API_KEY=self.gateway.key)
        self.assertEqual((code, result["result"]), (0, "say hello"), result)

    def test_a_masked_and_a_blocked_word(self):
        code, result = self.claude("claude-agent", f"call {MASKED_WORD} today")
        self.assertEqual((code, result["result"]), (0, f"call {MASK} today"), result)
        for request in self.sent():
            self.assertNotIn(MASKED_WORD.encode(), request.raw.lower())
        mark = self.upstream.mark()
        code, result = self.claude("claude-agent", f"about {BLOCKED_WORD}")
        self.assertTrue(result["is_error"], result)
        self.assertEqual(self.upstream.since(mark), [])

    def test_a_key_that_is_not_ours(self):
        _, result = self.claude("claude-agent", "say hello", ANTHROPIC_AUTH_TOKEN="sk-wrong")
        self.assertTrue(result["is_error"], result)
        self.assertEqual(self.sent(), [])


class ClaudeCodeShapes(Agent):
    """Requests in the form in which Claude Code makes them."""

    def setUp(self):
        super().setUp()
        both = {"authorization": f"Bearer {self.gateway.key}", "x-api-key": self.gateway.key}
        headers = {**both, "anthropic-version": "2023-06-01", "anthropic-beta": BETAS, "user-agent": "claude-cli/2.1.197 (external, cli)",
                   "x-app": "cli", "x-claude-code-session-id": "3f2b0e0c-8f0b-4b32-9d0e-0b1b6a1d1f11", "x-stainless-retry-count": "0"}
        self.client = httpx.Client(base_url=self.gateway.url, headers=headers, timeout=60, trust_env=False)
        self.addCleanup(self.client.close)

    def body(self, model, text, **more):
        system = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"},
                  {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
        return {"model": model, "max_tokens": 32000, "system": system, "messages": [{"role": "user", "content": text}],
                "metadata": {"user_id": "user_1"}, **more}

    def test_tokens_are_counted_with_both_headers(self):
        tools = [{"name": "Read", "description": "reads", "input_schema": {"type": "object", "properties": {}}}]
        body = {key: value for key, value in self.body("claude-echo", "count", tools=tools).items() if key not in ("max_tokens", "metadata")}
        answer = self.client.post("/v1/messages/count_tokens?beta=true", json=body)
        self.assertEqual((answer.status_code, answer.json()["input_tokens"]), (200, 17))
        (request,) = self.sent()
        self.assertEqual(request.headers["anthropic-beta"], BETAS)
        self.assertEqual(request.headers["x-api-key"] == self.gateway.key, False)
        answer = self.client.post("/v1/messages/count_tokens", json={**body, "model": "echo"})
        self.assertEqual(answer.json()["litellm_count_source"], "local_estimate")

    def test_models_are_discovered(self):
        page = self.client.get("/v1/models?limit=1000").json()
        self.assertIn("claude-agent", [model["id"] for model in page["data"]])
        self.assertEqual((page["has_more"], page["data"][0]["type"]), (False, "model"))

    def test_a_body_near_the_limit(self):
        text = "word " * (30 * 1024 * 1024 // 5)
        answer = self.client.post("/v1/messages?beta=true", json=self.body("claude-echo", [{"type": "text", "text": text}, {"type": "text", "text": "end"}]))
        self.assertEqual(answer.status_code, 200, answer.text[:300])
        self.assertTrue(answer.json()["content"][0]["text"].endswith("end"))
        (request,) = self.sent()
        self.assertGreater(len(request.raw), 30 * 1024 * 1024)

    def test_a_long_stream(self):
        events, text = 0, 0
        with self.client.stream("POST", "/v1/messages?beta=true", json=self.body("claude-long", "go", stream=True)) as answer:
            for line in answer.iter_lines():
                events += line.startswith("event: ")
                if '"text_delta"' in line:
                    text += len(json.loads(line[6:])["delta"]["text"])
        self.assertEqual(text, 4 * LENGTH)
        self.assertGreater(events, LENGTH)

    def test_members_and_blocks_that_nobody_knows_go_on(self):
        block = {"type": "a_block_of_tomorrow", "payload": {"z": 1, "a": [2.50, "é"]}}
        more = {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, "brand_new": {"b": 1.0}}
        body = self.body("claude-echo", [{"type": "text", "text": "hi"}, block], **more)
        raw = json.dumps(body, ensure_ascii=False, indent=1).encode()
        answer = self.client.post("/v1/messages?beta=true", content=raw, headers={"content-type": "application/json"})
        self.assertEqual(answer.status_code, 200, answer.text)
        (request,) = self.sent()
        gone = b'"metadata"'
        self.assertEqual(request.raw.replace(b" ", b"").replace(b"\n", b"")[:200], raw.replace(b" ", b"").replace(b"\n", b"")[:200])
        self.assertIn(json.dumps(block, ensure_ascii=False, indent=1)[2:40].split("\n")[0].encode(), request.raw)
        self.assertEqual(request.body["messages"], body["messages"])
        self.assertEqual(request.body["brand_new"], {"b": 1.0})
        self.assertIn(gone, request.raw, "its metadata is Anthropic's, not the gateway's")


class Codex(Agent):
    def codex(self, model, prompt):
        folder = self.home / ".codex"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(
            f'model = "{model}"\nmodel_provider = "sealgate"\n\n[model_providers.sealgate]\nname = "sealgate"\n'
            f'base_url = "{self.gateway.url}/v1"\nwire_api = "responses"\nenv_key = "GATEWAY_KEY"\n'
            "request_max_retries = 0\nstream_max_retries = 0\n")
        env = environment(self.home, CODEX_HOME=str(folder), GATEWAY_KEY=self.gateway.key)
        command = [*program("codex"), "exec", "--skip-git-repo-check", "--json", "--sandbox", "danger-full-access", prompt]
        code, out, err = run(command, env, self.work)
        events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        said = [event["item"]["text"] for event in events
                if event["type"] == "item.completed" and event["item"]["type"] == "agent_message"]
        return code, said, out + err

    def test_over_a_provider_of_its_own_format(self):
        code, said, all_of_it = self.codex("agent", "say hello")
        self.assertEqual((code, said), (0, ["say hello"]), all_of_it)
        (request,) = [request for request in self.sent() if request.path.endswith("/responses")]
        self.assertEqual(request.body["include"], ["reasoning.encrypted_content"])
        self.assertLessEqual({"prompt_cache_key", "parallel_tool_calls", "tools"}, set(request.body))

    def test_a_tool_runs_here_and_its_result_goes_to_the_model(self):
        for model in ("agent", "claude-agent", "gemini-agent"):
            with self.subTest(model):
                code, said, all_of_it = self.codex(model, "RUN cat note.txt")
                self.assertEqual(code, 0, all_of_it)
                self.assertIn(NOTE, said[-1])

    def test_over_providers_of_other_formats(self):
        for model, path in (("claude-agent", "/v1/messages"), ("text-echo", "/chat/completions"),
                            ("gemini-agent", ":streamGenerateContent?alt=sse")):
            with self.subTest(model):
                self.mark = self.upstream.mark()
                code, said, all_of_it = self.codex(model, "say hello")
                self.assertEqual((code, said), (0, ["say hello"]), all_of_it)
                self.assertTrue(self.sent()[0].path.endswith(path))

    def test_a_blocked_word(self):
        code, said, all_of_it = self.codex("agent", f"about {BLOCKED_WORD}")
        self.assertEqual((code != 0, said), (True, []), all_of_it)
        self.assertEqual([request for request in self.sent() if request.path.endswith("/responses")], [])
