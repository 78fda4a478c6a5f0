"""LangChain over the gateway: its OpenAI and its Anthropic model, each over a provider of either format."""

import asyncio
import os

os.environ["LANGSMITH_TRACING"] = "false"

import anthropic  # noqa: E402
import openai  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langchain_openai import ChatOpenAI, OpenAIEmbeddings  # noqa: E402

from gateway import BLOCKED_WORD, MASK, MASKED_WORD, GatewayCase  # noqa: E402
from messages_upstream import INPUT  # noqa: E402

PAIRS = [(kind, model) for kind in ("openai", "responses", "anthropic") for model in ("echo", "claude-echo")]


@tool
def weather(city: str, days: int) -> str:
    """Weather of a city."""
    return f"sunny in {city} for {days} days"


def say(text):
    return [SystemMessage("be brief"), HumanMessage(text)]


class LangChain(GatewayCase):
    settings = {"opaque_parts": "pass"}

    def model(self, kind, name):
        if kind == "anthropic":
            return ChatAnthropic(model=name, base_url=self.gateway.url, api_key=self.gateway.key, max_retries=0, timeout=20,
                                 max_tokens=64)
        return ChatOpenAI(model=name, base_url=self.gateway.url + "/v1", api_key=self.gateway.key, max_retries=0, timeout=20,
                          use_responses_api=kind == "responses")

    def each(self, models=PAIRS):
        for kind, name in models:
            with self.subTest(kind=kind, model=name):
                yield self.model(kind, name)

    def test_calls(self):
        for model in self.each():
            answer = model.invoke(say("grüße there"))
            self.assertEqual(answer.text, "grüße there")
            self.assertEqual(answer.usage_metadata["output_tokens"], 3)

    def test_streams(self):
        for model in self.each():
            pieces = list(model.stream(say("one two three")))
            self.assertEqual("".join(piece.text for piece in pieces), "one two three")
            self.assertGreater(len(pieces), 2)

    def test_asynchronous_batches(self):
        # One loop for all: LangChain's models share their connections.
        async def batches():
            for model in self.each():
                answers = await model.abatch([say(f"call {n}") for n in range(8)])
                self.assertEqual([answer.text for answer in answers], [f"call {n}" for n in range(8)])

        asyncio.run(batches())

    def test_a_tool_is_called_and_its_result_goes_back(self):
        for kind, name in PAIRS:
            with self.subTest(kind=kind, model=name):
                asking = self.model(kind, name.replace("echo", "tools")).bind_tools([weather])
                answer = asking.invoke(say("weather?"))
                (call,) = answer.tool_calls
                self.assertEqual((call["name"], call["args"]), ("weather", INPUT))
                streamed = None
                for piece in asking.stream(say("weather?")):
                    streamed = piece if streamed is None else streamed + piece
                self.assertEqual([call["args"] for call in streamed.tool_calls], [INPUT])
                result = weather.invoke(call)
                self.assertIsInstance(result, ToolMessage)
                follow = [*say("weather?"), answer, result, HumanMessage("thanks")]
                mark = self.upstream.mark()
                self.assertEqual(self.model(kind, name).bind_tools([weather]).invoke(follow).text, "thanks")
                (request,) = self.upstream.since(mark)
                self.assertIn(b"sunny in Pune for 2 days", request.raw)

    def test_embeddings(self):
        embeddings = OpenAIEmbeddings(model="echo", base_url=self.gateway.url + "/v1", api_key=self.gateway.key,
                                      check_embedding_ctx_length=False, max_retries=0)
        self.assertEqual(embeddings.embed_documents(["a", "bcd"]), [[1.0, 0.5, -1.25], [3.0, 0.5, -1.25]])

    def test_words(self):
        mark = self.upstream.mark()
        for model in self.each():
            with self.assertRaises((openai.APIError, anthropic.APIError)):
                model.invoke(say(f"about {BLOCKED_WORD}"))
        self.assertEqual(self.upstream.since(mark), [])
        for model in self.each():
            self.assertEqual(model.invoke(say(f"call {MASKED_WORD} today")).text, f"call {MASK} today")

    def test_errors(self):
        for kind, name, error in [("openai", "status-429", openai.RateLimitError), ("openai", "claude-status-429", openai.RateLimitError),
                                  ("anthropic", "claude-status-429", anthropic.RateLimitError), ("anthropic", "status-429", anthropic.RateLimitError)]:
            with self.subTest(kind=kind, model=name), self.assertRaises(error):
                self.model(kind, name).invoke(say("x"))
