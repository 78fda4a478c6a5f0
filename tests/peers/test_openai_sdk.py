"""The OpenAI SDK, unchanged, against the gateway: synchronous, asynchronous, streams, tools, embeddings, errors."""

import asyncio
import json

import openai

from gateway import BLOCKED_WORD, MASK, MASKED_WORD, GatewayCase
from upstream import KEY

WEATHER = {"type": "function", "function": {"name": "weather", "description": "weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}}


def say(text):
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]


class OpenAiSdk(GatewayCase):
    def setUp(self):
        self.client = openai.OpenAI(base_url=self.gateway.url + "/v1", api_key=self.gateway.key, max_retries=0, timeout=20)
        self.addCleanup(self.client.close)
        self.mark = self.upstream.mark()

    def sent(self):
        return self.upstream.since(self.mark)

    def test_a_plain_call(self):
        raw = self.client.chat.completions.with_raw_response.create(model="echo", messages=say("grüße \U0001f600 \"quoted\""))
        answer = raw.parse()
        self.assertEqual(answer.choices[0].message.content, "grüße \U0001f600 \"quoted\"")
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.model, "echo")
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.completion_tokens), (3, 3))
        record = self.gateway.record(self.capsule_id(raw.headers))
        self.assertEqual((record["type"], record["outcome"]["status"]), ("chat", "success"))
        self.assertEqual(record["execution"]["resources_used"]["tokens_in"], 3)
        self.assertRegex(raw.headers["x-sealgate-checkpoint"], r"^\d+:[0-9a-f]+$")

    def test_without_the_v1_prefix(self):
        client = self.client.with_options(base_url=self.gateway.url)
        answer = client.chat.completions.create(model="echo", messages=say("bare"))
        self.assertEqual(answer.choices[0].message.content, "bare")

    def test_several_choices(self):
        answer = self.client.chat.completions.create(model="echo", messages=say("two"), n=2)
        self.assertEqual([choice.message.content for choice in answer.choices], ["two", "two (1)"])

    def test_fields_that_we_do_not_know_reach_the_provider(self):
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
        self.client.chat.completions.create(model="echo", messages=say("x"), response_format=schema, seed=7,
                                            extra_body={"brand_new_field": {"a": [1, 2.50, None]}})
        (request,) = self.sent()
        self.assertEqual(request.body["response_format"], schema)
        self.assertEqual(request.body["brand_new_field"], {"a": [1, 2.5, None]})
        self.assertIn(b"2.5", request.raw)

    def test_the_gateways_own_fields_and_the_callers_key_stay_here(self):
        self.client.chat.completions.create(model="echo", messages=say("x"), metadata={"team": "blue"},
                                            extra_body={"tags": ["a"], "cache": {"no-cache": True}})
        (request,) = self.sent()
        self.assertEqual(sorted(request.body), ["messages", "model"])
        self.assertEqual(request.headers["authorization"], f"Bearer {KEY}")
        self.assertNotIn(self.gateway.key, str(request.headers))

    def test_a_stream(self):
        with self.client.chat.completions.with_streaming_response.create(
                model="echo", messages=say("one two three four"), stream=True) as raw:
            identity = self.capsule_id(raw.headers)
            self.assertTrue(raw.headers["content-type"].startswith("text/event-stream"))
            self.assertEqual(raw.headers["x-accel-buffering"], "no")
            lines = list(raw.iter_lines())
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events)
        self.assertEqual(text, "one two three four")
        self.assertTrue(all(e["model"] == "echo" for e in events))
        self.assertFalse([e for e in events if e.get("usage")], "usage was not asked for")
        self.assertEqual([line for line in lines if line][-1], "data: [DONE]")
        self.assertTrue([line for line in lines if line.startswith(":") and identity in line], "no record id before the end")
        (request,) = self.sent()
        self.assertTrue(request.body["stream_options"]["include_usage"], "the gateway counts, so it asks")
        record = self.gateway.record(identity)
        self.assertEqual(record["outcome"]["status"], "success")
        self.assertEqual(record["execution"]["resources_used"]["tokens_out"], 3)

    def test_a_stream_with_usage(self):
        stream = self.client.chat.completions.create(model="echo", messages=say("one two"), stream=True,
                                                     stream_options={"include_usage": True})
        chunks = list(stream)
        counted = [chunk.usage for chunk in chunks if chunk.usage]
        self.assertEqual([(u.prompt_tokens, u.completion_tokens) for u in counted], [(2, 3)])

    def test_a_stream_of_several_choices(self):
        text = {0: "", 1: ""}
        for chunk in self.client.chat.completions.create(model="echo", messages=say("abcdefgh"), n=2, stream=True):
            for choice in chunk.choices:
                text[choice.index] += choice.delta.content or ""
        self.assertEqual(text, {0: "abcdefgh", 1: "abcdefgh"})

    def test_tools(self):
        answer = self.client.chat.completions.create(model="tools", messages=say("rain?"), tools=[WEATHER])
        (call,) = answer.choices[0].message.tool_calls
        self.assertEqual((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Pune", "days": 2}))
        (request,) = self.sent()
        self.assertEqual(request.body["tools"], [WEATHER])
        follow = say("rain?") + [answer.choices[0].message.model_dump(exclude_none=True),
                                 {"role": "tool", "tool_call_id": call.id, "content": "yes"}]
        self.client.chat.completions.create(model="echo", messages=follow)
        self.assertEqual(self.sent()[1].body["messages"][-1]["content"], "yes")

    def test_tools_in_a_stream(self):
        name, arguments = None, ""
        for chunk in self.client.chat.completions.create(model="tools", messages=say("rain?"), tools=[WEATHER], stream=True):
            for call in (chunk.choices and chunk.choices[0].delta.tool_calls) or []:
                name = call.function.name or name
                arguments += call.function.arguments or ""
        self.assertEqual((name, json.loads(arguments)), ("weather", {"city": "Pune", "days": 2}))

    def test_embeddings(self):
        answer = self.client.embeddings.create(model="echo", input=["a", "bcd"])
        self.assertEqual([item.embedding for item in answer.data], [[1.0, 0.5, -1.25], [3.0, 0.5, -1.25]])
        self.assertEqual(answer.usage.prompt_tokens, 2)
        answer = self.client.embeddings.create(model="echo", input="abcd", encoding_format="float")
        self.assertEqual(answer.data[0].embedding, [4.0, 0.5, -1.25])

    def test_models(self):
        names = [model.id for model in self.client.models.list()]
        self.assertIn("echo", names)
        self.assertEqual(self.client.models.retrieve("echo").id, "echo")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nothing")
        self.assertEqual(self.sent(), [])

    def test_a_blocked_word_reaches_nobody(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="echo", messages=say(f"about {BLOCKED_WORD.upper()} now"))
        self.assertEqual(caught.exception.body["sealgate_code"], "blocked")
        self.assertNotIn(BLOCKED_WORD, str(caught.exception.body).lower())
        self.assertEqual(self.sent(), [])

    def test_a_masked_word_is_masked_in_both_directions(self):
        answer = self.client.chat.completions.create(model="echo", messages=say(f"call {MASKED_WORD} today"))
        (request,) = self.sent()
        self.assertEqual(request.body["messages"][1]["content"], f"call {MASK} today")
        self.assertEqual(answer.choices[0].message.content, f"call {MASK} today")

    def test_a_word_split_over_the_events_of_a_stream_is_masked(self):
        # Two texts that are harmless apart; the provider joins them, so the word first exists in the answer, letter by letter.
        text = ""
        messages = say("ignored") + [{"role": "user", "content": [{"type": "text", "text": "xx acme"}, {"type": "text", "text": "-corp yy"}]}]
        for chunk in self.client.chat.completions.create(model="letters", messages=messages, stream=True):
            text += (chunk.choices and chunk.choices[0].delta.content) or ""
        self.assertEqual(text, f"xx {MASK} yy")

    def test_errors_of_the_caller(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            self.client.with_options(api_key="sk-" + "0" * 64).chat.completions.create(model="echo", messages=say("x"))
        self.assertNotIn("0" * 64, str(caught.exception.body))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="nothing", messages=say("x"))
        self.assertEqual(caught.exception.body["sealgate_code"], "unknown_model")
        self.assertEqual(caught.exception.code, "400")
        for field in ("api_base", "base_url", "api_key"):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.client.chat.completions.create(model="echo", messages=say("x"), extra_body={field: "http://127.0.0.1:1/"})
            self.assertEqual(caught.exception.body["sealgate_code"], "refused_field")
        self.assertEqual(self.sent(), [])

    def test_errors_of_the_provider(self):
        expected = {"status-400": openai.BadRequestError, "status-401": openai.AuthenticationError,
                    "status-404": openai.NotFoundError, "status-429": openai.RateLimitError,
                    "status-500": openai.InternalServerError, "status-503": openai.InternalServerError,
                    "not-json": openai.InternalServerError}
        for model, kind in expected.items():
            for stream in (False, True):
                with self.subTest(model=model, stream=stream):
                    with self.assertRaises(kind) as caught:
                        list(self.client.chat.completions.create(model=model, messages=say("x"), stream=stream))
                    headers = caught.exception.response.headers
                    self.assertNotIn(KEY, str(caught.exception.body) + str(headers))
                    self.assertNotIn("set-cookie", headers)
                    self.assertNotIn("x-internal", headers)
                    record = self.gateway.record(self.capsule_id(headers))
                    self.assertEqual(record["outcome"]["status"], "failure")
                    self.assertNotIn(KEY, json.dumps(record))

    def test_a_context_that_is_too_long(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="status-400", messages=say("too long"))
        self.assertEqual(caught.exception.body["sealgate_code"], "context_length_exceeded")

    def test_a_provider_that_dies_in_a_stream(self):
        with self.client.chat.completions.with_streaming_response.create(
                model="cut", messages=say("abcdefghijkl"), stream=True) as raw:
            identity = self.capsule_id(raw.headers)
            lines = [line for line in raw.iter_lines() if line.startswith("data:")]
        self.assertEqual(json.loads(lines[-1][6:])["error"]["code"], "502")
        self.assertEqual(self.gateway.record(identity)["outcome"]["status"], "partial")

    def test_a_client_that_leaves_a_stream(self):
        raw = self.client.chat.completions.with_streaming_response.create(model="endless", messages=say("abcdefgh"), stream=True)
        with raw as response:
            identity = self.capsule_id(response.headers)
            next(line for line in response.iter_lines() if "abcd" in line)
        (request,) = self.sent()
        self.assertTrue(request.gone.wait(5), "the provider's stream goes on")
        self.assertEqual(self.gateway.record(identity)["outcome"]["status"], "partial")


class OpenAiSdkAsync(GatewayCase):
    def client(self):
        return openai.AsyncOpenAI(base_url=self.gateway.url + "/v1", api_key=self.gateway.key, max_retries=0, timeout=20)

    def test_many_calls_at_once(self):
        async def calls():
            async with self.client() as client:
                return await asyncio.gather(*(client.chat.completions.with_raw_response.create(
                    model="echo", messages=say(f"call {n}")) for n in range(40)))

        answers = asyncio.run(calls())
        self.assertEqual([a.parse().choices[0].message.content for a in answers], [f"call {n}" for n in range(40)])
        identities = {self.capsule_id(a.headers) for a in answers}
        self.assertEqual(len(identities), 40)
        for identity in identities:
            self.assertEqual(self.gateway.record(identity)["id"], identity)

    def test_many_streams_at_once_do_not_mix(self):
        async def one(client, n):
            text = ""
            async for chunk in await client.chat.completions.create(
                    model="letters", messages=say(f"<{n}> äöü 漢字 \U0001f600 </{n}>"), stream=True):
                text += (chunk.choices and chunk.choices[0].delta.content) or ""
            return text

        async def streams():
            async with self.client() as client:
                return await asyncio.gather(*(one(client, n) for n in range(20)))

        texts = asyncio.run(streams())
        self.assertEqual(texts, [f"<{n}> äöü 漢字 \U0001f600 </{n}>" for n in range(20)])

    def test_an_error(self):
        async def call():
            async with self.client() as client:
                await client.chat.completions.create(model="status-429", messages=say("x"))

        with self.assertRaises(openai.RateLimitError):
            asyncio.run(call())
