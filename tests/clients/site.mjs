// mtagent at work in a folder of its own, and what the tests of all clients share.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Upstream } from './upstream.mjs';

// Asks `holds` again and again, for 20 s at most.
export async function until(what, holds) {
  const end = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited too long for: ${what}`);
    await new Promise((resume) => setTimeout(resume, 10));
  }
}

export const weather = {
  name: 'weather',
  description: 'The weather in a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
// The builtin model calls a tool of the client when it is told to.
export const callWeather = 'call weather {"city":"Rome"}';

const common = `
[[tenants]]
id = "acme"
name = "Acme"
plan = "enterprise"
[[tenants]]
id = "narrow"
plan = "enterprise"
rate_limit = 120
burst = 1
cache_size = 0
`;

const behind = (upstream) => `
[models.scripted]
provider = "openai"
base_url = "${upstream.url}"
api_key_env = "SCRIPTED_KEY"
model = "up"
[[tenants]]
id = "proxied"
plan = "enterprise"
model = "scripted"
cache_size = 0
`;

export class Site {
  // With `upstream` there is a tenant "proxied" too, whose model is a scripted server.
  static async start({ upstream = false } = {}) {
    const site = new Site();
    try {
      await site.#start(upstream);
      return site;
    } catch (error) {
      await site.stop(); // what stays open would keep node alive
      throw error;
    }
  }

  async #start(upstream) {
    this.upstream = upstream ? await Upstream.start() : null;
    this.folder = mkdtempSync(join(tmpdir(), 'mtagent-clients-'));
    writeFileSync(join(this.folder, 'tenants.toml'), common + (upstream ? behind(this.upstream) : ''));
    this.environment = { PATH: process.env.PATH, HOME: this.folder, SCRIPTED_KEY: 'upstream-secret' };
    const portFile = join(this.folder, 'port');
    this.process = spawn(process.env.MTAGENT, ['serve', '--listen', '127.0.0.1:0', '--port-file', portFile], {
      cwd: this.folder,
      env: this.environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.said = '';
    this.process.stderr.on('data', (piece) => (this.said += piece));
    await until('mtagent to listen', () => {
      if (this.process.exitCode !== null) throw new Error(`mtagent ended at once: ${this.said}`);
      return existsSync(portFile) && readFileSync(portFile, 'utf8').trim() !== '';
    });
    this.root = `http://127.0.0.1:${readFileSync(portFile, 'utf8').trim()}`;
    this.url = `${this.root}/v1`;
    const tenants = upstream ? ['acme', 'narrow', 'proxied'] : ['acme', 'narrow'];
    this.keys = Object.fromEntries(tenants.map((tenant) => [tenant, this.newKey(tenant)]));
    for (const tenant of tenants) {
      await until(`the key of ${tenant}`, async () => (await this.models(tenant)).status === 200);
    }
  }

  newKey(tenant) {
    const words = ['key', 'create', tenant];
    const options = { cwd: this.folder, env: this.environment, stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync(process.env.MTAGENT, words, options).toString().trim();
  }

  models(tenant) {
    return fetch(`${this.url}/models`, { headers: { Authorization: `Bearer ${this.keys[tenant]}` } });
  }

  async stats(tenant) {
    return (await (await fetch(`${this.root}/stats`)).json())[tenant];
  }

  async stop() {
    if (this.process && this.process.exitCode === null) {
      const ended = new Promise((resume) => this.process.once('exit', resume));
      this.process.kill('SIGTERM');
      await ended;
    }
    await this.upstream?.stop();
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }
}

export const wrongKey = `mta_aaaaaaaaaaaa_${'0'.repeat(64)}`;
