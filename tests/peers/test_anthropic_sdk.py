"""The Anthropic SDK, unchanged, against the gateway: over a provider that speaks Messages and over one that speaks chat
completions; and the OpenAI SDK over the former. Synchronous, asynchronous, streams, tools, thinking, errors."""

import asyncio

import anthropic
import openai

from gateway import BLOCKED_WORD, MASK, MASKED_WORD, GatewayCase
from messages_upstream import INPUT, SIGNATURE

TOOL = {"name": "weather", "description": "weather of a city", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}
SYSTEM = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]


def say(text):
    return {"max_tokens": 64, "system": SYSTEM, "messages": [{"role": "user", "content": text}]}


class AnthropicSdk(GatewayCase):
    # The words are checked, and signed thinking goes back to the provider that signed it.
    settings = {"opaque_parts": "pass"}

    def setUp(self):
        self.client = anthropic.Anthropic(base_url=self.gateway.url, api_key=self.gateway.key, max_retries=0, timeout=20)
        self.addCleanup(self.client.close)
        self.mark = self.upstream.mark()

    def sent(self):
        return self.upstream.since(self.mark)

    def test_a_plain_call(self):
        for model in ("claude-echo", "echo"):
            with self.subTest(model):
                raw = self.client.messages.with_raw_response.create(model=model, **say("grüße \U0001f600 \"quoted\""))
                answer = raw.parse()
                self.assertEqual([block.text for block in answer.content], ["grüße \U0001f600 \"quoted\""])
                self.assertEqual((answer.stop_reason, answer.model, answer.role), ("end_turn", model, "assistant"))
                self.assertEqual((answer.usage.input_tokens, answer.usage.output_tokens), (3, 3))
                record = self.gateway.record(self.capsule_id(raw.headers))
                self.assertEqual((record["type"], record["outcome"]["status"]), ("chat", "success"))
                tokens = record["execution"]["resources_used"]["tokens_in"]
                self.assertEqual(tokens, 13 if model == "claude-echo" else 3)

    def test_both_auth_headers(self):
        client = anthropic.Anthropic(base_url=self.gateway.url, auth_token=self.gateway.key, api_key=None, max_retries=0)
        self.addCleanup(client.close)
        answer = client.messages.create(model="claude-echo", **say("bearer"))
        self.assertEqual(answer.content[0].text, "bearer")

    def test_the_body_goes_on_as_it_is(self):
        headers = {"anthropic-beta": "some-beta-2026-01-01,other-beta"}
        thinking = {"type": "thinking", "thinking": "hm", "signature": SIGNATURE}
        self.client.messages.create(
            model="claude-echo", max_tokens=64, system=SYSTEM, metadata={"user_id": "u-1"}, extra_headers=headers,
            messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": [thinking, {"type": "text", "text": "b"}]},
                      {"role": "user", "content": "c"}], extra_body={"brand_new_field": {"a": [1, 2.50, None]}})
        (request,) = self.sent()
        self.assertEqual(request.headers["anthropic-beta"], headers["anthropic-beta"])
        self.assertEqual(request.body["system"], SYSTEM)
        self.assertEqual(request.body["messages"][1]["content"][0], thinking)
        self.assertEqual(request.body["metadata"], {"user_id": "u-1"})
        self.assertEqual(request.body["brand_new_field"], {"a": [1, 2.5, None]})
        self.assertNotIn(self.gateway.key, str(request.headers))

    def test_streams(self):
        for model in ("claude-echo", "echo", "letters"):
            with self.subTest(model), self.client.messages.stream(model=model, **say("one two three four")) as stream:
                self.assertEqual("".join(stream.text_stream), "one two three four")
                final = stream.get_final_message()
                self.assertEqual((final.stop_reason, final.model), ("end_turn", model))
                self.assertEqual((final.usage.input_tokens, final.usage.output_tokens), (4, 3))

    def test_events_of_a_stream(self):
        for model in ("claude-echo", "echo"):
            events = [event.type for event in self.client.messages.create(model=model, stream=True, **say("word"))]
            self.assertEqual(events, ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                                      "message_delta", "message_stop"], model)

    def test_tools(self):
        for model in ("claude-tools", "tools"):
            with self.subTest(model):
                answer = self.client.messages.create(model=model, tools=[TOOL], tool_choice={"type": "any"}, **say("weather?"))
                call = answer.content[-1]
                self.assertEqual((answer.stop_reason, call.type, call.name, call.input), ("tool_use", "tool_use", "weather", INPUT))
                with self.client.messages.stream(model=model, tools=[TOOL], **say("weather?")) as stream:
                    final = stream.get_final_message()
                self.assertEqual((final.stop_reason, final.content[-1].name, final.content[-1].input), ("tool_use", "weather", INPUT))
                result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"},
                                                      {"type": "text", "text": "thanks"}]}
                echo = "claude-echo" if model == "claude-tools" else "echo"
                again = self.client.messages.create(
                    model=echo, max_tokens=9, tools=[TOOL],
                    messages=[{"role": "user", "content": "weather?"}, {"role": "assistant", "content": answer.content}, result])
                self.assertEqual(again.content[0].text, "thanks")

    def test_thinking_keeps_its_signature(self):
        answer = self.client.messages.create(model="claude-thinking", **say("x"))
        self.assertEqual((answer.content[0].thinking, answer.content[0].signature), ("let me see", SIGNATURE))
        with self.client.messages.stream(model="claude-thinking", **say("x")) as stream:
            final = stream.get_final_message()
        self.assertEqual((final.content[0].thinking, final.content[0].signature), ("let me see", SIGNATURE))

    def test_asynchronous(self):
        async def call():
            async with anthropic.AsyncAnthropic(base_url=self.gateway.url, api_key=self.gateway.key, max_retries=0) as client:
                plain = await client.messages.create(model="claude-echo", **say("async"))
                async with client.messages.stream(model="echo", **say("async stream")) as stream:
                    text = "".join([piece async for piece in stream.text_stream])
                return plain.content[0].text, text
        self.assertEqual(asyncio.run(call()), ("async", "async stream"))

    def test_tokens_are_counted(self):
        body = {key: value for key, value in say("count this").items() if key != "max_tokens"}
        self.assertEqual(self.client.messages.count_tokens(model="claude-echo", **body).input_tokens, 17)
        self.assertGreater(self.client.messages.count_tokens(model="echo", **body).input_tokens, 0)

    def test_models(self):
        names = {model.id for model in self.client.models.list()}
        self.assertLessEqual({"claude-echo", "echo"}, names)

    def test_errors(self):
        cases = [("claude-status-429", anthropic.RateLimitError), ("claude-status-400", anthropic.BadRequestError),
                 ("status-429", anthropic.RateLimitError), ("no-such-model", anthropic.APIStatusError)]
        for model, kind in cases:
            with self.subTest(model), self.assertRaises(kind) as caught:
                self.client.messages.create(model=model, **say("x"))
            body = caught.exception.body
            self.assertEqual(body["type"], "error", body)
            self.assertIn("message", body["error"])
        stranger = self.client.with_options(api_key="sk-wrong")
        with self.assertRaises(anthropic.AuthenticationError):
            stranger.messages.create(model="claude-echo", **say("x"))

    def test_errors_inside_a_stream(self):
        for model in ("claude-overloaded", "claude-cut", "cut"):
            with self.subTest(model), self.assertRaises(anthropic.APIError):
                for _ in self.client.messages.create(model=model, stream=True, **say("one two three")):
                    pass

    def test_a_blocked_word(self):
        for model in ("claude-echo", "echo"):
            with self.subTest(model), self.assertRaises(anthropic.APIStatusError) as caught:
                self.client.messages.create(model=model, **say(f"about {BLOCKED_WORD}"))
            self.assertIn(caught.exception.status_code, (400, 403))
            self.assertNotIn(BLOCKED_WORD, str(caught.exception.body))
        self.assertEqual(self.sent(), [])

    def test_a_masked_word(self):
        for model in ("claude-echo", "echo"):
            answer = self.client.messages.create(model=model, **say(f"about {MASKED_WORD}."))
            self.assertEqual(answer.content[0].text, f"about {MASK}.")
            with self.client.messages.stream(model=model, **say(f"about {MASKED_WORD}.")) as stream:
                self.assertEqual("".join(stream.text_stream), f"about {MASK}.")
        for request in self.sent():
            self.assertNotIn(MASKED_WORD.encode(), request.raw.lower())


class OpenAiSdkOverMessages(GatewayCase):
    """Chat completions of a provider that speaks Messages."""

    settings = {"opaque_parts": "pass"}

    def setUp(self):
        self.client = openai.OpenAI(base_url=self.gateway.url + "/v1", api_key=self.gateway.key, max_retries=0, timeout=20)
        self.addCleanup(self.client.close)
        self.mark = self.upstream.mark()

    def say(self, model, text, **more):
        messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
        return self.client.chat.completions.create(model=model, messages=messages, **more)

    def test_a_plain_call(self):
        answer = self.say("claude-echo", "grüße \"quoted\"")
        self.assertEqual((answer.choices[0].message.content, answer.choices[0].finish_reason), ("grüße \"quoted\"", "stop"))
        self.assertEqual((answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens), ("claude-echo", 12, 3))
        self.assertEqual(answer.usage.prompt_tokens_details.cached_tokens, 6)
        (request,) = self.upstream.since(self.mark)
        self.assertEqual(request.body["system"], [{"type": "text", "text": "be brief"}])

    def test_a_stream(self):
        stream = self.say("claude-echo", "one two three", stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertEqual(text, "one two three")
        self.assertEqual(chunks[-1].usage.completion_tokens, 3)

    def test_tools(self):
        tool = {"type": "function", "function": {"name": "weather", "parameters": TOOL["input_schema"]}}
        answer = self.say("claude-tools", "weather?", tools=[tool], tool_choice="required")
        (call,) = answer.choices[0].message.tool_calls
        self.assertEqual((answer.choices[0].finish_reason, call.function.name), ("tool_calls", "weather"))
        arguments = ""
        for chunk in self.say("claude-tools", "weather?", tools=[tool], stream=True):
            for piece in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
                arguments += piece.function.arguments or ""
        self.assertEqual(arguments, '{"city": "Pune", "days": 2}')

    def test_thinking(self):
        answer = self.say("claude-thinking", "x")
        message = answer.choices[0].message
        self.assertEqual(message.reasoning_content, "let me see")
        self.assertEqual(message.thinking_blocks[0]["signature"], SIGNATURE)
        # And back, as a turn of the conversation.
        turn = {"role": "assistant", "content": message.content, "thinking_blocks": message.thinking_blocks}
        self.client.chat.completions.create(model="claude-echo", messages=[{"role": "user", "content": "x"}, turn, {"role": "user", "content": "y"}])
        request = self.upstream.since(self.mark)[-1]
        self.assertEqual(request.body["messages"][1]["content"][0],
                         {"type": "thinking", "thinking": "let me see", "signature": SIGNATURE})

    def test_what_cannot_be_said_is_refused_by_name(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.say("claude-echo", "x", n=2)
        self.assertEqual(caught.exception.param, "n")
        self.assertEqual(self.upstream.since(self.mark), [])

    def test_errors(self):
        with self.assertRaises(openai.RateLimitError):
            self.say("claude-status-429", "x")
        with self.assertRaises(openai.APIError):
            list(self.say("claude-overloaded", "one two three", stream=True))
