// The page as a person uses it, in Debian's Chromium: log in, see an agent turn healthy without a reload, look at it.
// Screenshots go to target/browser.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { Stack, until } from "./stack.mjs";

const shots = resolve(import.meta.dirname, "../../target/browser");
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const WITHIN = 20_000;

let stack;
let profile;
let browser;
let page;
let uid;
const complaints = [];

before(async () => {
  await mkdir(shots, { recursive: true });
  stack = await Stack.start();
  profile = await mkdtemp(join(tmpdir(), "opamp-chromium-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, headless: true,
    viewport: { width: 1280, height: 900 }, colorScheme: "light",
  });
  browser.setDefaultTimeout(WITHIN);
  page = browser.pages()[0] ?? await browser.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
});

after(async () => {
  await browser?.close();
  await stack?.stop();
  if (profile) await rm(profile, { recursive: true, force: true });
});

async function shoot(name, options = {}) {
  await page.screenshot({ path: join(shots, `${name}.png`), ...options });
}

const row = () => page.locator(`tr[data-uid="${uid}"]`);

test("without a session there is only the login, and a wrong token is refused", async () => {
  await page.goto(`${stack.url}/`);
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.getByLabel("Admin token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await shoot("login");
  complaints.length = 0; // Chromium logs the 401 that was asked for.
});

test("logging in, and seeing an agent turn healthy without a reload", async () => {
  await page.getByLabel("Admin token").fill(stack.token);
  await page.keyboard.press("Enter");
  await page.getByText("No agent has connected yet").waitFor();
  assert.equal((await browser.cookies()).find(({ name }) => name === "opamp_session")?.httpOnly, true);
  await page.evaluate(() => { window.loadedOnce = true; });

  await stack.startSupervisor();
  const agents = await until("the agent", async () => {
    const { items } = await stack.rest("GET", "/namespaces/default/agents");
    return items.length === 1 && items;
  });
  uid = agents[0].metadata.instanceUid;
  await page.locator(`tr[data-uid="${uid}"][data-state="Healthy"]`).waitFor();
  assert.equal(await page.evaluate(() => window.loadedOnce), true, "the page was not loaded again");
});

test("a pushed config shows up as applied, again without a reload", async () => {
  await stack.push(uid, "pipeline", stack.pipeline("debug"));
  await row().getByText("Applied").waitFor();
  await shoot("agents");
  assert.equal(await page.evaluate(() => window.loadedOnce), true);
});

test("the filters and the search work by keyboard", async () => {
  await page.getByRole("button", { name: /Offline/ }).press("Enter");
  await page.getByText("No agent matches this filter.").waitFor();
  await page.getByRole("button", { name: /Offline/ }).press("Enter");
  await page.getByRole("searchbox").fill("deployment.environment.name=staging");
  await row().waitFor();
  await page.getByRole("searchbox").fill("");
});

test("the detail shows effective config, components, health and attributes", async () => {
  await row().getByRole("link").press("Enter");
  await page.getByRole("heading", { name: "Effective config" }).waitFor();
  await page.locator("pre.code").filter({ hasText: "otlp" }).first().waitFor();
  await page.locator(".tree").getByText("pipeline:traces").waitFor();
  const receivers = page.locator("details").filter({ hasText: "receivers" });
  await receivers.locator("summary").click();
  await receivers.getByText("otlpreceiver").first().waitFor();
  // What an agent says is text, never markup.
  await page.getByText("<img src=x onerror=window.stolen=1>", { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => window.stolen), undefined);
  await shoot("agent", { fullPage: true });
});

test("a refused config shows why, while the detail is open", async () => {
  await stack.push(uid, "wrong", stack.pipeline("nosuchexporter"));
  await page.locator(".problem").filter({ hasText: "nosuchexporter" }).waitFor();
  assert.equal(await page.evaluate(() => window.loadedOnce), true);
  await shoot("agent-failed", { fullPage: true });
});

test("an offer that the agent cannot take shows why, while the detail is open", async () => {
  await page.locator(".packages").getByText("No package is offered to it.").waitFor();
  const spec = { packageType: "TopLevel", version: "1.0.0", variants: [
    { os: "windows", arch: "amd64", downloadUrl: "https://mirror.example/p", contentHash: "00".repeat(32) }] };
  await stack.rest("POST", "/namespaces/default/agentpackages", { metadata: { name: "elsewhere" }, spec });
  await stack.rest("POST", "/namespaces/default/packageoffers", { metadata: { name: "fleet" }, spec: { packages: ["elsewhere"] } });
  await page.locator(".packages .problem").filter({ hasText: "fleet: " }).waitFor();
  await shoot("agent-packages", { fullPage: true });
});

test("both views fit a phone, and follow the dark scheme", async () => {
  const fits = () => page.evaluate(() => document.scrollingElement.scrollWidth <= window.innerWidth);
  await page.setViewportSize({ width: 375, height: 812 });
  assert.ok(await fits(), "the detail is no wider than the screen");
  await shoot("agent-375", { fullPage: true });
  await page.goBack();
  await row().waitFor();
  assert.ok(await fits(), "the list is no wider than the screen");
  await shoot("agents-375");
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(dark, "rgb(17, 21, 27)");
  await page.setViewportSize({ width: 1280, height: 900 });
  await shoot("agents-dark");
});

test("nothing went wrong in the page", () => {
  assert.deepEqual(complaints, []);
});
