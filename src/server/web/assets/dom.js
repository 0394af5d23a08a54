// Small helpers. Whatever an agent says reaches the page as text, never as markup.

/** An element with properties and children; strings become text nodes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "short" });

/** "3 min ago", with the full time on hover. */
export function ago(time) {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return h("span", {}, "–");
  const element = h("time", { datetime: time, title: new Date(at).toLocaleString(), class: "ago" });
  element.textContent = words(at);
  return element;
}

function words(at) {
  const seconds = Math.round((at - Date.now()) / 1000);
  if (seconds > -5) return "just now";
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, length]) => -seconds >= length) ?? ["second", 1];
  return relative.format(Math.trunc(seconds / size), unit);
}

/** Keeps the relative times on the page true. */
setInterval(() => {
  for (const element of document.querySelectorAll("time.ago")) {
    element.textContent = words(Date.parse(element.dateTime));
  }
}, 5000);

/** A word with a colour and a shape, so that colour alone says nothing. */
export function badge(kind, text, title) {
  return h("span", { class: `badge ${kind}`, title }, text);
}

/** How an agent is, in one word. */
export function state(agent) {
  const away = { Stale: ["wait", "Stale"], Gone: ["off", "Gone"] }[agent.status.presence];
  if (away) return away;
  if (!agent.status.connected) return ["off", "Offline"];
  const healthy = condition(agent, "Healthy")?.status;
  if (healthy === "True") return ["good", "Healthy"];
  if (healthy === "False") return ["bad", "Unhealthy"];
  return ["wait", "Unknown"];
}

/** Where an agent is with the config that is wanted of it. */
export function configState(agent) {
  return wantedState(agent.status.configState);
}

/** How far an agent is with something that is wanted of it. */
export function wantedState(word) {
  const kinds = {
    Applied: ["good", "Applied"], Failed: ["bad", "Failed"], Unresolved: ["bad", "Unresolved"],
    Applying: ["wait", "Applying"], Pending: ["wait", "Pending"], Unmanaged: ["none", "Not managed"],
    Unreported: ["none", "Not reported"], Installed: ["good", "Installed"], Installing: ["wait", "Installing"],
    Downloading: ["wait", "Downloading"], Waiting: ["none", "Waiting its turn"],
  };
  return kinds[word] ?? ["none", word];
}

export function condition(agent, type) {
  return agent.status.conditions.find((one) => one.type === type);
}

/** An attribute, wherever it is said. */
export function attribute(agent, ...names) {
  const { identifyingAttributes = {}, nonIdentifyingAttributes = {} } = agent.metadata.description;
  for (const name of names) {
    const value = agent.metadata.labels?.[name] ?? identifyingAttributes[name] ?? nonIdentifyingAttributes[name];
    if (value) return value;
  }
  return "";
}

export function nameOf(agent) {
  return attribute(agent, "service.name") || "unnamed agent";
}

export function agentLink(agent) {
  return `#/agents/${encodeURIComponent(agent.metadata.namespace)}/${agent.metadata.instanceUid}`;
}
