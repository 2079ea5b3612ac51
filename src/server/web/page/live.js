"use strict";
const COMMANDS = "COMMAND_URL", KEPT = 120, EVERY = 1000;
const at = id => document.getElementById(id);
const make = (tag, text, parent) => {
  const made = document.createElement(tag);
  made.textContent = text;
  parent?.append(made);
  return made;
};
const cell = (row, text, kind) => { make("td", text, row).className = kind ?? ""; };

// Text format 0.0.4 to { name: [{ labels, value }] }.
function parse(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const parts = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/i.exec(line);
    if (!parts) continue;
    const labels = Object.fromEntries([...(parts[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(m => [m[1], m[2]]));
    const value = parts[3] === "+Inf" ? Infinity : Number(parts[3]);
    (found[parts[1]] ??= []).push({ labels, value });
  }
  return found;
}
const one = (page, name) => page[name]?.[0]?.value;
const labelled = (page, name, label, value) => page[name]?.find(sample => sample.labels[label] === value)?.value;
const is_known = value => value !== undefined && value !== null && !Number.isNaN(value);
const si = value => {
  if (!is_known(value)) return "–";
  if (value === Infinity) return "∞";
  for (const [unit, size] of [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= size) return (value / size).toPrecision(3) + " " + unit;
  }
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
};
const time = seconds => {
  if (!is_known(seconds)) return "–";
  if (seconds === Infinity) return "above all bounds";
  if (seconds >= 1) return seconds.toPrecision(3) + " s";
  return seconds >= 1e-3 ? (seconds * 1e3).toPrecision(3) + " ms" : (seconds * 1e6).toPrecision(3) + " µs";
};
const bytes = value => is_known(value) ? si(value) + (value < 1e3 ? " B" : "B") : "–";
const span = ms => {
  const s = Math.floor(ms / 1000), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
};

// The part of a histogram that came between two looks, at this quantile: an upper bound, in seconds.
function quantile(now, before, name, part) {
  const of = page => Object.fromEntries((page[name + "_bucket"] ?? []).map(b => [b.labels.le, b.value]));
  const last = of(now), first = of(before);
  const bounds = Object.keys(last).map(le => [le === "+Inf" ? Infinity : Number(le), last[le] - (first[le] ?? 0)]);
  bounds.sort((a, b) => a[0] - b[0]);
  const all = bounds.at(-1)?.[1] ?? 0;
  return all > 0 ? bounds.find(([, count]) => count >= part * all)[0] : NaN;
}

function plot(title, lines, unit) {
  const figure = make("figure", "", at("plots")), caption = make("figcaption", "", figure);
  make("b", title, caption);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  figure.append(svg);
  const drawn = lines.map(([name, kind]) => {
    const label = make("span", name, caption), line = document.createElementNS(svg.namespaceURI, "polyline");
    label.className = line.className.baseVal = kind;
    svg.append(line);
    return { name, label, line, values: [] };
  });
  const top = make("small", "", caption);
  return values => {
    drawn.forEach((one, n) => {
      one.values.push(values[n]);
      if (one.values.length > KEPT) one.values.shift();
      one.label.textContent = `${one.name} ${unit(values[n])}`;
    });
    const most = Math.max(1e-9, ...drawn.flatMap(one => one.values.filter(Number.isFinite)));
    top.textContent = most > 1e-9 ? `up to ${unit(most)}` : "";
    for (const { line, values } of drawn) {
      const shift = KEPT - values.length;
      line.setAttribute("points", values.map((v, n) => Number.isFinite(v) ? `${n + shift},${98 - 94 * v / most}` : "").join(" "));
    }
  };
}
const throughput = plot("Requests per second", [["reads", "read"], ["writes", "write"]], si);
const latency = plot("Latency, 99 of 100 within", [["reads", "read"], ["writes", "write"]], time);
const disk = plot("Sync of the log, 99 of 100 within", [["", "write"]], time);
const traffic = plot("Bytes per second", [["in", "read"], ["out", "write"]], bytes);

function cards(page, ensemble) {
  const accepted = ensemble.accepted_epoch, current = ensemble.current_epoch, local = one(page, "local_sessions");
  const free = ["data", "log"].map(directory => labelled(page, "ringkeeper_disk_available_bytes", "directory", directory));
  const shown = {
    "zxid": ensemble.last_zxid ?? "–",
    "epoch": current === undefined ? undefined : current === accepted ? current : `${current}, accepted ${accepted}`,
    "up for": span(one(page, "uptime") ?? 0),
    "connections": si(one(page, "num_alive_connections")),
    "sessions": si(one(page, "global_sessions")) + (local > 0 ? ` + ${si(local)} local` : ""),
    "watches": si(one(page, "watch_count")),
    "znodes": si(one(page, "znode_count")),
    "ephemerals": si(one(page, "ephemerals_count")),
    "data": bytes(one(page, "approximate_data_size")),
    "outstanding": si(one(page, "outstanding_requests")),
    "log queue": si(one(page, "ringkeeper_log_queue")),
    "snapshots": bytes(labelled(page, "ringkeeper_directory_bytes", "directory", "data")),
    "log": bytes(labelled(page, "ringkeeper_directory_bytes", "directory", "log")),
    "disk left": free[0] === free[1] ? bytes(free[0]) : free.map(bytes).join(", log "),
    "slow syncs": si(one(page, "ringkeeper_slow_syncs_total")),
    "memory": bytes(one(page, "process_resident_memory_bytes")),
  };
  at("cards").replaceChildren(...Object.entries(shown).filter(([, value]) => value !== undefined).map(([name, value]) => {
    const card = make("div", "");
    card.className = "card";
    make("dt", name, card);
    make("dd", value, card);
    return card;
  }));
}

function role(member, ensemble) {
  if (member.id === ensemble.leader) return "leader";
  return member.votes ? "follower" : "observer";
}

// What this server knows of a member: of itself all, of the others what a leader hears.
function state(member, ensemble) {
  if (member.id === ensemble.me) return ensemble.server_state ? ensemble.zab_state : `${ensemble.peer_state}, ${ensemble.zab_state}`;
  if (ensemble.me !== ensemble.leader) return "–";
  return member.learner === null ? "not connected" : member.learner.synced ? "in step" : "synchronizing";
}

function members(ensemble) {
  at("ensemble").hidden = at("to-ensemble").hidden = ensemble.members.length === 0;
  at("members").replaceChildren(...ensemble.members.map(member => {
    const row = make("tr", ""), is_own = member.id === ensemble.me;
    row.className = is_own ? "own" : "";
    cell(row, is_own ? `${member.id} (this)` : member.id);
    cell(row, role(member, ensemble));
    const now = state(member, ensemble);
    cell(row, now, now === "not connected" || now.includes("looking") ? "bad" : "");
    cell(row, si(member.learner?.behind), "number");
    cell(row, (is_own ? ensemble.last_zxid : member.learner?.acked) ?? "–", "number");
    cell(row, member.quorum.join(", "));
    cell(row, member.client ?? "–");
    return row;
  }));
  const knows = ensemble.leader === null ? "There is no leader." : `What the others have, their leader ${ensemble.leader} shows.`;
  at("of-others").textContent = ensemble.me === ensemble.leader ? "" : knows;
}

function threads(page, before, seconds) {
  const of = page => Object.fromEntries((page.ringkeeper_thread_cpu_seconds_total ?? []).map(t => [t.labels.thread, t.value]));
  const first = of(before);
  at("threads").replaceChildren(...Object.entries(of(page)).map(([name, value]) => {
    const row = make("tr", "");
    cell(row, name);
    cell(row, name in first ? (100 * (value - first[name]) / seconds).toFixed(1) + " %" : "–", "number");
    return row;
  }));
}

function tell_state(text, is_good) {
  if (at("state").textContent !== text) at("state").textContent = text;
  at("state").className = is_good ? "" : "bad";
  document.title = `${text} · Ringkeeper`;
}

let before = null;
async function look() {
  const ask = async (path, how) => {
    const answer = await fetch(path, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer[how]();
  };
  try {
    const [text, ensemble] = await Promise.all([ask("/metrics", "text"), ask(COMMANDS + "/ringkeeper_ensemble", "json")]);
    const page = parse(text), now = performance.now();
    tell_state(ensemble.server_state ?? "not serving", !!ensemble.server_state);
    at("version").textContent = page.ringkeeper_info[0].labels.version;
    cards(page, ensemble);
    members(ensemble);
    if (before) {
      const seconds = (now - before.now) / 1000;
      const rate = name => Math.max(0, (one(page, name) ?? 0) - (one(before.page, name) ?? 0)) / seconds;
      const p99 = name => quantile(page, before.page, name, 0.99);
      throughput([rate("readlatency_count"), rate("updatelatency_count")]);
      latency([p99("ringkeeper_read_latency_seconds"), p99("ringkeeper_update_latency_seconds")]);
      disk([p99("ringkeeper_sync_seconds")]);
      traffic([rate("bytes_received_count"), rate("response_bytes") + rate("watch_bytes")]);
      threads(page, before.page, seconds);
    }
    before = { page, now };
    document.body.className = "";
  } catch {
    tell_state("no answer", false);
    document.body.className = "stale";
  }
}
async function go_on() {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise(done => setTimeout(done, EVERY));
  }
}
go_on();
