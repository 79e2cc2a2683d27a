// What a superdaemon looks like. All text of others is set as text, never as HTML.
"use strict";

const draw = {};

// make is an element with a class, text and children.
draw.make = (tag, name, text, ...children) => {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined && text !== "") e.textContent = text;
  e.append(...children);
  return e;
};

// duration is one in words, of two units at most.
draw.duration = seconds => {
  const s = Math.max(0, seconds);
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 60) return Math.round(s) + " s";
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = units.findIndex(u => s >= u[0]);
  const rest = Math.floor(s % units[i][0] / units[i + 1][0]);
  return Math.floor(s / units[i][0]) + " " + units[i][1] + (rest ? " " + rest + " " + units[i + 1][1] : "");
};

// brief is one in words, of one unit.
draw.brief = seconds => draw.duration(seconds).split(" ").slice(0, 2).join(" ");

draw.bytes = n => n >= 1 << 30 ? (n / (1 << 30)).toFixed(1) + " GiB" : n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + " MiB" : Math.round(n / 1024) + " KiB";

draw.clock = seconds => new Date(seconds * 1000).toLocaleTimeString([], {hour12: false});

// known makes a class of a state, if it is one that the style knows.
draw.known = new Set(["proving", "live", "canary", "standby", "old", "draining", "stopping", "failed", "missing"]);

// phases are the parts of a generation's bar: the moment at which one begins, and its class.
draw.phases = [["began", "boot"], ["proved", "proved"], ["canary", "canary"], ["live", "live"], ["standby", "standby"], ["retiring", "drain"], ["failed", "failed"]];

draw.names = {boot: "starting", proved: "proved", canary: "canary", live: "live", standby: "stands by", drain: "draining", failed: "failed", gone: "gone"};

// parts are the parts of a bar, in the order of time.
draw.parts = (g, end) => {
  const parts = draw.phases.filter(p => g[p[0]] !== null).map(p => ({from: g[p[0]], kind: p[1]})).sort((a, b) => a.from - b.from);
  parts.forEach((p, i) => { p.to = i + 1 < parts.length ? parts[i + 1].from : Math.max(end, p.from); });
  return parts;
};

// bars draws the generations of the time that is looked at.
draw.bars = (d, now, span) => {
  const from = now - span;
  const rows = d.generations.filter(g => (g.gone ?? now) > from).slice(-8).reverse();
  return rows.map(g => {
    const end = g.gone ?? (d.up ? now : d.seen ?? now);
    const track = draw.make("div", "track");
    const parts = draw.parts(g, end);
    for (const p of parts) {
      if (p.to < from) continue;
      const bar = draw.make("i", p.kind);
      const left = Math.max(0, (p.from - from) / span);
      bar.style.left = 100 * left + "%";
      bar.style.width = 100 * Math.max(0, (p.to - from) / span - left) + "%";
      bar.title = draw.names[p.kind] + " from " + draw.clock(p.from) + ", for " + draw.duration(p.to - p.from);
      track.append(bar);
    }
    const last = parts[parts.length - 1];
    const kind = last.kind === "failed" ? "failed" : g.gone !== null ? "gone" : last.kind;
    const since = kind === "gone" ? g.gone : last.from;
    const label = draw.make("span", "", draw.names[kind] + " " + draw.brief(now - since));
    label.title = g.reason ?? "";
    const name = draw.make("b", "", "gen " + g.generation);
    return draw.make("div", "row", "", name, track, label);
  });
};

// workers draws the workers by slot.
draw.workers = (d, now) => {
  const all = [...d.status.workers].sort((a, b) => a.slot - b.slot || a.generation - b.generation);
  return all.map(w => {
    const used = d.processes[w.pid];
    const age = w.age + now - d.seen;
    const state = draw.known.has(w.state) ? w.state : "";
    const e = draw.make("div", "worker " + state, "", draw.make("b", "", String(w.slot)));
    const lines = [w.state + (w.pid ? " · pid " + w.pid : ""), "gen " + w.generation + (w.pid ? " · " + draw.duration(age) : "")];
    if (used) lines.push([used.pss ? draw.bytes(used.pss) : "", (100 * used.cpu).toFixed(1) + " % CPU"].filter(Boolean).join(" · "));
    if (w.says) lines.push(w.says);
    if (w.last_exit) lines.push("last: " + w.last_exit.text);
    for (const line of lines) e.append(draw.make("span", "", line));
    e.title = "slot " + w.slot + "\n" + lines.join("\n");
    return e;
  });
};

draw.sockets = d => d.status.sockets.map(o => {
  const e = draw.make("li", "", "", draw.make("span", "", o.name + (o.network === "tcp" ? "" : " · " + o.network)));
  const dropped = (d.dropped_packets ?? {})[o.name];
  if (o.waiting) {
    const since = o.waiting_for ? " for " + draw.duration(o.waiting_for) : "";
    e.append(draw.make("span", "queue", (o.network === "unix" ? "some wait" : o.waiting + " waiting") + since));
  } else if (o.network === "udp") {
    e.append(draw.make("span", dropped ? "queue" : "dim", dropped ? dropped + " dropped" : "none dropped"));
  } else {
    e.append(draw.make("span", "dim", "none waiting"));
  }
  return e;
});

// shares draws what each generation gets of the connections.
draw.shares = d => {
  const all = d.status.traffic ?? [];
  const bar = draw.make("div", "share");
  for (const t of all) {
    const newest = t.generation !== d.status.generation;
    const e = draw.make("i", t.percent > 0 ? (newest ? "canary" : "live") : "standby", t.percent + " % · gen " + t.generation);
    e.style.flex = Math.max(t.percent, 0.01) + " 1 0";
    e.title = e.textContent + (t.seconds_left !== undefined ? ", for " + draw.duration(t.seconds_left) : "");
    bar.append(e);
  }
  return all.length > 1 ? [bar] : [];
};

// facts is the line below a superdaemon's name.
draw.facts = (d, now) => {
  const s = d.status, used = d.processes[s.pid];
  const facts = ["pid " + s.pid, "up " + draw.duration(s.uptime + now - d.seen), "generation " + (s.generation || "none"), s.restarts + (s.restarts === 1 ? " restart" : " restarts")];
  if (s.version) facts.push(s.version);
  const workers = Object.entries(d.processes).filter(([pid]) => Number(pid) !== s.pid).map(([, p]) => p);
  const pss = workers.reduce((sum, p) => sum + (p.pss ?? 0), 0), cpu = workers.reduce((sum, p) => sum + p.cpu, 0);
  if (used && used.pss) facts.push("itself " + draw.bytes(used.pss));
  if (pss) facts.push("workers " + draw.bytes(pss) + ", " + (100 * cpu).toFixed(1) + " % CPU");
  return facts.join(" · ");
};
