// A server, a supervisor and a real Collector for the page to show, in a private directory and on free ports.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const WITHIN = 20_000;

function program(variable, name) {
  return process.env[variable] ?? join(root, "target/debug", name);
}

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Asks until `holds` gives something true, and returns that. */
export async function until(what, holds) {
  const deadline = Date.now() + WITHIN;
  let last;
  while (Date.now() < deadline) {
    try {
      const found = await holds();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} did not happen in ${WITHIN} ms${last ? `: ${last.message}` : ""}`);
}

export class Stack {
  static async start() {
    const stack = new Stack();
    stack.dir = await mkdtemp(join(tmpdir(), "opamp-browser-"));
    [stack.opamp, stack.api, stack.otlp] = await Promise.all([freePort(), freePort(), freePort()]);
    stack.url = `http://127.0.0.1:${stack.api}`;
    stack.programs = [];
    const data = join(stack.dir, "server");
    stack.run(program("OPAMP_SERVER", "opamp-server"), ["--opamp-listen", `127.0.0.1:${stack.opamp}`,
      "--api-listen", `127.0.0.1:${stack.api}`, "--data-dir", data]);
    await until("the server", async () => (await fetch(`${stack.url}/readyz`)).ok);
    stack.token = (await readFile(join(data, "admin.token"), "utf8")).trim();
    return stack;
  }

  run(path, args) {
    const child = spawn(path, args, { stdio: ["ignore", "ignore", "pipe"] });
    const log = [];
    child.stderr.on("data", (bytes) => log.push(bytes));
    const ended = new Promise((done) => child.on("exit", done));
    child.on("error", (error) => log.push(Buffer.from(String(error))));
    this.programs.push({ child, ended, log: () => Buffer.concat(log).toString() });
  }

  /** A supervisor whose description holds what would be markup if a page were careless. */
  async startSupervisor() {
    const collector = process.env.OTELCOL ?? join(root, "target/collector/otelcol-example");
    const base = join(this.dir, "base.yaml");
    await writeFile(base, "service: {telemetry: {metrics: {level: none}}}\n");
    const config = join(this.dir, "supervisor.yaml");
    await writeFile(config, `server:
  endpoint: ws://127.0.0.1:${this.opamp}/v1/opamp
capabilities:
  accepts_remote_config: true
  reports_available_components: true
agent:
  executable: ${JSON.stringify(collector)}
  config_files: [${JSON.stringify(base)}]
  description:
    non_identifying_attributes:
      deployment.environment.name: staging
      note: "<img src=x onerror=window.stolen=1>"
storage:
  directory: ${JSON.stringify(join(this.dir, "supervisor"))}
`);
    this.run(program("OPAMP_SUPERVISOR", "opamp-supervisor"), ["--config", config]);
  }

  async rest(method, path, body) {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  }

  /** Gives the one agent a config of this name. */
  async push(uid, name, value) {
    await this.rest("POST", "/namespaces/default/agentremoteconfigs", { metadata: { name }, spec: { value } });
    await this.rest("PUT", `/namespaces/default/agents/${uid}`, { spec: { remoteConfig: { remoteConfigNames: [name] } } });
  }

  pipeline(exporter) {
    return `receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:${this.otlp}
processors:
  batch: {}
exporters:
  ${exporter}: {}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [${exporter}]
`;
  }

  /** The supervisor first, so that it can say goodbye. */
  async stop() {
    for (const { child, ended } of this.programs.reverse()) {
      child.kill("SIGTERM");
      const last = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(last);
    }
    await rm(this.dir, { recursive: true, force: true });
  }

  logs() {
    return this.programs.map(({ log }) => log()).join("\n");
  }
}
