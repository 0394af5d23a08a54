// The page: one live picture of all agents, and the view that the address asks for.

import { detailView } from "./detail.js";
import { h } from "./dom.js";
import { listView } from "./list.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
const agents = new Map();
let view;
let complete = false;
let scheduled = false;

function route() {
  const match = location.hash.match(/^#\/agents\/([^/]+)\/([0-9a-f-]+)$/);
  view?.close?.();
  view = match ? detailView(decodeURIComponent(match[1]), match[2], request) : listView();
  main.replaceChildren(view.element);
  document.title = `${view.title} · OpAMP server`;
  window.scrollTo(0, 0);
  view.update(agents, { complete });
}

/** Draws at most once a frame, however many events come. */
function changed(uid) {
  view?.touched?.(uid);
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    view?.update(agents, { complete });
  });
}

/** A request with the session; without one, the way to the login. */
async function request(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) location.assign("/login");
  return answer;
}

function say(kind, text) {
  live.className = `live ${kind}`;
  live.textContent = text;
}

function follow() {
  const source = new EventSource("/api/v1/watch");
  let fresh = new Set();
  source.onopen = () => {
    fresh = new Set();
  };
  source.onmessage = ({ data }) => {
    const { type, object } = JSON.parse(data);
    if (type === "ERROR") {
      source.close();
      follow();
      return;
    }
    if (type === "BOOKMARK") {
      for (const uid of agents.keys()) if (!fresh.has(uid)) agents.delete(uid);
      complete = true;
      say("good", "live");
      changed();
      return;
    }
    const uid = object.metadata.instanceUid;
    if (type === "DELETED") agents.delete(uid);
    else agents.set(uid, object);
    fresh.add(uid);
    changed(uid);
  };
  source.onerror = async () => {
    say("bad", "not connected");
    // The browser tries again by itself, but not after a refusal.
    const answer = await request("/api/v1/ping").catch(() => null);
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, answer ? 1000 : 3000);
  };
}

window.addEventListener("hashchange", () => {
  route();
  main.focus();
});
if (!window.EventSource) main.replaceChildren(h("p", {}, "This browser is too old for this page."));
route();
follow();
