// The page: it follows api/events, and draws a card for each superdaemon.
"use strict";

const page = {cards: new Map(), skew: 0, patterns: []};
const maxLog = 300;
const alarms = new Set(["failed", "gave-up", "refill-failed", "killed", "not-ready", "rolled-back", "missed"]);
const $ = id => document.getElementById(id);

page.now = () => Date.now() / 1000 + page.skew;
page.span = () => Number($("window").value);

// card is the elements of one superdaemon, which stay while what is in them changes.
page.card = control => {
  const c = {root: draw.make("article", "card"), title: draw.make("h2"), chip: draw.make("span", "chip"), path: draw.make("p", "path", control),
    facts: draw.make("p", "facts"), why: draw.make("p", "why"), bars: draw.make("div"), workers: draw.make("div", "workers"),
    sockets: draw.make("ul", "sockets"), shares: draw.make("div"), fault: draw.make("details"), reason: draw.make("summary"), lines: draw.make("pre")};
  c.heads = ["Generations", "Share of the connections", "Workers", "Sockets"].map(t => draw.make("h3", "", t));
  c.fault.append(c.reason, c.lines);
  c.act = act.buttons(control);
  c.root.append(draw.make("div", "head", "", c.title, c.chip), c.path, c.facts, c.why, c.heads[0], c.bars, c.heads[1], c.shares,
    c.heads[2], c.workers, c.heads[3], c.sockets, c.fault, c.act.bar, c.act.told, c.act.log);
  return c;
};

page.show = d => {
  let c = page.cards.get(d.control);
  if (!c) {
    c = page.card(d.control);
    page.cards.set(d.control, c);
    const after = [...page.cards.keys()].filter(k => k > d.control).sort()[0];
    $("cards").insertBefore(c.root, after ? page.cards.get(after).root : null);
  }
  c.data = d;
  c.title.textContent = d.control.split("/").pop();
  c.chip.textContent = d.up ? d.status.state : "not there";
  c.root.className = "card" + (d.serving ? (d.status.state === "serving" ? "" : " wait") : " bad");
  c.why.hidden = !d.why;
  c.why.textContent = d.why ?? "";
  const s = d.status;
  c.workers.classList.toggle("many", !!s && s.workers.length > 40);
  c.sockets.replaceChildren(...(s ? draw.sockets(d) : []));
  const shares = s ? draw.shares(d) : [];
  c.shares.replaceChildren(...shares);
  c.heads[1].hidden = !shares.length;
  c.heads[2].hidden = !s;
  c.heads[3].hidden = !s;
  const f = s && s.failure;
  c.fault.hidden = !f;
  if (f) {
    const reason = "The last attempt failed at " + draw.clock(f.at) + ": " + f.reason;
    if (reason !== c.reason.textContent) c.fault.open = true;
    c.reason.textContent = reason;
    c.lines.textContent = (f.log ?? []).join("\n");
    c.lines.hidden = !(f.log ?? []).length;
  }
  if (s && !c.act.count.value) c.act.count.value = s.wanted_workers;
  page.tick(c);
  page.summary();
};

// tick draws what gets older.
page.tick = c => {
  const d = c.data, now = page.now();
  const bars = draw.bars(d, now, page.span());
  c.bars.replaceChildren(...bars);
  c.heads[0].hidden = !bars.length;
  c.facts.textContent = d.status && d.up ? draw.facts(d, now) : d.up ? "" : "since " + draw.clock(d.since);
  c.workers.replaceChildren(...(d.status ? draw.workers(d, now) : []));
};

page.summary = () => {
  const all = [...page.cards.values()], bad = all.filter(c => !c.data.serving).length;
  const text = !all.length ? "No superdaemon" : bad ? bad + " of " + all.length + " not serving" : all.length === 1 ? "Serving" : "All " + all.length + " serving";
  if ($("summary").textContent !== text) $("summary").textContent = text;
  $("summary").classList.toggle("bad", bad > 0 || !all.length);
  document.title = (bad ? "✗ " : "") + text + " · start_server";
  $("none").hidden = all.length > 0;
  $("none").textContent = page.patterns.map(p => p.pattern + " matches no control socket. Waiting for one.").join(" ");
};

page.forget = control => {
  const c = page.cards.get(control);
  if (!c) return;
  c.root.remove();
  page.cards.delete(control);
  page.summary();
};

page.everything = all => {
  page.skew = all.time - Date.now() / 1000;
  page.patterns = all.patterns;
  if (all.allow.join() !== act.allow.join()) {
    act.allow = all.allow;
    [...page.cards.keys()].forEach(page.forget);
  }
  $("key").hidden = !all.allow.length;
  const there = new Set(all.superdaemons.map(d => d.control));
  [...page.cards.keys()].filter(k => !there.has(k)).forEach(page.forget);
  all.superdaemons.forEach(page.show);
  page.summary();
};

page.happened = e => {
  const row = draw.make("li", "", "", draw.make("time", "", draw.clock(e.time)), draw.make("span", "dim", e.control.split("/").pop()),
    draw.make("span", alarms.has(e.event) ? "alarm" : "", e.event), draw.make("span", "", e.text));
  row.title = e.control;
  $("log").prepend(row);
  while ($("log").children.length > maxLog) $("log").lastChild.remove();
  const c = page.cards.get(e.control);
  if (c) act.progress(c.act.told, e);
};

page.link = (kind, text) => {
  $("link").className = "link " + kind;
  $("link").textContent = text;
};

page.follow = () => {
  const source = new EventSource("api/events");
  source.addEventListener("open", () => page.link("on", "live"));
  for (const kind of ["everything", "happened"]) source.addEventListener(kind, m => page[kind](JSON.parse(m.data)));
  source.addEventListener("superdaemon", m => page.show(JSON.parse(m.data)));
  source.addEventListener("forgotten", m => page.forget(JSON.parse(m.data)));
  source.addEventListener("error", () => {
    page.link("off", "not connected");
    if (source.readyState === EventSource.CLOSED) setTimeout(page.follow, 5000);
  });
};

$("token").addEventListener("input", e => { act.token = e.target.value.trim(); });
$("window").addEventListener("change", () => page.cards.forEach(page.tick));
setInterval(() => { if (!document.hidden) page.cards.forEach(page.tick); }, 1000);
page.follow();
