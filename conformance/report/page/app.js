"use strict";
// Everything that a template, a conversation or a server wrote is put into the page as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const BATCH = 40;
const by = (id) => document.getElementById(id);
function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}
function prose(text) {
  // Our own sentences mark what is code by backticks.
  return text.split(/`([^`]+)`/).map((part, number) => (number % 2 ? make("code", "", part) : part));
}
function row(cells, head) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const node = make(head && cell !== "" ? "th" : "td", typeof cell === "number" || /^[<>]?[\d.,]+( %)?$/.test(cell) ? "number" : "");
    if (node.tagName === "TH") node.scope = "col";
    node.append(typeof cell === "number" ? cell.toLocaleString("en") : cell);
    line.append(node);
  }
  return line;
}
function button(text, action, label) {
  const node = make("button", "", text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  node.addEventListener("click", action);
  return node;
}
function folded(title, parts) {
  // Made when it is opened: few readers open many of ten thousand.
  const node = make("details", "folded", make("summary", "", title));
  node.addEventListener("toggle", () => { if (node.open && node.childElementCount === 1) node.append(...parts()); });
  return node;
}
function targets() {
  by("targets-section").hidden = !data.targets.length;
  for (const target of data.targets) {
    const card = make("article", "target " + (target.passes ? "pass" : "fail"), make("h3", "", target.name));
    if (target.share) {
      card.append(make("p", "share", make("b", "", target.share), make("span", "", target.meaning)));
      const bar = make("div", "bar", document.createElement("i"));
      bar.firstChild.style.width = target.width;
      card.append(bar);
    }
    card.append(make("div", "verdict", (target.passes ? "✓ " : "✗ ") + target.verdict));
    for (const line of target.lines) card.append(make("div", "small", line));
    by("targets").append(card);
  }
}
function rules() {
  if (!data.rules.length) { by("rules-section").hidden = true; return; }
  by("rules").append(make("thead", "", row(["Rule", "Severity", "Impact", "Seen", "Targets", "What differs"], true)));
  const body = make("tbody");
  for (const rule of data.rules) {
    const link = button(`${rule.code} ${rule.rule}`, () => filter({ search: rule.code }), `Show ${rule.code}`);
    body.append(row([link, rule.severity, rule.impact, rule.seen, rule.targets, make("span", "", ...prose(rule.what))]));
  }
  by("rules").append(body);
}
function segments(parts, changed) {
  return parts.map(([text, kind]) => {
    if (kind === "changed") return make(changed, "", text);
    return kind ? make("span", kind, text) : text;
  });
}
function card(item) {
  const chips = make("div", "chips", make("span", "chip " + item.severity, item.severity),
    item.impact ? make("span", "chip", item.impact) : null,
    item.accepted ? make("span", "chip accepted", "accepted") : null,
    make("span", "chip", `in ${item.seen}`));
  const node = make("article", "card", make("header", "", make("h3", "", `${item.code} ${item.rule}`), chips),
    make("p", "where", item.where));
  const difference = make("dl", "diff");
  if (item.failure) difference.append(make("dt", "", item.labels[1]), make("dd", "", make("del", "", item.failure)));
  else difference.append(...(item.expected.length
    ? [make("dt", "", item.labels[0]), make("dd", "", ...segments(item.expected, "ins"))] : []), make("dt", "", `${item.labels[1]} (${item.note})`), make("dd", "", ...segments(item.actual, "del")));
  const talk = make("div", "bubbles", ...item.bubbles.map(([who, label, text]) =>
    make("div", "bubble " + who, make("b", "", label), text || "(empty)")));
  node.append(make("div", "two", make("div", "", make("h4", "", "The prompt"), difference),
    make("div", "", make("h4", "", "The conversation"), talk)));
  if (item.source.length) {
    node.append(make("h4", "", "The template"));
    const source = make("div", "source", ...item.source.map(([number, text, here]) =>
      make("div", here ? "here" : "", make("span", "", String(number)), text)));
    source.tabIndex = 0;
    source.setAttribute("role", "region");
    source.setAttribute("aria-label", `The template around line ${item.line}`);
    node.append(source);
  }
  const facts = make("dl", "facts");
  for (const [label, text] of item.facts) facts.append(make("dt", "", label), make("dd", "", ...prose(text)));
  node.append(facts);
  const tokens = item.tokens.filter(([, row]) => row.length);
  if (tokens.length) node.append(folded("Tokens where the texts part", () => tokens.map(([label, row]) =>
    make("div", "tokens", make("b", "", label), ...row.map(([id, text]) => make("span", "", make("code", "", text), String(id)))))));
  if (item.handed) node.append(folded("What the template was handed", () => [make("pre", "", item.handed)]));
  if (item.ask) node.append(folded("The same, asked of the server", () => [make("pre", "", item.ask)]));
  if (item.command) {
    const copy = button("Copy", async () => {
      try { await navigator.clipboard.writeText(item.command); copy.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(code); copy.textContent = "Selected"; }
    }, `Copy the command that reproduces ${item.code}`);
    const code = make("code", "", item.command);
    node.append(make("div", "command", make("span", "small", "Reproduce with"), code, copy));
  }
  return node;
}
const fields = ["search", "target", "severity", "impact", "engine", "shape"];
for (const item of data.cards) item.text = [item.code, item.rule, item.target, item.where, ...item.engines, ...item.shapes,
  item.failure, ...item.bubbles.map((bubble) => bubble[2]), ...item.facts.map((fact) => fact[1])].join(" ").toLowerCase();
let shown = 0, found = [];
function filter(wanted) {
  by("filters").reset();
  for (const [name, value] of Object.entries(wanted)) by(name).value = value;
  apply();
  by("cards-section").scrollIntoView();
}
function apply() {
  const value = Object.fromEntries(fields.map((name) => [name, by(name).value]));
  const words = value.search.toLowerCase().split(/\s+/).filter(Boolean);
  found = data.cards.filter((item) => (!value.target || item.target === value.target) &&
    (!value.severity || item.severity === value.severity) && (!value.impact || item.impact === value.impact) &&
    (!value.engine || item.engines.includes(value.engine)) && (!value.shape || item.shapes.includes(value.shape)) &&
    words.every((word) => item.text.includes(word)));
  by("cards").replaceChildren();
  shown = 0;
  more();
}
function more() {
  by("cards").append(...found.slice(shown, shown + BATCH).map(card));
  shown = Math.min(shown + BATCH, found.length);
  by("more").hidden = shown >= found.length;
  // Paper has no button for more.
  by("count").textContent = `${found.length.toLocaleString("en")} of ${data.cards.length.toLocaleString("en")}`
    + (shown < found.length ? `, the first ${shown.toLocaleString("en")} shown` : "");
}
function choices(name, values) {
  for (const value of [...new Set(values)].filter(Boolean).sort()) by(name).append(new Option(value, value));
}
function matrix() {
  if (!data.matrix.length) return;
  by("matrix-section").hidden = false;
  by("matrix").append(make("thead", "", row(["Template", "Engine", "Right", ...data.shapes], true)));
  const body = make("tbody");
  for (const line of data.matrix) {
    body.append(row([line.target, line.engine, line.right, ...line.counts.map((count, number) => count
      ? button(String(count), () => filter({ target: line.target, engine: line.engine, shape: data.shapes[number] }),
        `${count} divergences of ${line.target} on ${line.engine} in ${data.shapes[number]}`) : "0")]));
  }
  by("matrix").append(body);
}
function branches() {
  for (const target of data.branches) {
    by("branches-section").hidden = false;
    const list = make("ul", "", ...target.lines.map(([line, what]) => make("li", "", `line ${line}: ${what}`)));
    by("branches").append(make("details", "", make("summary", "", `${target.name}: ${target.lines.length}`), list));
  }
}
// precision.js
targets(); rules(); matrix(); branches(); precision();
choices("target", data.cards.map((item) => item.target));
choices("severity", data.cards.map((item) => item.severity));
choices("impact", data.cards.map((item) => item.impact));
choices("engine", data.cards.flatMap((item) => item.engines));
choices("shape", data.cards.flatMap((item) => item.shapes));
if (!data.cards.length) by("cards-section").hidden = true;
let waiting = 0;
for (const kind of ["input", "change"]) by("filters").addEventListener(kind, () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); });
by("filters").addEventListener("reset", () => setTimeout(apply));
by("filters").addEventListener("submit", (event) => { event.preventDefault(); apply(); });
by("more").addEventListener("click", more);
apply();
document.documentElement.dataset.ready = "yes";
