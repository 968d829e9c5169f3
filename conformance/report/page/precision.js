// The precision track: a matrix that can be asked, findings, plots drawn here, and the terminal's tables.
const SVG = "http://www.w3.org/2000/svg";
function drawn(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}
function scrolled(label, table) {
  const frame = make("div", "scroll", table);
  frame.tabIndex = 0;
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", label);
  return frame;
}
function plainTable(heads, rows) {
  return make("table", "", make("thead", "", row(heads, true)), make("tbody", "", ...rows.map((line) => row(line))));
}
function hue(number, count) { return `hsl(${Math.round((number * 360) / Math.max(count, 1))} 65% 48%)`; }
function lines(plot) {
  const [width, height, left, bottom, top] = [640, 300, 56, 36, 12];
  const values = plot.series.flatMap((one) => one.points.map((point) => point[1])).concat(plot.limit ? [plot.limit[0]] : []);
  const layers = Math.max(1, ...plot.series.flatMap((one) => [...one.points.map((point) => point[0]), one.lost ?? 0]));
  const low = Math.floor(Math.log10(Math.min(...values, 1e30)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values, 1e-30))));
  const x = (layer) => left + (layer / layers) * (width - left - 12);
  const y = (value) => height - bottom - ((Math.log10(value) - low) / (high - low)) * (height - bottom - top);
  const image = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${plot.title}: ${plot.up} by ${plot.across}` });
  if (!values.length) return image;
  for (let power = low; power <= high; power++) {
    image.append(drawn("line", { x1: left, x2: width - 12, y1: y(10 ** power), y2: y(10 ** power), class: "grid" }),
      drawn("text", { x: left - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, `1e${power}`));
  }
  for (let layer = 0; layer <= layers; layer += Math.max(1, Math.ceil(layers / 8))) {
    image.append(drawn("text", { x: x(layer), y: height - bottom + 16, "text-anchor": "middle" }, String(layer)));
  }
  image.append(drawn("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, plot.across));
  if (plot.limit) image.append(drawn("line", { x1: left, x2: width - 12, y1: y(plot.limit[0]), y2: y(plot.limit[0]), class: "limit" }));
  plot.series.forEach((one, number) => {
    const colour = hue(number, plot.series.length);
    if (one.points.length) {
      image.append(drawn("polyline", { points: one.points.map(([layer, value]) => `${x(layer)},${y(value)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 1.8 }));
    }
    if (one.lost !== null) image.append(drawn("text", { x: x(one.lost), y: top + 6, fill: colour, "text-anchor": "middle" }, "✕"));
  });
  return image;
}
function legend(plot) {
  const items = plot.series.map((one, number) => make("li", "", drawn("svg", { viewBox: "0 0 12 12", "aria-hidden": "true", class: "swatch" },
    drawn("rect", { width: 12, height: 12, rx: 2, fill: hue(number, plot.series.length) })),
  one.name + (one.lost === null ? "" : ` (overflows at layer ${one.lost})`)));
  if (plot.limit) items.push(make("li", "", drawn("svg", { viewBox: "0 0 12 12", "aria-hidden": "true", class: "swatch" },
    drawn("line", { x1: 0, x2: 12, y1: 6, y2: 6, class: "limit" })), plot.limit[1]));
  return make("ul", "legend", ...items);
}
function panel(name, shares, edges) {
  const [width, height] = [200, 84];
  const step = width / shares.length, most = Math.max(...shares, 1e-9);
  const unit = edges.indexOf("1");
  const image = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${name}: ${shares.map((share, number) => (share >= 0.01 ? `${Math.round(share * 100)} % up to ${edges[number]}` : "")).filter(Boolean).join(", ")}` });
  shares.forEach((share, number) => image.append(drawn("rect", { x: number * step + 0.5, width: Math.max(step - 1, 0.5),
    y: 66 - (share / most) * 62, height: (share / most) * 62, class: "bin" })));
  if (unit >= 0) image.append(drawn("line", { x1: (unit + 1) * step, x2: (unit + 1) * step, y1: 2, y2: 66, class: "limit" }));
  image.append(drawn("text", { x: 0, y: 80 }, `≤ ${edges[0]}`), drawn("text", { x: width, y: 80, "text-anchor": "end" }, `≤ ${edges[edges.length - 1]}`));
  return make("figure", "panel", image, make("figcaption", "", name));
}
function plot(item) {
  if (item.panels) {
    return make("section", "", make("h3", "", item.title), make("p", "small", "Shares of elements; the line is one unit."),
      make("div", "panels", ...item.panels.map(([name, shares]) => panel(name, shares, item.edges))));
  }
  return make("figure", "plot", make("figcaption", "", make("h3", "", item.title), make("span", "small", item.up)), lines(item), legend(item));
}
function asked(track, path, column) {
  const rows = track.rows.filter((line) => line[0] === path && line[1] === column).map((line) => line.slice(2));
  by("asked").replaceChildren(make("h3", "", `${path}, ${column}`), scrolled(`${path} on ${column}`, plainTable(["Stage", "Verdict", "Reason"], rows)));
}
function askable(track) {
  const table = make("table", "matrix", make("thead", "", row(["Path", ...track.matrix.columns], true)));
  const body = make("tbody");
  for (const [path, cells] of track.matrix.lines) {
    const line = make("tr", "", make("td", "", path));
    cells.forEach((cell, number) => line.append(make("td", cell ? cell[2] : "", cell
      ? button(cell[0], () => asked(track, path, track.matrix.columns[number]), `${path} on ${track.matrix.columns[number]}: ${cell[1]}`) : "")));
    body.append(line);
  }
  table.append(body);
  return table;
}
function findings(found) {
  return scrolled("Findings", plainTable(["Verdict", "Where", "Reason", "Reproduce with"],
    found.map((one) => [one.verdict, one.where, one.reason, make("code", "", one.command)])));
}
function precision() {
  const track = data.precision;
  if (!track) return;
  by("precision-section").hidden = false;
  const into = by("precision");
  if (track.problem) { into.append(make("p", "problem", track.problem)); return; }
  into.append(make("article", "target " + (track.passes ? "pass" : "fail"),
    make("div", "verdict", (track.passes ? "✓ " : "✗ ") + track.verdict), ...track.lines.map((line) => make("div", "small", line))));
  if (track.matrix.lines.length) {
    into.append(make("h3", "", "Worst verdict of any stage, by path and kind of input"),
      make("p", "small", "= exact, ✓ pass, ~ degraded, a number: the stage that overflows, ✗ fail, ! unexpected. Choose one to see its stages."),
      scrolled("Path by kind of input", askable(track)));
    const answer = make("div", "");
    answer.id = "asked";
    answer.setAttribute("aria-live", "polite");
    into.append(answer);
  }
  const surprising = track.findings.filter((found) => !found.expected), implied = track.findings.filter((found) => found.expected);
  if (surprising.length) into.append(make("h3", "", "What nobody could expect"), findings(surprising));
  if (implied.length) {
    into.append(folded(`What the declared formats imply: ${implied.length + track.more}`, () => [findings(implied),
      track.more ? make("p", "small", `and ${track.more.toLocaleString("en")} more, in report.json`) : ""]));
  }
  into.append(...track.plots.map(plot));
  for (const one of track.tables) into.append(make("h3", "", one.title), scrolled(one.title, plainTable(one.heads, one.rows)));
}
