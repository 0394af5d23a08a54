// One agent: what it is, how it is, what it runs, and what is wanted of it.

import { ago, attribute, badge, condition, configState, h, nameOf, state, wantedState } from "./dom.js";

/** Which folded parts are open, by agent and path, while the page lives. */
const opened = new Map();

export function detailView(namespace, uid, request) {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/agents/${uid}`;
  const element = h("article", { class: "agent" }, h("p", { class: "note" }, "Loading…"));
  const view = { element, title: "Agent", update: () => {}, touched, close: () => { closed = true; } };
  const parts = new Map();
  const columns = ["whole", "left", "right"].map((name) => h("div", { class: `column ${name}` }));
  let closed = false;
  let loading = false;
  let again = false;

  function touched(changed) {
    if (changed === undefined || changed === uid) load();
  }

  async function load() {
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    const answer = await request(path).catch(() => null);
    if (!closed) {
      if (answer?.ok) draw(await answer.json());
      else if (answer?.status === 404) missing();
    }
    loading = false;
    if (again && !closed) {
      again = false;
      load();
    }
  }

  function missing() {
    parts.clear();
    element.replaceChildren(back(), h("p", { class: "note" }, "This agent does not exist any more."));
  }

  /** Draws only the parts whose data changed, so that what a person reads does not jump. */
  function draw(agent) {
    if (parts.size === 0) element.replaceChildren(...columns);
    view.title = nameOf(agent);
    document.title = `${view.title} · OpAMP server`;
    for (const [name, column, data, make] of sections(agent)) {
      const said = JSON.stringify(data);
      const old = parts.get(name);
      if (old?.said === said) continue;
      const made = make(agent);
      made.classList.add(name);
      if (old) old.made.replaceWith(made);
      else columns[column].append(made);
      parts.set(name, { said, made });
    }
  }

  load();
  return view;
}

function back() {
  return h("p", { class: "back" }, h("a", { href: "#/" }, "← All agents"));
}

function sections(agent) {
  const { metadata, status } = agent;
  const [whole, left, right] = [0, 1, 2];
  return [
    ["head", whole, [metadata, state(agent), configState(agent)], head],
    ["facts", left, [metadata, status.conditions, status.lastReportedAt, status.sequenceNum], facts],
    ["config", right, [status.remoteConfigStatus, status.desiredConfigHash, status.configState, status.conditions,
      status.desiredConfigNames], remoteConfig],
    ["health", left, [status.componentHealth, state(agent)], health],
    ["connections", right, [status.connectionSettingsStatus, status.connectionSettingsState,
      status.desiredConnectionSettings, status.desiredConnectionSettingsHash], connections],
    ["packages", right, [status.packagesState, status.desiredPackages, status.packageStatuses, status.packageRefusals,
      condition(agent, "PackagesInstalled")], packages],
    ["effective", right, status.effectiveConfig, effectiveConfig],
    ["components", left, status.availableComponents, components],
    ["attributes", right, metadata, attributes],
  ];
}

function head(agent) {
  const [kind, word] = state(agent);
  return h("header", {}, back(),
    h("div", { class: "title" }, h("h1", {}, nameOf(agent)), badge(kind, word)),
    h("p", { class: "uid" }, agent.metadata.instanceUid));
}

function section(title, side, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title, side && h("span", { class: "side" }, side)), ...children);
}

function list(pairs) {
  const shown = pairs.filter(([, value]) => value !== "" && value !== undefined && value !== null);
  return h("dl", {}, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function facts(agent) {
  const { status, metadata } = agent;
  const since = condition(agent, "Connected")?.lastTransitionTime;
  const os = [attribute(agent, "os.type"), attribute(agent, "os.version"), attribute(agent, "host.arch")];
  return section("Overview", null, list([
    [status.connected ? "Connected since" : "Offline since", ago(since)],
    ["Last report", ago(status.lastReportedAt)],
    ["Transport", status.connectionType],
    ["Version", attribute(agent, "service.version")],
    ["Host", attribute(agent, "host.name")],
    ["System", os.filter(Boolean).join(" · ")],
    ["Namespace", metadata.namespace],
    ["Sequence number", String(status.sequenceNum)],
    ["Custom capabilities", (metadata.customCapabilities?.capabilities ?? []).join(", ")],
  ]));
}

function short(hash) {
  return hash ? h("code", { title: hash }, hash.slice(0, 12)) : "–";
}

function remoteConfig(agent) {
  const { status } = agent;
  const [kind, word] = configState(agent);
  const reported = status.remoteConfigStatus;
  const why = condition(agent, "RemoteConfigApplied");
  const message = kind === "bad" ? why.message : reported.status === "FAILED" ? reported.errorMessage : "";
  return section("Remote config", badge(kind, word),
    message && h("pre", { class: "problem" }, message),
    list([
      ["Wanted", short(status.desiredConfigHash)],
      ["Made of", (status.desiredConfigNames ?? []).join(", ")],
      ["Agent reports", h("span", {}, short(reported.lastRemoteConfigHash), ` ${reported.status}`)],
      ["Since", ago(why.lastTransitionTime)],
    ]));
}

function connections(agent) {
  const { status } = agent;
  const [kind, word] = wantedState(status.connectionSettingsState);
  const reported = status.connectionSettingsStatus;
  const why = condition(agent, "ConnectionSettingsApplied");
  return section("Connection settings", badge(kind, word),
    why.message && h("pre", { class: "problem" }, why.message),
    list([
      ["Wanted", short(status.desiredConnectionSettingsHash)],
      ["For", status.desiredConnectionSettings.join(", ")],
      ["Agent reports", h("span", {}, short(reported.lastConnectionSettingsHash), ` ${reported.status}`)],
      ["Since", ago(why.lastTransitionTime)],
    ]));
}

function packages(agent) {
  const { status } = agent;
  const [kind, word] = wantedState(status.packagesState);
  const reported = status.packageStatuses?.packages ?? {};
  const desired = status.desiredPackages ?? {};
  const names = [...new Set([...Object.keys(desired), ...Object.keys(reported)])].sort();
  const rows = names.map((name) => {
    const [wanted, has] = [desired[name], reported[name]];
    const [kind, word] = wantedState(wanted?.state ?? has.status);
    const details = wanted?.state === "Downloading" && has?.downloadDetails;
    const versions = [has?.agentHasVersion && `has ${has.agentHasVersion}`, wanted && `offered ${wanted.version}`];
    const error = wanted ? wanted.errorMessage : has.errorMessage;
    return h("li", {}, h("div", { class: "leaf" }, h("span", { class: "what" }, name), badge(kind, word),
      h("span", { class: "sub" }, versions.filter(Boolean).join(", "))),
    details && h("progress", { max: "100", value: String(details.downloadPercent), "aria-label": `Download of ${name}` }),
    error && h("pre", { class: "problem" }, error));
  });
  const refusals = (status.packageRefusals ?? []).map((one) => h("pre", { class: "problem" }, `${one.offer}: ${one.message}`));
  return section("Packages", badge(kind, word),
    names.length + refusals.length === 0 && h("p", { class: "note" }, "No package is offered to it."),
    rows.length > 0 && h("ul", { class: "tree" }, rows), ...refusals);
}

function fold(agent, path, summary, fill, open) {
  const key = `${agent.metadata.instanceUid} ${path}`;
  const element = h("details", { open: opened.get(key) ?? open });
  element.append(h("summary", {}, summary), fill());
  element.addEventListener("toggle", () => opened.set(key, element.open));
  return element;
}

function health(agent) {
  const root = agent.status.componentHealth;
  const children = Object.entries(root.components ?? {});
  const [kind, word] = state(agent);
  const body = children.length > 0 ? healthTree(agent, children, "health")
    : h("p", { class: "note" }, "The agent reports no health of its components.");
  return section("Health", badge(kind, root.status || word),
    root.lastError && h("pre", { class: "problem" }, root.lastError),
    root.startTime && h("p", { class: "sub" }, "Started ", ago(root.startTime)), body);
}

function healthTree(agent, children, path) {
  return h("ul", { class: "tree" }, children.map(([name, child]) => {
    const below = Object.entries(child.components ?? {});
    const word = child.status || (child.healthy ? "healthy" : "unhealthy");
    const line = [h("span", { class: "what" }, name), badge(child.healthy ? "good" : "bad", word)];
    const error = child.lastError && h("pre", { class: "problem" }, child.lastError);
    if (below.length === 0) return h("li", {}, h("div", { class: "leaf" }, ...line), error);
    const fill = () => h("div", {}, error, healthTree(agent, below, `${path}/${name}`));
    return h("li", {}, fold(agent, `${path}/${name}`, h("span", { class: "line" }, ...line), fill, true));
  }));
}

function effectiveConfig(agent) {
  const files = Object.entries(agent.status.effectiveConfig?.configMap.configMap ?? {});
  if (files.length === 0) {
    return section("Effective config", null, h("p", { class: "note" }, "The agent has reported none."));
  }
  return section("Effective config", null, files.map(([name, file]) => {
    const copy = h("button", { type: "button", class: "quiet copy", onclick: async () => {
      await navigator.clipboard.writeText(file.body);
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    } }, "Copy");
    return h("div", { class: "file" },
      h("div", { class: "filename" }, h("span", {}, name || file.contentType || "config"), copy),
      h("pre", { class: "code", tabindex: "0" }, file.body));
  }));
}

function components(agent) {
  const { hash, components: groups = {} } = agent.status.availableComponents ?? {};
  const entries = Object.entries(groups);
  if (entries.length === 0) {
    return section("Available components", hash ? short(hash) : null,
      h("p", { class: "note" }, "The agent has reported none."));
  }
  return section("Available components", short(hash), entries.map(([name, group]) => {
    const below = Object.entries(group.components ?? {});
    const title = h("span", { class: "line" }, h("span", { class: "what" }, name),
      h("span", { class: "count" }, String(below.length)));
    const one = ([component, details]) => {
      const said = Object.values(details.metadata ?? {}).join(" ");
      return h("li", {}, h("code", {}, component), h("span", { class: "sub" }, said));
    };
    return fold(agent, `components/${name}`, title, () => h("ul", { class: "components" }, below.map(one)), false);
  }));
}

function attributes(agent) {
  const { identifyingAttributes = {}, nonIdentifyingAttributes = {} } = agent.metadata.description;
  const rows = (title, map) => Object.keys(map).length > 0 && h("div", {}, h("h3", {}, title), list(Object.entries(map)));
  return section("Attributes", null, rows("Labels", agent.metadata.labels ?? {}),
    rows("Identifying", identifyingAttributes), rows("Non-identifying", nonIdentifyingAttributes));
}
