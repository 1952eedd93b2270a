// The npm package `@langchain/openai`.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { Site, callWeather, until, weather, wrongKey } from './site.mjs';

const limit = { timeout: 60_000 };
const modelOf = (site, tenant, more = {}) =>
  new ChatOpenAI({
    model: 'default',
    apiKey: site.keys[tenant],
    configuration: { baseURL: site.url },
    maxRetries: 0,
    ...more,
  });

// All pieces of a stream as one message.
async function collect(stream) {
  let whole = null;
  for await (const piece of stream) whole = whole === null ? piece : whole.concat(piece);
  return whole;
}

async function toolLoop(model, question) {
  const able = model.bindTools([{ type: 'function', function: weather }]);
  const messages = [new HumanMessage(question)];
  const first = await able.invoke(messages);
  assert.equal(first.tool_calls.length, 1);
  assert.equal(first.tool_calls[0].name, 'weather');
  assert.deepEqual(first.tool_calls[0].args, { city: 'Rome' });
  messages.push(first, new ToolMessage({ content: 'sunny', tool_call_id: first.tool_calls[0].id }));
  return (await able.invoke(messages)).content;
}

describe('@langchain/openai and the builtin model', () => {
  let site;
  before(async () => {
    site = await Site.start();
  }, limit);
  after(() => site?.stop());

  test('plain', limit, async () => {
    const message = await modelOf(site, 'acme').invoke('Hello');
    assert.match(message.content, /^\[Acme\] Received: Hello\n/);
    assert.ok(message.usage_metadata.output_tokens > 0);
  });

  test('stream, include_usage', limit, async () => {
    const message = await collect(await modelOf(site, 'acme', { streamUsage: true }).stream('Stream'));
    assert.match(message.content, /^\[Acme\] Received: Stream\n/);
    assert.ok(message.usage_metadata.output_tokens > 0);
  });

  test('tool loop', limit, async () => {
    assert.match(await toolLoop(modelOf(site, 'acme'), callWeather), /sunny/);
  });

  test('401', limit, async () => {
    await assert.rejects(modelOf(site, 'acme', { apiKey: wrongKey }).invoke('x'), (error) => error.status === 401);
  });

  test('429 with its retry', limit, async () => {
    let refusal = null;
    await until('a refusal', async () => {
      refusal = await modelOf(site, 'narrow').invoke('x').then(() => null, (error) => error);
      return refusal !== null;
    });
    assert.equal(refusal.status, 429);
    const denied = (await site.stats('narrow')).denied;
    const answers = await Promise.all([1, 2].map(() => modelOf(site, 'narrow', { maxRetries: 6 }).invoke('x')));
    assert.equal(answers.length, 2);
    assert.ok((await site.stats('narrow')).denied > denied);
  });
});

describe('@langchain/openai and a model behind a server', () => {
  let site;
  before(async () => {
    site = await Site.start({ upstream: true });
  }, limit);
  after(() => site?.stop());

  test('plain and stream', limit, async () => {
    const model = modelOf(site, 'proxied', { streamUsage: true });
    assert.equal((await model.invoke('Grüße')).content, 'echo: Grüße');
    const message = await collect(await model.stream('Grüße 😀'));
    assert.equal(message.content, 'echo: Grüße 😀');
    assert.equal(message.usage_metadata.output_tokens, 7);
  });

  test('tool loop', limit, async () => {
    assert.equal(await toolLoop(modelOf(site, 'proxied'), 'weather'), 'It is sunny.');
  });

  test('abort in mid-stream', limit, async () => {
    const stop = new AbortController();
    const aborted = site.upstream.aborted;
    const stream = await modelOf(site, 'proxied').stream('slow', { signal: stop.signal });
    let text = '';
    await (async () => {
      for await (const piece of stream) {
        text += piece.content;
        if (text.includes('tick tick')) stop.abort();
      }
    })().catch((error) => assert.match(`${error.name} ${error.message}`, /abort/i));
    assert.match(text, /tick tick/);
    await until('the server to see it', () => site.upstream.aborted === aborted + 1);
    await until('its place to be free', async () => (await site.stats('proxied')).in_flight === 0);
  });
});
