"""LiteLLM's SDK as a client of the gateway, the way an application would use it in front of a LiteLLM proxy."""

import asyncio
import json
import os

# The SDK would fetch its price table at import; the one that it ships is enough.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402

from gateway import BLOCKED_WORD, GatewayCase  # noqa: E402


# No advertising between the results.
litellm.suppress_debug_info = True


def say(text):
    return [{"role": "user", "content": text}]


class LiteLlmSdk(GatewayCase):
    def options(self, model, prefix="openai"):
        return {"model": f"{prefix}/{model}", "api_base": self.gateway.url + "/v1", "api_key": self.gateway.key,
                "num_retries": 0, "max_retries": 0, "timeout": 20}

    def test_a_plain_call(self):
        answer = litellm.completion(**self.options("echo"), messages=say("hello there"))
        self.assertEqual(answer.choices[0].message.content, "hello there")
        self.assertEqual(answer.usage.prompt_tokens, 2)

    def test_as_a_litellm_proxy(self):
        options = {**self.options("echo", "litellm_proxy"), "api_base": self.gateway.url}
        answer = litellm.completion(**options, messages=say("hello proxy"))
        self.assertEqual(answer.choices[0].message.content, "hello proxy")

    def test_a_stream(self):
        chunks = list(litellm.completion(**self.options("echo"), messages=say("one two three"), stream=True,
                                         stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), "one two three")
        counted = [c.usage for c in chunks if getattr(c, "usage", None)]
        self.assertEqual(counted[-1].prompt_tokens, 3)

    def test_asynchronous_calls_and_streams(self):
        async def both():
            plain = await litellm.acompletion(**self.options("echo"), messages=say("plain"))
            text = ""
            async for chunk in await litellm.acompletion(**self.options("letters"), messages=say("stream"), stream=True):
                text += chunk.choices[0].delta.content or ""
            return plain.choices[0].message.content, text

        self.assertEqual(asyncio.run(both()), ("plain", "stream"))

    def test_tools(self):
        tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
        answer = litellm.completion(**self.options("tools"), messages=say("rain?"), tools=[tool])
        (call,) = answer.choices[0].message.tool_calls
        self.assertEqual(json.loads(call.function.arguments)["city"], "Pune")

    def test_embeddings(self):
        answer = litellm.embedding(**self.options("echo"), input=["abc"])
        self.assertEqual(answer.data[0]["embedding"], [3.0, 0.5, -1.25])

    def test_errors_have_the_classes_that_applications_catch(self):
        # The SDK reads the type before the status: a 404 of type invalid_request_error, which is what a LiteLLM proxy
        # sends too, becomes BadRequestError.
        expected = {"status-401": litellm.AuthenticationError, "status-429": litellm.RateLimitError,
                    "status-404": litellm.BadRequestError, "status-500": litellm.InternalServerError,
                    "status-503": litellm.ServiceUnavailableError, "nothing": litellm.BadRequestError}
        for model, kind in expected.items():
            with self.subTest(model=model), self.assertRaises(kind):
                litellm.completion(**self.options(model), messages=say("x"))
        with self.assertRaises(litellm.BadRequestError):
            litellm.completion(**self.options("echo"), messages=say(f"the {BLOCKED_WORD} file"))
        with self.assertRaises(litellm.ContextWindowExceededError):
            litellm.completion(**self.options("status-400"), messages=say("too long"))
        with self.assertRaises(litellm.AuthenticationError):
            litellm.completion(**{**self.options("echo"), "api_key": "sk-wrong"}, messages=say("x"))
