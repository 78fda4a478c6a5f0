"""The OpenAI and Anthropic SDKs for Node, unchanged: whole answers, streams, tools, stored responses, errors, words."""

from gateway import MASK, GatewayCase
from messages_upstream import SIGNATURE
from node_peers import NodeCase

MESSAGE = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
           "response.output_text.delta", "response.output_text.done", "response.content_part.done",
           "response.output_item.done", "response.completed"]
EVENTS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]


class OpenAiNode(NodeCase, GatewayCase):
    settings = {"opaque_parts": "pass"}
    script = "openai.cjs"

    def test_a_plain_call(self):
        record = self.gateway.record(self.node("plain")["record"].removeprefix("capsule://"))
        self.assertEqual((record["type"], record["outcome"]["status"]), ("chat", "success"))

    def test_a_stream(self):
        self.node("stream")

    def test_tools(self):
        self.node("tools")

    def test_responses_of_every_format(self):
        self.node("responses")

    def test_events_of_a_response_in_strict_order(self):
        orders = self.node("events")
        self.assertEqual(orders, {model: MESSAGE for model in ("echo", "text-echo", "claude-echo")})

    def test_stored_responses(self):
        self.node("stored")

    def test_the_other_routes(self):
        self.node("others")

    def test_errors(self):
        self.node("errors")

    def test_words(self):
        mark = self.upstream.mark()
        self.assertEqual(self.node("words"), [f"call {MASK} today"] * 2)
        self.assertEqual(len(self.upstream.since(mark)), 2, "a blocked word reaches nobody")

    def test_a_client_that_leaves(self):
        mark = self.upstream.mark()
        self.node("leave")
        (request,) = self.upstream.since(mark)
        self.assertTrue(request.gone.wait(5), "the provider's stream goes on")


class AnthropicNode(NodeCase, GatewayCase):
    settings = {"opaque_parts": "pass"}
    script = "anthropic.cjs"

    def test_a_plain_call(self):
        for uri in self.node("plain"):
            self.assertEqual(self.gateway.record(uri.removeprefix("capsule://"))["outcome"]["status"], "success")

    def test_a_token_in_place_of_a_key(self):
        self.node("bearer")

    def test_a_stream(self):
        self.assertEqual(self.node("stream"), {"claude-echo": EVENTS, "echo": EVENTS})

    def test_tools(self):
        self.node("tools")

    def test_thinking_goes_back_signed(self):
        block = self.node("thinking")
        self.assertEqual(block, {"type": "thinking", "thinking": "let me see", "signature": SIGNATURE})
        self.assertEqual(self.upstream.since(0)[-1].body["messages"][1]["content"][0], block)

    def test_tokens_and_models(self):
        self.node("others")

    def test_errors(self):
        self.node("errors")

    def test_words(self):
        mark = self.upstream.mark()
        self.assertEqual(self.node("words"), [f"call {MASK} today"] * 4)
        self.assertEqual(len(self.upstream.since(mark)), 4, "a blocked word reaches nobody")
