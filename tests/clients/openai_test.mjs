// The npm package `openai`.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { Site, callWeather, until, weather, wrongKey } from './site.mjs';

const limit = { timeout: 60_000 };
const user = (content) => [{ role: 'user', content }];
const tools = [{ type: 'function', function: weather }];
const clientOf = (site, tenant, more = {}) =>
  new OpenAI({ baseURL: site.url, apiKey: site.keys[tenant], maxRetries: 0, ...more });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

// Asks, runs what is called, and asks again.
async function toolLoop(client, model, question) {
  const messages = user(question);
  const first = await client.chat.completions.create({ model, messages, tools });
  assert.equal(first.choices[0].finish_reason, 'tool_calls');
  const [call] = first.choices[0].message.tool_calls;
  assert.equal(call.function.name, 'weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Rome' });
  messages.push(first.choices[0].message, { role: 'tool', tool_call_id: call.id, content: 'sunny' });
  const second = await client.chat.completions.create({ model, messages, tools });
  assert.equal(second.choices[0].finish_reason, 'stop');
  return second.choices[0].message.content;
}

describe('openai and the builtin model', () => {
  let site;
  let client;
  before(async () => {
    site = await Site.start();
    client = clientOf(site, 'acme');
  }, limit);
  after(() => site?.stop());

  test('plain', limit, async () => {
    const { data, response } = await client.chat.completions
      .create({ model: 'default', messages: user('Hello') })
      .withResponse();
    assert.match(data.choices[0].message.content, /^\[Acme\] Received: Hello\n/);
    assert.equal(data.choices[0].message.refusal, null);
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.object, 'chat.completion');
    assert.equal(data.model, 'builtin');
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.equal(data._request_id, response.headers.get('x-request-id'));
  });

  test('parts, developer, max_completion_tokens', limit, async () => {
    const completion = await client.chat.completions.create({
      model: 'builtin',
      max_completion_tokens: 2,
      messages: [
        { role: 'developer', content: 'Be kind.' },
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      ],
    });
    assert.equal(completion.choices[0].finish_reason, 'length');
    assert.equal(completion.choices[0].message.content, '[Acme] R');
  });

  test('stream', limit, async () => {
    const chunks = await collect(
      await client.chat.completions.create({ model: 'builtin', messages: user('Stream'), stream: true }),
    );
    assert.match(textOf(chunks), /^\[Acme\] Received: Stream\n/);
    assert.deepEqual(chunks[0].choices[0].delta, { role: 'assistant', content: '' });
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
    assert.equal(new Set(chunks.map((chunk) => `${chunk.id} ${chunk.created} ${chunk.model}`)).size, 1);
    assert.ok(chunks.every((chunk) => chunk.usage === undefined));
  });

  test('include_usage', limit, async () => {
    const chunks = await collect(
      await client.chat.completions.create({
        model: 'builtin',
        messages: user('Usage'),
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  });

  test('the same answer from the cache, as a stream', limit, async () => {
    const ask = (stream) => client.chat.completions.create({ model: 'builtin', messages: user('Twice'), stream });
    const whole = await ask(false);
    const { data, response } = await ask(true).withResponse();
    assert.equal(response.headers.get('x-cache'), 'HIT');
    assert.equal(textOf(await collect(data)), whole.choices[0].message.content);
  });

  test('tool loop', limit, async () => {
    assert.match(await toolLoop(client, 'builtin', callWeather), /sunny/);
  });

  test('tool loop by its own runner, streamed', limit, async () => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: 'builtin',
      stream: true,
      messages: user(callWeather),
      tools: [
        {
          type: 'function',
          function: { ...weather, parse: JSON.parse, function: ({ city }) => (asked.push(city), 'rainy') },
        },
      ],
    });
    assert.match(await runner.finalContent(), /rainy/);
    assert.deepEqual(asked, ['Rome']);
  });

  test('what the model cannot do names its field', limit, async () => {
    const ask = client.chat.completions.create({ model: 'builtin', messages: user('x'), n: 2 });
    await assert.rejects(ask, (error) => error instanceof OpenAI.BadRequestError && error.param === 'n');
  });

  test('401', limit, async () => {
    const stranger = clientOf(site, 'acme', { apiKey: wrongKey });
    for (const attempt of [
      () => stranger.models.list(),
      () => stranger.chat.completions.create({ model: 'builtin', messages: user('x') }),
      () => stranger.chat.completions.create({ model: 'builtin', messages: user('x'), stream: true }),
    ]) {
      await assert.rejects(
        attempt,
        (error) => error instanceof OpenAI.AuthenticationError && error.code === 'invalid_api_key',
      );
    }
  });

  test('404', limit, async () => {
    await assert.rejects(
      client.chat.completions.create({ model: 'gpt-9', messages: user('x') }),
      (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found' && error.param === 'model',
    );
    await assert.rejects(
      client.embeddings.create({ model: 'builtin', input: 'x' }),
      (error) => error instanceof OpenAI.NotFoundError && error.type === 'invalid_request_error',
    );
  });

  test('429 with its retry', limit, async () => {
    const ask = (client) => client.chat.completions.create({ model: 'builtin', messages: user('x') });
    const impatient = clientOf(site, 'narrow');
    let refusal = null;
    await until('a refusal', async () => {
      refusal = await ask(impatient).then(() => null, (error) => error);
      return refusal !== null;
    });
    assert.ok(refusal instanceof OpenAI.RateLimitError);
    assert.equal(refusal.code, 'rate_limit_exceeded');
    assert.ok(Number(refusal.headers.get('retry-after-ms')) <= 500);
    assert.equal(refusal.headers.get('x-ratelimit-limit-requests'), '1');
    const denied = (await site.stats('narrow')).denied;
    const answers = await Promise.all([1, 2, 3].map(() => ask(clientOf(site, 'narrow', { maxRetries: 10 }))));
    assert.equal(answers.length, 3);
    assert.ok((await site.stats('narrow')).denied > denied);
  });

  test('models', limit, async () => {
    const ids = (await client.models.list()).data.map((model) => model.id);
    assert.deepEqual(ids, ['default', 'builtin']);
    for (const id of ids) assert.equal((await client.models.retrieve(id)).id, id);
    await assert.rejects(client.models.retrieve('org/none'), OpenAI.NotFoundError);
  });

  test('under the tenant\'s own path', limit, async () => {
    const own = clientOf(site, 'acme', { baseURL: `${site.root}/acme/v1` });
    const completion = await own.chat.completions.create({ model: 'default', messages: user('Hi') });
    assert.match(completion.choices[0].message.content, /Received: Hi/);
  });
});

describe('openai and a model behind a server', () => {
  let site;
  let client;
  before(async () => {
    site = await Site.start({ upstream: true });
    client = clientOf(site, 'proxied');
  }, limit);
  after(() => site?.stop());

  test('plain, with the usage that the server counted', limit, async () => {
    const completion = await client.chat.completions.create({ model: 'default', messages: user('Grüße') });
    assert.equal(completion.choices[0].message.content, 'echo: Grüße');
    assert.deepEqual(completion.usage, { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 });
    const sent = site.upstream.requests.at(-1);
    assert.equal(sent.path, '/v1/chat/completions');
    assert.equal(sent.authorization, 'Bearer upstream-secret');
    assert.equal(sent.body.model, 'up');
  });

  test('stream, include_usage', limit, async () => {
    const chunks = await collect(
      await client.chat.completions.create({
        model: 'default',
        messages: user('Grüße 😀'),
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    assert.equal(textOf(chunks), 'echo: Grüße 😀');
    assert.deepEqual(chunks.at(-1).usage, { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 });
  });

  test('tool loop, and fields that only the server knows', limit, async () => {
    assert.equal(await toolLoop(client, 'default', 'weather'), 'It is sunny.');
    await client.chat.completions.create({ model: 'default', messages: user('x'), top_k: 5 });
    assert.equal(site.upstream.requests.at(-1).body.top_k, 5);
  });

  test('abort in mid-stream', limit, async () => {
    const errors = (await site.stats('proxied')).errors;
    const aborted = site.upstream.aborted;
    const stream = await client.chat.completions.create({ model: 'default', messages: user('slow'), stream: true });
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? '';
      if (text.includes('tick tick')) stream.controller.abort();
    }
    await until('the server to see it', () => site.upstream.aborted === aborted + 1);
    await until('the call to be counted', async () => (await site.stats('proxied')).errors === errors + 1);
    assert.equal((await site.stats('proxied')).in_flight, 0);
  });

  test('an error in mid-stream is an exception', limit, async () => {
    const stream = await client.chat.completions.create({ model: 'default', messages: user('cut'), stream: true });
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of stream) {
        text += chunk.choices[0].delta.content ?? '';
        if (text === 'echo: cut') site.upstream.cut();
      }
    }, OpenAI.APIError);
    assert.equal(text, 'echo: cut');
  });
});
