// The page itself: a view a seed, built when it is first shown. One day and one step move everything in it together.

const UNITS = [
  { unit: "MW", title: "Active power of devices, positive into the grid", shown: "MW", factor: 1, zero: true },
  { unit: "of capacity", title: "State of charge after the step", shown: "% of capacity", factor: 100, zero: true },
  { unit: "MWh", title: "Energy of devices after the step", shown: "MWh", factor: 1, zero: true },
  { unit: "Mvar", title: "Reactive power of devices, positive into the grid", shown: "Mvar", factor: 1, zero: true },
  { unit: "steps", title: "Positions of devices after the step", shown: "steps", factor: 1, zero: false },
];
const FRAME_MS = 250;

class View {
  constructor(root, data) {
    Object.assign(this, { root, data, day: 0, step: 0, bus: -1, movers: [], timer: null });
    this.play = data.play && unpacked(data.play);
    if (this.play) {
      this.controls();
      this.day = this.dearest();
      this.step = this.dearestStep();
    }
    tabs(root);
    this.width = 0;
    new ResizeObserver(() => { if (root.clientWidth && root.clientWidth !== this.width) this.build(); }).observe(root);
    this.build();
  }

  part(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  // ---- which day and step ----

  costs() { return new Map(this.data.days ? this.data.days.days.map((day, index) => [day, this.data.days.runs[0].cost[index]]) : []); }

  dearest() {
    const costs = this.costs(), of = (index) => costs.get(this.play.days[index]) ?? -Infinity;
    return this.play.days.reduce((best, _, index) => (of(index) > of(best) ? index : best), 0);
  }

  dearestStep() {
    const costs = Array.from({ length: this.play.steps }, (_, step) => total(this.play.runs[0].cost, this.day * this.play.steps + step));
    return costs.indexOf(Math.max(...costs));
  }

  controls() {
    const { play } = this, day = this.part("day"), time = this.part("time"), costs = this.costs(), dearest = this.dearest();
    play.days.forEach((number, index) => {
      const cost = costs.has(number) ? `, cost ${brief(costs.get(number))}` : "";
      html("option", { value: index }, day, `day ${number}${cost}${index === dearest && play.days.length > 1 ? ", the dearest" : ""}`);
    });
    time.max = play.steps - 1;
    day.addEventListener("change", () => this.show(Number(day.value), this.step));
    time.addEventListener("input", () => this.show(this.day, Number(time.value)));
    const turn = (by) => () => this.show((this.day + by + play.days.length) % play.days.length, this.step);
    this.part("before").addEventListener("click", turn(-1));
    this.part("after").addEventListener("click", turn(1));
    this.part("play").addEventListener("click", () => this.toggle());
    const bus = this.part("bus");
    play.grid.labels.forEach((label, index) => html("option", { value: index }, bus, `bus ${label}`));
    bus.addEventListener("change", () => this.pickBus(Number(bus.value)));
    for (const button of this.root.querySelectorAll("button[data-day]")) {
      const index = play.days.indexOf(Number(button.dataset.day));
      button.disabled = index < 0;
      button.addEventListener("click", () => { this.show(index, this.step); this.part("player").scrollIntoView({ block: "start" }); });
    }
    for (const hint of this.root.querySelectorAll(".needs-script")) hint.hidden = false;
  }

  toggle() {
    const button = this.part("play");
    if (this.timer) { clearInterval(this.timer); this.timer = null; }
    else this.timer = setInterval(() => this.show(this.day, (this.step + 1) % this.play.steps), FRAME_MS);
    button.textContent = this.timer ? "pause" : "play";
    button.setAttribute("aria-pressed", String(Boolean(this.timer)));
  }

  pickBus(bus) {
    this.bus = bus;
    this.part("bus").value = bus;
    this.dayCharts();
    this.move();
  }

  show(day, step) {
    const other = day !== this.day;
    Object.assign(this, { day, step });
    if (other) this.dayCharts();
    this.move();
  }

  get row() { return this.day * this.play.steps + this.step; }

  // ---- what is drawn ----

  build() {
    this.width = this.root.clientWidth;
    if (this.play) {
      const { play } = this, pick = (bus) => this.pickBus(bus);
      const slots = [...this.root.querySelectorAll("[data-map]")];
      this.maps = slots.map((slot) => feederMap(slot, play, play.runs[Number(slot.dataset.map)], pick));
      voltageScale(this.part("scale"), play.limits);
      this.dayCharts();
    }
    this.charts();
    if (this.play) this.move();
  }

  // Charts of the day that is picked; every mover is told the step.
  dayCharts() {
    const { play } = this, first = this.day * play.steps, n = play.steps, hours = play.step_hours;
    const x = Array.from({ length: n }, (_, step) => (step + 0.5) * hours), end = n * hours;
    const quarter = [0, 1, 2, 3, 4].map((part) => [(part * end) / 4, clock((part * end) / 4)]);
    const base = { x, xRange: [0, end], xTicks: quarter, xLabel: "time of day", onPick: (step) => this.show(this.day, step) };
    const levels = [
      { value: play.limits.band[0], style: "soft", name: "band" }, { value: play.limits.band[1], style: "soft", name: "band" },
      { value: play.limits.hard[0], style: "hard", name: "hard limits" }, { value: play.limits.hard[1], style: "hard", name: "hard limits" },
    ];
    const series = (numbers, name, style, dash = false, column = 0, factor = 1) => ({
      name, style, dash,
      values: numbers.slice(first, n, column).map((value) => (value === null ? null : value * factor)),
      text: (step) => fixed(numbers.at(first + step, column) === null ? null : numbers.at(first + step, column) * factor, Math.max(0, numbers.decimals - Math.round(Math.log10(factor)))),
    });
    this.movers = [];
    const draw = (container, spec) => { if (container) this.movers.push(chart(container, { ...base, ...spec })); };
    const both = (name) => play.runs.map((run, index) => series(run[name], run.said, `c${index}`, index > 0));
    const sides = (low, high, column = 0) => play.runs.flatMap((run, index) => [
      series(run[low], `${run.said}, lowest`, `c${index}`, index > 0, column), series(run[high], `${run.said}, highest`, `c${index}`, index > 0, column)]);
    const filled = (found) => [{ low: found[0].values, high: found[1].values, style: "c0" }];

    const voltages = sides("low", "high");
    const chosen = this.bus < 0 ? [] : [series(play.runs[0].vm, `${play.runs[0].said}, bus ${play.grid.labels[this.bus]}`, "c2", false, this.bus)];
    draw(this.part("voltage"), { title: "Lowest and highest voltage of all buses", unit: "pu", series: [...voltages, ...chosen], bands: filled(voltages), levels, height: 240 });
    draw(this.part("import"), { title: "Power drawn from the grid above", unit: "MW", series: both("import"), zero: true });
    const weather = [series(play.demand, "demand, of nominal loads", "c5"), series(play.solar, "solar, of a rating", "c4", true)];
    draw(this.part("weather"), { title: "Demand and sun", unit: "per unit", series: weather, zero: true });
    if (play.price) draw(this.part("price"), { title: "Price", unit: "per MWh", series: [series(play.price, "price", "c3")], zero: true });
    const costs = play.runs.map((run, index) => ({ name: run.said, style: `c${index}`, dash: index > 0, values: x.map((_, step) => total(run.cost, first + step)) }));
    draw(this.part("cost"), { title: "Cost of the step, all agents", unit: "", series: costs, zero: true });
    this.devices(this.part("devices"), draw, series, () => true);
    play.agents.forEach((agent, index) => {
      const panel = this.root.querySelector(`[data-agent="${index}"]`);
      if (!panel) return;
      const own = sides("low_of_agents", "high_of_agents", index);
      draw(panel.querySelector('[data-part="agent-voltage"]'), { title: "Lowest and highest voltage of its buses", unit: "pu", series: own, bands: filled(own), levels });
      draw(panel.querySelector('[data-part="agent-cost"]'), { title: "Its cost of the step", unit: "", zero: true, series: play.runs.map((run, number) => series(run.cost, run.said, `c${number}`, number > 0, index)) });
      this.devices(panel.querySelector('[data-part="agent-devices"]'), draw, series, (device) => device.agent === index);
    });
  }

  // A chart for each unit that some chosen device records; what is zero on all days is left out.
  devices(container, draw, series, chosen) {
    if (!container) return;
    container.replaceChildren();
    for (const { unit, title, shown, factor, zero } of UNITS) {
      const found = [];
      this.play.devices.forEach((device, number) => {
        if (!chosen(device)) return;
        const own = device.recorded.map((one, column) => ({ ...one, column })).filter((one) => one.unit === unit);
        for (const one of own.slice(0, 1)) {
          const recorded = this.play.runs[0].recorded[number];
          if (!recorded.used[one.column]) continue;
          found.push(series(recorded, device.label, `c${found.length % 6}`, found.length % 2 > 0, one.column, factor));
        }
      });
      if (found.length) draw(html("div", { class: "chart" }, container), { title, unit: shown, series: found, zero });
    }
  }

  charts() {
    const { days, learning, errors } = this.data;
    if (days && this.part("days")) {
      const series = days.runs.map((run, index) => ({ name: run.name, values: run.cost, style: `c${index % 6}`, dots: true, dash: index === 1 }));
      const dots = days.days.map((day) => [day, String(day)]);
      const onPick = this.play ? (index) => { const at = this.play.days.indexOf(days.days[index]); if (at >= 0) this.show(at, this.step); } : null;
      const range = [days.days[0] - 0.5, days.days[days.days.length - 1] + 0.5];
      this.ofDays = chart(this.part("days"), { title: "Cost of every day", unit: "", x: days.days, xRange: range, xTicks: dots, xLabel: "day", series, log: spread(series) > 20, zero: spread(series) <= 20, onPick });
    }
    if (learning && this.part("learning")) {
      const { steps, cost, share } = learning, last = steps[steps.length - 1], xTicks = ticks(0, last, 5).map((step) => [step, brief(step)]);
      const base = { x: steps, xRange: [0, last], xTicks, xLabel: "environment steps", plain: true };
      const dots = steps.length < 3, ofCost = [{ name: "mean of a day, last:", values: cost, style: "c0", dots }];
      chart(this.part("learning"), { ...base, title: "Cost of a day in training", unit: "", series: ofCost, log: spread(ofCost) > 20, zero: spread(ofCost) <= 20 }).move(steps.length - 1);
      const outside = { name: "last:", values: share.map((each) => 100 * each), style: "c1", dots };
      chart(this.part("outside"), { ...base, title: "Outside the voltage band in training", unit: "% of buses x steps", series: [outside], zero: true }).move(steps.length - 1);
    }
    (errors || []).forEach((spec, index) => { const place = this.part(`errors-${index}`); if (place) bars(place, spec); });
  }

  // ---- one step ----

  move() {
    const { play, step, day, row } = this, time = this.part("time"), now = `${clock(step * play.step_hours)}`;
    const until = clock((step + 1) * play.step_hours);
    this.part("day").value = day;
    time.value = step;
    time.setAttribute("aria-valuetext", `day ${play.days[day]}, ${now} to ${until}`);
    this.part("now").textContent = `day ${play.days[day]}, ${now} to ${until}`;
    for (const map of this.maps) map.move(row);
    for (const mover of this.movers) mover.move(step);
    if (this.ofDays) this.ofDays.move(this.data.days.days.indexOf(play.days[day]));
    play.runs.forEach((run, index) => {
      const said = {
        low: `${run.low.text(row)} at bus ${run.named[run.low_bus.at(row)]}`, high: `${run.high.text(row)} at bus ${run.named[run.high_bus.at(row)]}`,
        outside: run.outside.text(row), loss: run.loss.text(row), import: run.import.text(row), cost: brief(total(run.cost, row)),
      };
      if (run.low.at(row) === null) said.low = said.high = "power flow failed";
      for (const [name, text] of Object.entries(said)) this.root.querySelector(`[data-figure="${name}"][data-run="${index}"]`).textContent = text;
    });
  }
}

function unpacked(play) {
  const runs = play.runs.map((run) => {
    const recorded = run.recorded.map(unpack);
    for (const numbers of recorded) numbers.used = Array.from({ length: numbers.columns }, (_, column) => numbers.slice(0, numbers.rows, column).some((value) => value));
    const names = ["vm", "flow", "low", "high", "low_bus", "high_bus", "low_of_agents", "high_of_agents", "outside", "loss", "import", "cost", "filled"];
    return { ...run, ...Object.fromEntries(names.map((name) => [name, unpack(run[name])])), recorded };
  });
  return { ...play, demand: unpack(play.demand), solar: unpack(play.solar), price: unpack(play.price), runs };
}

function total(numbers, row) {
  let sum = 0;
  for (let column = 0; column < numbers.columns; column += 1) sum += numbers.at(row, column) || 0;
  return sum;
}

function spread(series) {
  const every = series.flatMap((one) => one.values).filter((value) => value !== null);
  const low = Math.min(...every);
  return low > 0 ? Math.max(...every) / low : 0;
}

// A row of tabs in which arrow keys move, as in the ARIA practices.
function tabs(root) {
  const list = root.querySelector('[role="tablist"]');
  if (!list) return;
  const all = [...list.querySelectorAll('[role="tab"]')];
  const choose = (chosen) => all.forEach((tab, index) => {
    tab.setAttribute("aria-selected", String(index === chosen));
    tab.tabIndex = index === chosen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).classList.toggle("shown", index === chosen);
  });
  all.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index));
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: all.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + all.length) % all.length;
      choose(next);
      all[next].focus();
    });
  });
  list.hidden = false;
  root.classList.add("tabbed");
  choose(0);
}

function start() {
  document.documentElement.classList.add("scripted");
  const sections = [...document.querySelectorAll("section.seed")], views = new Map();
  const showSeed = (chosen) => sections.forEach((section, index) => {
    section.hidden = index !== chosen;
    if (index === chosen && !views.has(index))
      views.set(index, new View(section, JSON.parse(document.getElementById(`data-${index}`).textContent)));
  });
  const picker = document.getElementById("seed");
  if (picker) {
    picker.addEventListener("change", () => showSeed(Number(picker.value)));
    for (const button of document.querySelectorAll("button[data-seed]"))
      button.addEventListener("click", () => { picker.value = button.dataset.seed; showSeed(Number(button.dataset.seed)); });
  }
  const theme = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const say = () => { theme.textContent = shown() === "dark" ? "light" : "dark"; };
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = shown() === "dark" ? "light" : "dark"; say(); });
  dark.addEventListener("change", say);
  say();
  showSeed(0);
}

start();
