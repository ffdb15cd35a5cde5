// A chart: lines, bands or dots over one axis, with a legend below that says the values where the cursor stands.
//
// spec: title, unit, x (numbers), xTicks [[x, text]], xLabel, series [{name, values, style, dash, dots, text(index)}],
// bands [{low, high, style}], levels [{value, name, style}], zero, log, onPick(index), note

const MOST_LINES = 8;
const LEFT = 52, RIGHT = 18, TOP = 10, BOTTOM = 34;

function chart(container, spec) {
  container.replaceChildren();
  const shown = few(spec);
  const width = widthOf(container), height = spec.height || 210;
  html("h4", {}, container, spec.unit ? `${spec.title} (${spec.unit})` : spec.title);
  const root = canvas(container, width, height, `${spec.title}, chart`);
  const scale = scales(spec, shown, width, height);
  axes(root, spec, scale, width, height);
  for (const band of shown.bands) area(root, spec.x, band, scale);
  for (const level of spec.levels || []) if (scale.inside(level.value))
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: scale.y(level.value), y2: scale.y(level.value), class: `level ${level.style}` }, root);
  for (const one of shown.series) line(root, one.x || spec.x, one, scale);
  const cursor = spec.plain ? null : svg("line", { x1: 0, x2: 0, y1: TOP, y2: height - BOTTOM, class: "cursor" }, root);
  const values = legend(container, spec, shown, scale);
  if (spec.onPick) picking(root, spec, scale, width);
  return {
    move(index) {
      const x = index === null || spec.x[index] === undefined ? -10 : scale.x(spec.x[index]);
      if (cursor) for (const end of ["x1", "x2"]) cursor.setAttribute(end, x);
      shown.series.forEach((one, number) => { values[number].textContent = one.text ? one.text(index) : brief(one.values[index]); });
    },
  };
}

// Of many lines a band from the lowest to the highest, and the two that are extreme on average.
function few(spec) {
  const bands = [...(spec.bands || [])];
  if (spec.series.length <= MOST_LINES) return { series: spec.series, bands, note: spec.note };
  const mean = (one) => one.values.reduce((sum, value) => sum + (value || 0), 0);
  const sorted = [...spec.series].sort((one, other) => mean(one) - mean(other));
  const each = spec.x.map((_, index) => spec.series.map((one) => one.values[index]).filter((value) => value !== null));
  bands.push({ low: each.map((all) => Math.min(...all)), high: each.map((all) => Math.max(...all)), style: "c5" });
  const named = [{ ...sorted[0], style: "c1" }, { ...sorted[sorted.length - 1], style: "c0" }];
  return { series: named, bands, note: `${spec.series.length} lines: the band holds all, the two that are extreme on average are named` };
}

function scales(spec, shown, width, height) {
  const every = [...shown.series.flatMap((one) => one.values), ...shown.bands.flatMap((band) => [...band.low, ...band.high])]
    .filter((value) => value !== null && Number.isFinite(value));
  if (spec.zero) every.push(0);
  for (const level of spec.levels || []) if (level.show) every.push(level.value);
  let low = every.length ? Math.min(...every) : 0, high = every.length ? Math.max(...every) : 1;
  const log = Boolean(spec.log) && low > 0;
  if (high - low < 1e-12) { const pad = Math.abs(high) * 0.05 || 1; low -= log ? 0 : pad; high += pad; }
  else if (!log) { const pad = 0.04 * (high - low); low -= spec.zero && low === 0 ? 0 : pad; high += pad; }
  const first = spec.xRange ? spec.xRange[0] : spec.x[0], last = spec.xRange ? spec.xRange[1] : spec.x[spec.x.length - 1];
  const share = log ? (value) => Math.log(value / low) / Math.log(high / low) : (value) => (value - low) / (high - low);
  return {
    low, high, log,
    inside: (value) => value >= low && value <= high,
    x: (value) => LEFT + ((value - first) / (last - first || 1)) * (width - LEFT - RIGHT),
    y: (value) => height - BOTTOM - share(value) * (height - TOP - BOTTOM),
  };
}

function axes(root, spec, scale, width, height) {
  const found = scale.log ? decades(scale.low, scale.high) : ticks(scale.low, scale.high, 4);
  const step = found.length > 1 && !scale.log ? found[1] - found[0] : null;
  for (const tick of found) {
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: scale.y(tick), y2: scale.y(tick), class: Math.abs(tick) < 1e-12 ? "zero" : "grid" }, root);
    svg("text", { x: LEFT - 6, y: scale.y(tick) + 4, class: "tick end" }, root, tickText(Math.abs(tick) < 1e-12 ? 0 : tick, step));
  }
  let free = -Infinity;
  for (const [x, text] of spec.xTicks) {
    const at = scale.x(x);
    if (at < free) continue;
    free = at + 8 + 7 * String(text).length;
    svg("line", { x1: at, x2: at, y1: height - BOTTOM, y2: height - BOTTOM + 4, class: "zero" }, root);
    svg("text", { x: at, y: height - BOTTOM + 15, class: "tick middle" }, root, text);
  }
  svg("text", { x: width - RIGHT, y: height - 4, class: "tick end" }, root, spec.xLabel || "");
}

function pieces(x, values, scale) {
  let path = "", joined = false;
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) { joined = false; return; }
    path += `${joined ? "L" : "M"}${scale.x(x[index]).toFixed(1)} ${scale.y(value).toFixed(1)}`;
    joined = true;
  });
  return path;
}

function line(root, x, one, scale) {
  if (!one.dots) { svg("path", { d: pieces(x, one.values, scale), class: `line ${one.style}${one.dash ? " dash" : ""}` }, root); return; }
  one.values.forEach((value, index) => {
    if (value === null) return;
    const [cx, cy] = [scale.x(x[index]), scale.y(value)];
    if (one.dash) svg("path", { d: `M${cx - 3} ${cy - 3}l6 6m0 -6l-6 6`, class: `line ${one.style}` }, root);
    else svg("circle", { cx, cy, r: 3.4, class: `dot ${one.style}` }, root);
  });
}

function area(root, x, band, scale) {
  const known = x.map((_, index) => index).filter((index) => band.low[index] !== null && band.high[index] !== null);
  if (!known.length) return;
  const point = (values) => (index) => `${scale.x(x[index]).toFixed(1)} ${scale.y(values[index]).toFixed(1)}`;
  const way = [...known.map(point(band.low)), ...known.reverse().map(point(band.high))];
  svg("path", { d: `M${way.join("L")}Z`, class: `area ${band.style}` }, root);
}

function legend(container, spec, shown, scale) {
  const list = html("ul", { class: "legend" }, container);
  const values = shown.series.map((one) => {
    const entry = html("li", {}, list);
    const key = svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, entry);
    if (one.dots && one.dash) svg("path", { d: "M8 2l6 6m0 -6l-6 6", class: `line ${one.style}` }, key);
    else if (one.dots) svg("circle", { cx: 11, cy: 5, r: 3.4, class: `dot ${one.style}` }, key);
    else svg("line", { x1: 1, x2: 21, y1: 5, y2: 5, class: `line ${one.style}${one.dash ? " dash" : ""}` }, key);
    html("span", {}, entry, one.name);
    return html("b", { class: "value" }, entry, "");
  });
  const visible = (spec.levels || []).filter((level) => scale.inside(level.value));
  for (const level of visible.filter((one, index) => visible.findIndex((other) => other.style === one.style) === index)) {
    const entry = html("li", {}, list);
    const key = svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, entry);
    svg("line", { x1: 1, x2: 21, y1: 5, y2: 5, class: `level ${level.style}` }, key);
    html("span", {}, entry, level.name);
  }
  if (shown.note) html("p", { class: "note" }, container, shown.note);
  return values;
}

function picking(root, spec, scale, width) {
  root.classList.add("pickable");
  root.addEventListener("click", (event) => {
    const box = root.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * width;
    let best = 0;
    spec.x.forEach((x, index) => { if (Math.abs(scale.x(x) - at) < Math.abs(scale.x(spec.x[best]) - at)) best = index; });
    spec.onPick(best);
  });
}

// Bars of a largest value with its mean inside.
function bars(container, spec) {
  container.replaceChildren();
  const width = widthOf(container), height = 190, n = spec.names.length;
  html("h4", {}, container, `Voltage error by ${spec.axis} (pu)`);
  const root = canvas(container, width, height, `voltage error by ${spec.axis}, bars`);
  const scale = scales({ x: [-0.5, n - 0.5], zero: true }, { series: [{ values: spec.max }], bands: [] }, width, height);
  const step = (width - LEFT - RIGHT) / n;
  const every = Math.ceil((8 + 7 * Math.max(...spec.names.map((name) => name.length))) / step);
  const xTicks = spec.names.map((name, index) => [index, name]).filter(([index]) => index % every === 0);
  axes(root, { xTicks, xLabel: spec.axis }, scale, width, height);
  spec.names.forEach((name, index) => {
    const x = scale.x(index - 0.4), wide = Math.max(1, 0.8 * step);
    const bar = (value, style) => svg("rect", { x, width: wide, y: scale.y(value), height: Math.max(0, scale.y(0) - scale.y(value)), class: style }, root);
    const largest = bar(spec.max[index], "bar c5");
    bar(spec.mean[index], "bar c0");
    svg("title", {}, largest, `${name}: largest ${brief(spec.max[index])} pu, mean ${brief(spec.mean[index])} pu`);
  });
  const list = html("ul", { class: "legend" }, container);
  for (const [text, style] of [["largest", "bar c5"], ["mean", "bar c0"]]) {
    const entry = html("li", {}, list);
    svg("rect", { width: 12, height: 10, class: style }, svg("svg", { width: 16, height: 10, "aria-hidden": "true" }, entry));
    html("span", {}, entry, text);
  }
  if (spec.note) html("p", { class: "note" }, container, spec.note);
}
