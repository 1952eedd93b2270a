// A scripted server of OpenAI's chat completions. The last message says what it does:
//   slow    streams a piece every 20 ms for as long as anybody listens
//   cut     breaks its answer off in the middle, when cut() is called
//   weather calls the client's tool `weather`, and answers with its result
// and everything else is repeated.
import { createServer } from 'node:http';

const pieces = (text) => text.match(/.{1,3}/gsu) ?? [];

function choices(delta, finish = null) {
  return [{ index: 0, delta, logprobs: null, finish_reason: finish }];
}

export class Upstream {
  requests = [];
  aborted = 0;
  cut = null;

  static async start() {
    const upstream = new Upstream();
    upstream.server = createServer((request, reply) => upstream.answer(request, reply));
    await new Promise((ready) => upstream.server.listen(0, '127.0.0.1', ready));
    upstream.url = `http://127.0.0.1:${upstream.server.address().port}/v1`;
    return upstream;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }

  async answer(request, reply) {
    let body = '';
    for await (const piece of request) body += piece;
    const wanted = JSON.parse(body);
    this.requests.push({ path: request.url, authorization: request.headers.authorization, body: wanted });
    const last = wanted.messages.at(-1);
    const script = typeof last.content === 'string' ? last.content : last.content.map((part) => part.text).join('');
    const calls = last.role === 'user' && script === 'weather';
    const text = last.role === 'tool' ? `It is ${script}.` : `echo: ${script}`;
    if (!wanted.stream) return this.whole(reply, wanted, calls, text);
    reply.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const send = (fields) =>
      reply.write(`data: ${JSON.stringify({ id: 'up-1', object: 'chat.completion.chunk', model: 'up', ...fields })}\n\n`);
    send({ choices: choices({ role: 'assistant', content: '' }) });
    if (script === 'slow') return this.slow(reply, send);
    if (calls) {
      const call = (fields) => send({ choices: choices({ tool_calls: [{ index: 0, ...fields }] }) });
      call({ id: 'call_up', type: 'function', function: { name: 'weather', arguments: '' } });
      for (const piece of pieces('{"city":"Rome"}')) call({ function: { arguments: piece } });
    } else {
      for (const piece of pieces(text)) send({ choices: choices({ content: piece }) });
    }
    if (script === 'cut') return void (this.cut = () => reply.destroy());
    send({ choices: choices({}, calls ? 'tool_calls' : 'stop') });
    send({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 } });
    reply.end('data: [DONE]\n\n');
  }

  whole(reply, wanted, calls, text) {
    const tool = { id: 'call_up', type: 'function', function: { name: 'weather', arguments: '{"city":"Rome"}' } };
    const message = calls ? { content: null, tool_calls: [tool] } : { content: text };
    reply.writeHead(200, { 'Content-Type': 'application/json' });
    reply.end(
      JSON.stringify({
        id: 'up-1',
        object: 'chat.completion',
        created: 1,
        model: wanted.model,
        choices: [
          { index: 0, message: { role: 'assistant', ...message }, finish_reason: calls ? 'tool_calls' : 'stop' },
        ],
        usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 },
      }),
    );
  }

  slow(reply, send) {
    const timer = setInterval(() => send({ choices: choices({ content: 'tick ' }) }), 20);
    reply.on('close', () => {
      clearInterval(timer);
      this.aborted += 1;
    });
  }
}
