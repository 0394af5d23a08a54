// The list of agents: counts that filter, a search, and a table that becomes cards on a narrow screen.

import { agentLink, ago, attribute, badge, condition, configState, h, nameOf, state } from "./dom.js";

/** Rows drawn at first; the rest by request. */
const FIRST = 300;

const columns = [
  ["Agent", (agent) => nameOf(agent).toLowerCase()],
  ["Status", (agent) => state(agent)[1]],
  ["Config", (agent) => configState(agent)[1]],
  ["Version", (agent) => attribute(agent, "service.version")],
  ["Host", (agent) => attribute(agent, "host.name")],
  ["Last change", (agent) => latest(agent)],
];

const tiles = [
  ["all", "Agents", () => true],
  ["good", "Healthy", (agent) => state(agent)[0] === "good"],
  ["bad", "Unhealthy", (agent) => ["bad", "wait"].includes(state(agent)[0])],
  ["off", "Offline", (agent) => state(agent)[0] === "off"],
  ["failed", "Config failed", (agent) => configState(agent)[0] === "bad"],
  ["waiting", "Config pending", (agent) => configState(agent)[0] === "wait"],
];

// Kept while other views are open.
const chosen = { tile: "all", words: "", sort: 0, down: false, shown: FIRST };

function latest(agent) {
  return agent.status.conditions.map((one) => one.lastTransitionTime).sort().at(-1);
}

function matches(agent, words) {
  if (!words) return true;
  const { identifyingAttributes, nonIdentifyingAttributes } = agent.metadata.description;
  const said = [agent.metadata.instanceUid, agent.metadata.namespace, state(agent)[1], configState(agent)[1],
    ...Object.entries({ ...agent.metadata.labels, ...identifyingAttributes, ...nonIdentifyingAttributes })
      .map(([name, value]) => `${name}=${value}`)].join("\n").toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => said.includes(word));
}

export function listView() {
  let last = [new Map(), {}];
  const redraw = () => update(...last);
  const counts = h("div", { class: "tiles", role: "group", "aria-label": "Filter by state" });
  const search = h("input", {
    type: "search", placeholder: "Filter by name, host, attribute=value…", "aria-label": "Filter agents",
    value: chosen.words,
    oninput: () => {
      chosen.words = search.value.trim();
      redraw();
    },
  });
  const head = h("tr");
  const body = h("tbody");
  const note = h("p", { class: "note", role: "status" });
  const more = h("button", {
    class: "more", type: "button", hidden: true,
    onclick: () => {
      chosen.shown += FIRST;
      redraw();
    },
  }, "Show more");
  const table = h("table", { class: "agents" }, h("thead", {}, head), body);
  const element = h("section", {}, h("h1", { class: "hidden" }, "Agents"), counts,
    h("div", { class: "tools" }, search), table, note, more);

  // Made once and changed in place, so that a live update takes nobody's focus away.
  const drawnTiles = tiles.map(([key, label]) => {
    const count = h("strong", {}, "0");
    const button = h("button", {
      type: "button", class: `tile ${key}`,
      onclick: () => {
        chosen.tile = chosen.tile === key ? "all" : key;
        redraw();
      },
    }, count, h("span", {}, label));
    counts.append(button);
    return { button, count };
  });
  const drawnHeads = columns.map(([label], index) => {
    const press = () => {
      chosen.down = chosen.sort === index && !chosen.down;
      chosen.sort = index;
      redraw();
    };
    const cell = h("th", { scope: "col" }, h("button", { type: "button", onclick: press }, label));
    head.append(cell);
    return cell;
  });

  function drawCounts(agents) {
    tiles.forEach(([key, , holds], index) => {
      const { button, count } = drawnTiles[index];
      const found = agents.filter(holds).length;
      count.textContent = String(found);
      button.toggleAttribute("data-empty", found === 0);
      button.setAttribute("aria-pressed", String(chosen.tile === key));
    });
    drawnHeads.forEach((cell, index) => {
      const order = chosen.down ? "descending" : "ascending";
      cell.setAttribute("aria-sort", chosen.sort === index ? order : "none");
    });
  }

  function update(map, { complete }) {
    last = [map, { complete }];
    const all = [...map.values()];
    drawCounts(all);
    const holds = tiles.find(([key]) => key === chosen.tile)[2];
    const key = columns[chosen.sort][1];
    const wanted = all.filter((agent) => holds(agent) && matches(agent, chosen.words));
    const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1
      : a.metadata.instanceUid < b.metadata.instanceUid ? -1 : 1);
    wanted.sort((a, b) => (chosen.down ? order(b, a) : order(a, b)));
    drawRows(body, wanted.slice(0, chosen.shown));
    more.hidden = wanted.length <= chosen.shown;
    table.hidden = wanted.length === 0;
    note.textContent = wanted.length > 0 ? "" : all.length > 0 ? "No agent matches this filter."
      : complete ? "No agent has connected yet. Point a supervisor at this server's OpAMP endpoint, /v1/opamp."
        : "Loading…";
  }

  return { element, title: "Agents", update };
}

/** Keeps the rows that did not change, so that focus and selection stay. */
function drawRows(body, agents) {
  const there = new Map([...body.children].map((row) => [row.dataset.uid, row]));
  const rows = agents.map((agent) => {
    const uid = agent.metadata.instanceUid;
    const old = there.get(uid);
    const said = JSON.stringify(agent);
    return old?.said === said ? old : Object.assign(drawRow(agent), { said });
  });
  const focused = document.activeElement?.closest("tr[data-uid]")?.dataset.uid;
  if (rows.length === body.childElementCount && rows.every((row, index) => row === body.children[index])) return;
  body.replaceChildren(...rows);
  if (focused) body.querySelector(`tr[data-uid="${focused}"] a`)?.focus({ preventScroll: true });
}

function drawRow(agent) {
  const uid = agent.metadata.instanceUid;
  const [kind, word] = state(agent);
  const [configKind, configWord] = configState(agent);
  const cell = (label, ...children) => h("td", { "data-label": label }, ...children);
  const host = attribute(agent, "host.name");
  const error = kind === "bad" ? condition(agent, "Healthy")?.message : "";
  const configError = configKind === "bad" ? condition(agent, "RemoteConfigApplied")?.message : "";
  return h("tr", { "data-uid": uid, "data-state": word, onclick: (event) => {
    if (!event.target.closest("a") && !String(getSelection())) location.hash = agentLink(agent);
  } },
  h("th", { scope: "row" }, h("a", { href: agentLink(agent) }, nameOf(agent)), h("span", { class: "uid" }, uid)),
  cell("Status", badge(kind, word, error)),
  cell("Config", badge(configKind, configWord, configError)),
  cell("Version", attribute(agent, "service.version") || "–"),
  cell("Host", host || "–", h("span", { class: "sub" }, attribute(agent, "os.type"))),
  cell("Last change", ago(latest(agent))));
}
