// The tree browser. Where it stands is in the address, behind "#": /a/b?from=c. Who has authenticated is kept in here only.
const LIMIT = 100;
let authorization = null, asked = 0, here = { path: "/", from: "" };

const address = (path, from) =>
  "#" + path.split("/").map(encodeURIComponent).join("/") + (from ? "?from=" + encodeURIComponent(from) : "");
// Another part of the page may be there, too: then the tree stays where it was.
function place() {
  const [path, query] = location.hash.slice(1).split("?");
  if (path === "") here = { path: "/", from: "" };
  if (!path.startsWith("/")) return here;
  try {
    here = { path: decodeURIComponent(path), from: new URLSearchParams(query).get("from") ?? "" };
  } catch {
    here = { path, from: "" };
  }
  return here;
}
const child_of = (path, name) => path === "/" ? "/" + name : path + "/" + name;

async function ask_tree(path, from, header, with_data) {
  const query = new URLSearchParams({ path, from, limit: LIMIT, data: with_data });
  const headers = header ? { Authorization: header } : {};
  const answer = await fetch(COMMANDS + "/ringkeeper_tree?" + query, { headers, signal: AbortSignal.timeout(90000) });
  return { status: answer.status, body: await answer.json() };
}

// With as much as there is to be had: the data needs more than the rest.
async function see(path, from) {
  const first = await ask_tree(path, from, authorization, authorization !== null);
  if (authorization === null || ![401, 403].includes(first.status)) return { ...first, why: null };
  const second = await ask_tree(path, from, authorization, false);
  if (![401, 403].includes(second.status)) return { ...second, why: first.body.error };
  return { ...await ask_tree(path, from, null, false), why: second.body.error };
}

async function show_tree(is_asked_for) {
  const number = ++asked, { path, from } = place();
  at("shown").textContent = "…";
  let seen;
  try {
    seen = await see(path, from);
  } catch {
    seen = { status: 0, body: { error: "no answer" }, why: null };
  }
  // Somebody went on meanwhile.
  if (number !== asked) return;
  crumbs(path);
  at("path").value = path;
  at("from").value = from;
  const { body, why } = seen, error = body.error ?? (body.stat ? null : "nothing to be seen");
  at("trouble").textContent = [error ?? "", why ? `As ${at("user").value}: ${why}` : ""].filter(text => text).join(". ");
  at("trouble").hidden = at("trouble").textContent === "";
  at("sight").hidden = error !== null;
  if (error === null) fill(path, from, body);
  // What had the focus is gone with what was shown before.
  if (is_asked_for && document.activeElement === document.body) at("crumbs").lastChild.focus({ preventScroll: true });
}

function crumbs(path) {
  const names = path === "/" ? [] : path.slice(1).split("/");
  const parts = [["/", "/"], ...names.map((name, n) => [name, "/" + names.slice(0, n + 1).join("/")])];
  at("crumbs").replaceChildren(...parts.map(([name, to], n) => {
    const is_last = n === parts.length - 1, part = make(is_last ? "span" : "a", name + (n > 0 && !is_last ? " /" : ""));
    if (is_last) part.setAttribute("aria-current", "page"), part.tabIndex = -1;
    else part.href = address(to);
    return part;
  }));
}

const date = ms => new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
const kind_of = node => node.kind === "ttl" ? `TTL ${span(node.ttl)}` : node.kind;

function fill(path, from, node) {
  at("children").replaceChildren(...node.children.map(child => {
    const row = make("tr", ""), link = make("a", child.name, make("td", "", row)), stat = child.stat;
    link.href = address(child_of(path, child.name));
    cell(row, stat ? kind_of(child) : "not to be read", stat ? "" : "soft");
    cell(row, stat ? stat.num_children : "–", "number");
    cell(row, stat ? stat.data_length : "–", "number");
    cell(row, stat ? date(stat.mtime) : "–");
    return row;
  }));
  const count = node.stat.num_children, here = node.children.length;
  const which = from || node.next ? `${here} of ${count}` : String(here);
  at("shown").textContent = count === 0 ? "no children" : which + (here === 1 ? " child" : " children");
  at("first").hidden = at("next").hidden = !from && node.next === null;
  at("first").disabled = !from;
  at("next").disabled = node.next === null;
  at("next").onclick = () => { location.hash = address(path, node.next); };
  at("first").onclick = () => { location.hash = address(path); };
  at("seek").hidden = !from && node.next === null;

  const stat = node.stat, is_owned = node.kind === "ephemeral";
  const shown = {
    "kind": kind_of(node), ...(is_owned ? { "owner": stat.ephemeral_owner } : {}),
    "created": `${date(stat.ctime)}, ${stat.czxid}`, "changed": `${date(stat.mtime)}, ${stat.mzxid}`,
    "children changed": stat.pzxid, "version": stat.version, "version of children": stat.cversion, "version of ACL": stat.aversion,
    "bytes": stat.data_length, "children": count,
  };
  at("stat").replaceChildren(...Object.entries(shown).flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  at("acl").replaceChildren(...node.acl.map(entry => make("li", `${entry.scheme}:${entry.id}:${entry.perms}`)));
  at("data").textContent = data_of(node);
  at("data").className = node.data === undefined || node.data === null ? "soft" : "";
}

function data_of(node) {
  if (node.data === undefined) return "Shown to who has authenticated and has all permissions at /.";
  if (node.data === null) return "null";
  const cut = node.data_is_cut ? `\n… the first of ${node.stat.data_length} bytes` : "";
  if (typeof node.data === "string") return (node.data || "empty") + cut;
  const all = Uint8Array.from(atob(node.data.base64), letter => letter.charCodeAt(0)), lines = [];
  for (let n = 0; n < all.length; n += 16) {
    const some = [...all.subarray(n, n + 16)];
    const hex = some.map(byte => byte.toString(16).padStart(2, "0")).join(" ");
    const text = some.map(byte => byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".").join("");
    lines.push(`${n.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n") + cut;
}

function tell_who() {
  at("as").textContent = authorization ? `As ${at("user").value}.` : "As anybody: no data.";
  at("forget").hidden = authorization === null;
}
at("who").onsubmit = event => {
  event.preventDefault();
  // A header carries bytes: those of UTF-8 here, as clients send them.
  const shown = new TextEncoder().encode(`${at("user").value}:${at("password").value}`);
  authorization = "digest " + String.fromCharCode(...shown);
  at("password").value = "";
  tell_who();
  show_tree(true);
};
at("forget").onclick = () => {
  authorization = null;
  at("user").value = "";
  tell_who();
  show_tree(true);
};
// The same place again is looked at again.
function go_to(hash) {
  if (location.hash === hash) show_tree(true);
  else location.hash = hash;
}
at("go").onsubmit = event => {
  event.preventDefault();
  const path = at("path").value.trim();
  go_to(address(path.startsWith("/") ? path : "/" + path));
};
at("seek").onsubmit = event => {
  event.preventDefault();
  go_to(address(here.path, at("from").value));
};
window.onhashchange = () => { if (location.hash === "" || location.hash.startsWith("#/")) show_tree(true); };
tell_who();
show_tree(false);
