// The Anthropic SDK for Node, unchanged, against the gateway: one case for each run, named by the first argument.
// It prints what the caller compares as JSON; a failed assertion ends it with an exit code above 0.
"use strict";
const assert = require("node:assert/strict");
const { createRequire } = require("node:module");
const load = createRequire(process.env.SEALGATE_NODE + "/");
const { Anthropic } = load("@anthropic-ai/sdk");

const options = { baseURL: process.env.GATEWAY_URL, maxRetries: 0, timeout: 20000 };
const client = new Anthropic({ ...options, apiKey: process.env.GATEWAY_KEY });
const system = [{ type: "text", text: "be brief", cache_control: { type: "ephemeral" } }];
const say = (model, text) => ({ model, max_tokens: 64, system, messages: [{ role: "user", content: text }] });
const schema = { type: "object", properties: { city: { type: "string" }, days: { type: "integer" } } };
const tools = [{ name: "weather", description: "weather of a city", input_schema: schema }];

const cases = {
  async plain() {
    const records = [];
    for (const model of ["claude-echo", "echo"]) {
      const { data, response } = await client.messages.create(say(model, 'grüße 😀 "quoted"')).withResponse();
      assert.deepEqual([data.content[0].text, data.stop_reason, data.model], ['grüße 😀 "quoted"', "end_turn", model]);
      records.push(response.headers.get("x-sealgate-capsule"));
    }
    return records;
  },
  async bearer() {
    const other = new Anthropic({ ...options, apiKey: null, authToken: process.env.GATEWAY_KEY });
    const answer = await other.messages.create(say("claude-echo", "bearer"));
    assert.equal(answer.content[0].text, "bearer");
  },
  async stream() {
    const orders = {};
    for (const model of ["claude-echo", "echo"]) {
      const kinds = [];
      const stream = client.messages.stream(say(model, "one two three"));
      stream.on("streamEvent", (event) => { if (kinds.at(-1) !== event.type) kinds.push(event.type); });
      const final = await stream.finalMessage();
      assert.deepEqual([final.content[0].text, final.stop_reason, final.usage.output_tokens], ["one two three", "end_turn", 3]);
      orders[model] = kinds.filter((kind) => kind !== "ping");
    }
    return orders;
  },
  async tools() {
    for (const model of ["claude-tools", "tools"]) {
      const answer = await client.messages.create({ ...say(model, "weather?"), tools, tool_choice: { type: "any" } });
      const call = answer.content.at(-1);
      assert.deepEqual([answer.stop_reason, call.name, call.input], ["tool_use", "weather", { city: "Pune", days: 2 }]);
      const final = await client.messages.stream({ ...say(model, "weather?"), tools }).finalMessage();
      assert.deepEqual(final.content.at(-1).input, { city: "Pune", days: 2 });
      const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }, { type: "text", text: "thanks" }] };
      const messages = [{ role: "user", content: "weather?" }, { role: "assistant", content: answer.content }, result];
      const last = await client.messages.create({ model: model.replace("tools", "echo"), max_tokens: 9, tools, messages });
      assert.equal(last.content[0].text, "thanks");
    }
  },
  async thinking() {
    const request = { ...say("claude-thinking", "x"), max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 1024 } };
    const answer = await client.messages.create(request);
    const final = await client.messages.stream(request).finalMessage();
    assert.deepEqual(final.content[0], answer.content[0]);
    const messages = [{ role: "user", content: "x" }, { role: "assistant", content: answer.content }, { role: "user", content: "y" }];
    await client.messages.create({ model: "claude-echo", max_tokens: 9, messages });
    return answer.content[0];
  },
  async others() {
    const { max_tokens: _, ...body } = say("claude-echo", "count this");
    assert.equal((await client.messages.countTokens(body)).input_tokens, 17);
    assert.ok((await client.messages.countTokens({ ...body, model: "echo" })).input_tokens > 0);
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes("claude-echo") && names.includes("echo"));
  },
  async errors() {
    await assert.rejects(client.messages.create(say("claude-status-429", "x")), Anthropic.RateLimitError);
    await assert.rejects(client.messages.create(say("claude-status-400", "x")), Anthropic.BadRequestError);
    await assert.rejects(client.messages.create(say("status-429", "x")), Anthropic.RateLimitError);
    await assert.rejects(client.messages.create(say("nothing", "x")), (error) => error.error.type === "error");
    await assert.rejects(client.withOptions({ apiKey: "sk-wrong" }).messages.create(say("claude-echo", "x")), Anthropic.AuthenticationError);
    for (const model of ["claude-overloaded", "claude-cut", "cut"]) {
      await assert.rejects(client.messages.stream(say(model, "one two three")).finalMessage(), Anthropic.APIError);
    }
  },
  async words() {
    const texts = [];
    for (const model of ["claude-echo", "echo"]) {
      const masked = say(model, `call ${process.env.MASKED_WORD} today`);
      texts.push((await client.messages.create(masked)).content[0].text);
      texts.push((await client.messages.stream(masked).finalMessage()).content[0].text);
      await assert.rejects(client.messages.create(say(model, `about ${process.env.BLOCKED_WORD}`)), Anthropic.APIError);
    }
    return texts;
  },
};

cases[process.argv[2]]().then((facts) => { console.log(JSON.stringify(facts ?? null)); });
