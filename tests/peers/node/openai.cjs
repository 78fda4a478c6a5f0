// The OpenAI SDK for Node, unchanged, against the gateway: one case for each run, named by the first argument.
// It prints what the caller compares as JSON; a failed assertion ends it with an exit code above 0.
"use strict";
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const load = createRequire(process.env.SEALGATE_NODE + "/");
const { OpenAI } = load("openai");

const BASE = process.env.GATEWAY_URL;
const client = new OpenAI({ baseURL: BASE + "/v1", apiKey: process.env.GATEWAY_KEY, maxRetries: 0, timeout: 20000 });
const say = (text) => [{ role: "system", content: "be brief" }, { role: "user", content: text }];
const parameters = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } }, required: ["city", "days"] };
const weather = { type: "function", function: { name: "weather", description: "weather of a city", parameters } };
const tool = { type: "function", name: "weather", description: "weather of a city", parameters, strict: false };

const cases = {
  async plain() {
    const { data, response } = await client.chat.completions.create({ model: "echo", messages: say('grüße 😀 "quoted"') }).withResponse();
    assert.equal(data.choices[0].message.content, 'grüße 😀 "quoted"');
    assert.deepEqual([data.model, data.choices[0].finish_reason, data.usage.prompt_tokens], ["echo", "stop", 3]);
    return { record: response.headers.get("x-sealgate-capsule") };
  },
  async stream() {
    const stream = client.chat.completions.stream({ model: "letters", messages: say("one two three"), stream_options: { include_usage: true } });
    let text = "";
    stream.on("content", (piece) => { text += piece; });
    const final = await stream.finalChatCompletion();
    assert.equal(text, "one two three");
    assert.equal(final.choices[0].message.content, text);
    assert.equal(final.usage.completion_tokens, 3);
  },
  async tools() {
    for (const model of ["tools", "claude-tools"]) {
      const whole = await client.chat.completions.create({ model, messages: say("rain?"), tools: [weather] });
      const [call] = whole.choices[0].message.tool_calls;
      assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["weather", { city: "Pune", days: 2 }]);
      const streamed = await client.chat.completions.stream({ model, messages: say("rain?"), tools: [weather] }).finalChatCompletion();
      assert.equal(streamed.choices[0].finish_reason, "tool_calls");
      assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: "Pune", days: 2 });
      const follow = [...say("rain?"), whole.choices[0].message, { role: "tool", tool_call_id: call.id, content: "yes" }, { role: "user", content: "thanks" }];
      const last = await client.chat.completions.create({ model: model === "tools" ? "echo" : "claude-echo", messages: follow });
      assert.equal(last.choices[0].message.content, "thanks");
    }
  },
  async responses() {
    for (const model of ["echo", "text-echo", "claude-echo"]) {
      const answer = await client.responses.create({ model, instructions: "be brief", input: "hello there" });
      assert.deepEqual([answer.output_text, answer.status, answer.model], ["hello there", "completed", model]);
    }
    for (const model of ["tools", "text-tools", "claude-tools"]) {
      const answer = await client.responses.create({ model, input: "rain?", tools: [tool] });
      const call = answer.output.find((item) => item.type === "function_call");
      assert.deepEqual([call.name, JSON.parse(call.arguments)], ["weather", { city: "Pune", days: 2 }], model);
      const input = [{ role: "user", content: "rain?" }, call, { type: "function_call_output", call_id: call.call_id, output: "yes" }, { role: "user", content: "thanks" }];
      const last = await client.responses.create({ model: model.replace("tools", "echo"), input });
      assert.equal(last.output_text, "thanks", model);
    }
  },
  // The SDK's own accumulator fails on any event out of order; the order itself is compared too.
  async events() {
    const orders = {};
    for (const model of ["echo", "text-echo", "claude-echo"]) {
      const kinds = [];
      const stream = client.responses.stream({ model, input: "word" });
      stream.on("event", (event) => { kinds.push(event); });
      const final = await stream.finalResponse();
      assert.equal(final.output_text, "word");
      assert.deepEqual(kinds.map((event) => event.sequence_number), [...kinds.keys()], model);
      orders[model] = kinds.map((event) => event.type);
    }
    return orders;
  },
  async stored() {
    const made = await client.responses.create({ model: "echo", input: "keep it", store: true });
    const again = await client.responses.retrieve(made.id);
    assert.deepEqual([again.id, again.output_text], [made.id, "keep it"]);
    const next = await client.responses.create({ model: "echo", input: "go on", previous_response_id: made.id });
    assert.equal(next.output_text, "go on");
    await client.responses.delete(made.id);
    await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError);
    await assert.rejects(client.responses.create({ model: "echo", input: "x", previous_response_id: "resp_invented" }), OpenAI.BadRequestError);
  },
  async others() {
    const vectors = await client.embeddings.create({ model: "echo", input: ["a", "bcd"] });
    assert.deepEqual(vectors.data.map((item) => item.embedding[0]), [1, 3]);
    const judged = await client.moderations.create({ model: "echo", input: "fine words" });
    assert.equal(judged.results[0].flagged, false);
    const old = await client.completions.create({ model: "echo", prompt: "finish this" });
    assert.equal(old.choices[0].text, "finish this");
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes("echo") && names.includes("claude-echo"));
  },
  async errors() {
    const rejects = (model, kind, options = {}) => assert.rejects(client.chat.completions.create({ model, messages: say("x"), ...options }), kind);
    await rejects("status-400", OpenAI.BadRequestError);
    await rejects("status-401", OpenAI.AuthenticationError);
    await rejects("status-404", OpenAI.NotFoundError);
    await rejects("status-429", OpenAI.RateLimitError);
    await rejects("status-503", OpenAI.InternalServerError);
    await rejects("claude-status-529", OpenAI.InternalServerError);
    await rejects("nothing", OpenAI.BadRequestError);
    await rejects("status-429", OpenAI.RateLimitError, { stream: true });
    await assert.rejects(client.responses.create({ model: "status-429", input: "x" }), OpenAI.RateLimitError);
    const stranger = client.withOptions({ apiKey: "sk-wrong" });
    await assert.rejects(stranger.chat.completions.create({ model: "echo", messages: say("x") }), OpenAI.AuthenticationError);
    const cut = await client.chat.completions.create({ model: "cut", messages: say("abcdefghijkl"), stream: true });
    await assert.rejects(async () => { for await (const _ of cut); }, OpenAI.APIError);
  },
  async words() {
    const masked = await client.chat.completions.create({ model: "echo", messages: say(`call ${process.env.MASKED_WORD} today`) });
    const streamed = await client.responses.stream({ model: "text-echo", input: `call ${process.env.MASKED_WORD} today` }).finalResponse();
    const blocked = `about ${process.env.BLOCKED_WORD}`;
    await assert.rejects(client.chat.completions.create({ model: "echo", messages: say(blocked) }), OpenAI.BadRequestError);
    await assert.rejects(client.responses.create({ model: "echo", input: blocked }), OpenAI.BadRequestError);
    return [masked.choices[0].message.content, streamed.output_text];
  },
  async leave() {
    const stream = await client.chat.completions.create({ model: "endless", messages: say("abcdefgh"), stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  },
};

cases[process.argv[2]]().then((facts) => { console.log(JSON.stringify(facts ?? null)); });
