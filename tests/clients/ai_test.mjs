// The npm packages `ai` and `@ai-sdk/openai-compatible`.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';
import { Site, callWeather, until, weather, wrongKey } from './site.mjs';

const limit = { timeout: 60_000 };
const modelOf = (site, tenant, id = 'default', apiKey = site.keys[tenant]) =>
  createOpenAICompatible({ name: 'mtagent', baseURL: site.url, apiKey, includeUsage: true })(id);

const weatherTool = (asked) =>
  tool({
    description: weather.description,
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => (asked.push(city), 'sunny'),
  });

async function collect(stream) {
  let text = '';
  for await (const piece of stream) text += piece;
  return text;
}

describe('ai and the builtin model', () => {
  let site;
  before(async () => {
    site = await Site.start();
  }, limit);
  after(() => site?.stop());

  test('plain', limit, async () => {
    const { text, finishReason, usage } = await generateText({ model: modelOf(site, 'acme'), prompt: 'Hello' });
    assert.match(text, /^\[Acme\] Received: Hello\n/);
    assert.equal(finishReason, 'stop');
    assert.ok(usage.outputTokens > 0);
  });

  test('stream, include_usage', limit, async () => {
    const result = streamText({ model: modelOf(site, 'acme'), system: 'Be kind.', prompt: 'Stream' });
    assert.match(await collect(result.textStream), /^\[Acme\] Received: Stream\n/);
    assert.equal(await result.finishReason, 'stop');
    assert.ok((await result.usage).outputTokens > 0);
  });

  test('tool loop', limit, async () => {
    const asked = [];
    const { text, steps } = await generateText({
      model: modelOf(site, 'acme'),
      prompt: callWeather,
      tools: { weather: weatherTool(asked) },
      stopWhen: isStepCount(3),
    });
    assert.deepEqual(asked, ['Rome']);
    assert.equal(steps.length, 2);
    assert.match(text, /sunny/);
  });

  test('tool loop, streamed', limit, async () => {
    const asked = [];
    const result = streamText({
      model: modelOf(site, 'acme'),
      prompt: callWeather,
      tools: { weather: weatherTool(asked) },
      stopWhen: isStepCount(3),
    });
    assert.match(await collect(result.textStream), /sunny/);
    assert.deepEqual(asked, ['Rome']);
  });

  test('401', limit, async () => {
    await assert.rejects(
      generateText({ model: modelOf(site, 'acme', 'default', wrongKey), prompt: 'x' }),
      (error) => APICallError.isInstance(error) && error.statusCode === 401 && /Incorrect API key/.test(error.message),
    );
  });

  test('429 with its retry', limit, async () => {
    const ask = (maxRetries) => generateText({ model: modelOf(site, 'narrow'), prompt: 'x', maxRetries });
    let refusal = null;
    await until('a refusal', async () => {
      refusal = await ask(0).then(() => null, (error) => error);
      return refusal !== null;
    });
    assert.equal(refusal.statusCode, 429);
    const denied = (await site.stats('narrow')).denied;
    const answers = await Promise.all([ask(10), ask(10)]);
    assert.equal(answers.length, 2);
    assert.ok((await site.stats('narrow')).denied > denied);
  });
});

describe('ai and a model behind a server', () => {
  let site;
  before(async () => {
    site = await Site.start({ upstream: true });
  }, limit);
  after(() => site?.stop());

  test('plain and stream', limit, async () => {
    const model = modelOf(site, 'proxied');
    const { text, usage } = await generateText({ model, prompt: 'Grüße' });
    assert.equal(text, 'echo: Grüße');
    assert.equal(usage.inputTokens, 11);
    const result = streamText({ model, prompt: 'Grüße 😀' });
    assert.equal(await collect(result.textStream), 'echo: Grüße 😀');
    assert.equal((await result.usage).outputTokens, 7);
  });

  test('tool loop, streamed', limit, async () => {
    const asked = [];
    const result = streamText({
      model: modelOf(site, 'proxied'),
      prompt: 'weather',
      tools: { weather: weatherTool(asked) },
      stopWhen: isStepCount(3),
    });
    assert.match(await collect(result.textStream), /It is .*sunny/);
    assert.deepEqual(asked, ['Rome']);
  });

  test('abort in mid-stream', limit, async () => {
    const stop = new AbortController();
    const aborted = site.upstream.aborted;
    const result = streamText({ model: modelOf(site, 'proxied'), prompt: 'slow', abortSignal: stop.signal });
    let text = '';
    await (async () => {
      for await (const piece of result.textStream) {
        text += piece;
        if (text.includes('tick tick')) stop.abort();
      }
    })().catch((error) => assert.equal(error.name, 'AbortError'));
    assert.match(text, /tick tick/);
    await until('the server to see it', () => site.upstream.aborted === aborted + 1);
    await until('its place to be free', async () => (await site.stats('proxied')).in_flight === 0);
  });
});
