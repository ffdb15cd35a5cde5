// The feeder as a tree from its slack: buses coloured by voltage, devices filled, an arrow where each branch's power goes.

// From far below to far above, told apart with any colour vision; in the band they are pale.
const VOLTAGE_COLOURS = [[140, 45, 4], [245, 150, 60], [250, 240, 190], [110, 175, 220], [30, 60, 150]];

function voltageColour(vm, limits) {
  const stops = [limits.hard[0], limits.band[0], (limits.band[0] + limits.band[1]) / 2, limits.band[1], limits.hard[1]];
  if (vm <= stops[0]) return `rgb(${VOLTAGE_COLOURS[0]})`;
  for (let index = 1; index < stops.length; index += 1) {
    if (vm > stops[index]) continue;
    const share = (vm - stops[index - 1]) / (stops[index] - stops[index - 1] || 1);
    const mixed = VOLTAGE_COLOURS[index].map((to, part) => Math.round(VOLTAGE_COLOURS[index - 1][part] * (1 - share) + to * share));
    return `rgb(${mixed})`;
  }
  return `rgb(${VOLTAGE_COLOURS[4]})`;
}

function feederMap(container, play, run, onBus) {
  container.replaceChildren();
  const { grid, limits, devices } = play;
  const width = widthOf(container), rows = Math.max(...grid.y) + 1, columns = Math.max(...grid.x) + 1;
  const rowHeight = Math.max(1.5, Math.min(64, 640 / rows)), columnWidth = (width - 36) / Math.max(1, columns - 1);
  const radius = Math.max(1.6, Math.min(7, 0.32 * columnWidth, 0.36 * rowHeight));
  const roomy = rowHeight >= 40, height = 26 + rowHeight * (rows - 1) + (roomy ? 52 : 26);
  const x = grid.x.map((at) => 18 + at * columnWidth), y = grid.y.map((at) => 22 + (rows - 1 - at) * rowHeight);
  const root = canvas(container, width, height, `feeder ${grid.name}: buses coloured by voltage`);

  grid.before.forEach((parent, bus) => {
    if (parent < 0 || grid.agent[bus] < 0 || grid.agent[bus] !== grid.agent[parent]) return;
    const ends = { x1: x[parent], y1: y[parent], x2: x[bus], y2: y[bus], "stroke-width": 2.2 * radius + 4 };
    svg("line", { ...ends, class: `halo c${grid.agent[bus] % 6}` }, root);
  });
  for (const [start, end, closed] of grid.beside)
    svg("line", { x1: x[start], y1: y[start], x2: x[end], y2: y[end], class: closed ? "branch loop" : "branch open" }, root);
  const branches = grid.before.map((parent, bus) =>
    parent < 0 ? null : svg("line", { x1: x[parent], y1: y[parent], x2: x[bus], y2: y[bus], class: "branch" }, root));
  const arrows = grid.before.map((parent, bus) => (parent < 0 ? null : svg("path", { class: "arrow" }, root)));
  const every = Math.ceil(18 / columnWidth), drawn = devices.map((device) => symbol(root, device, x, y, radius, roomy && columnWidth > 30, devices));
  const circles = grid.labels.map((label, bus) => {
    const slack = grid.before[bus] < 0, size = slack ? radius * 1.1 : radius;
    const shape = slack
      ? svg("rect", { x: x[bus] - size, y: y[bus] - size, width: 2 * size, height: 2 * size, class: "bus" }, root)
      : svg("circle", { cx: x[bus], cy: y[bus], r: size, class: "bus" }, root);
    shape.addEventListener("click", () => onBus(bus));
    if (rowHeight >= 18 && grid.x[bus] % every === 0) svg("text", { x: x[bus], y: y[bus] - radius - 3, class: "label" }, root, label.slice(0, 6));
    return { shape, title: svg("title", {}, shape, "") };
  });
  const most = run.flow ? largest(run.flow) : 0;

  return {
    move(row) {
      circles.forEach(({ shape, title }, bus) => {
        const vm = run.vm.at(row, bus), outside = vm !== null && (vm < limits.hard[0] || vm > limits.hard[1]);
        shape.setAttribute("fill", vm === null ? "none" : voltageColour(vm, limits));
        shape.setAttribute("class", outside ? "bus outside" : "bus");
        title.textContent = `bus ${grid.labels[bus]}: ${run.vm.text(row, bus)} pu`;
      });
      arrows.forEach((arrow, bus) => {
        if (!arrow) return;
        const parent = grid.before[bus], flow = run.flow ? run.flow.at(row, bus) : null;
        const share = flow === null || !most ? 0 : Math.sqrt(Math.abs(flow) / most);
        branches[bus].setAttribute("stroke-width", (1 + 2.6 * share).toFixed(2));
        const size = share < 0.02 ? 0 : Math.min(1.15 * radius, 0.34 * Math.hypot(x[bus] - x[parent], y[bus] - y[parent])) * (0.45 + 0.55 * share);
        arrow.setAttribute("d", `M${size} 0L${-0.8 * size} ${-0.75 * size}L${-0.8 * size} ${0.75 * size}Z`);
        const angle = (Math.atan2(y[bus] - y[parent], x[bus] - x[parent]) * 180) / Math.PI + (flow < 0 ? 180 : 0);
        arrow.setAttribute("transform", `translate(${((x[bus] + x[parent]) / 2).toFixed(1)} ${((y[bus] + y[parent]) / 2).toFixed(1)}) rotate(${angle.toFixed(1)})`);
      });
      drawn.forEach((show, number) => show(run.filled.at(row, number) || 0, run.recorded[number], row));
    },
  };
}

function largest(numbers) {
  let most = 0;
  for (let row = 0; row < numbers.rows; row += 1)
    for (let column = 0; column < numbers.columns; column += 1) most = Math.max(most, Math.abs(numbers.at(row, column) || 0));
  return most;
}

// A device below its bus, those of one bus side by side; returns what fills it and writes its first power.
function symbol(root, device, x, y, radius, withText, devices) {
  const beside = devices.filter((other) => other.bus === device.bus), place = beside.indexOf(device) - (beside.length - 1) / 2;
  const size = Math.max(3, Math.min(7, radius)), left = x[device.bus] + place * 3 * size, top = y[device.bus] + radius + 4;
  const group = svg("g", { transform: `translate(${left} ${top})`, class: "device" }, root);
  svg("title", {}, group, `${device.noun} ${device.label}`);
  let fill;
  if (device.shape === "tank") {
    svg("rect", { x: -size / 3, y: -2, width: (2 * size) / 3, height: 2.5, class: "outline solid" }, group);
    svg("rect", { x: -size, y: 0, width: 2 * size, height: 2.4 * size, class: "outline" }, group);
    const inside = svg("rect", { x: -size + 1, width: 2 * size - 2, class: "charge" }, group), tall = 2.4 * size - 2;
    fill = (share) => { inside.setAttribute("y", 1 + tall * (1 - share)); inside.setAttribute("height", tall * share); };
  } else {
    const middle = 1.2 * size;
    if (device.shape === "sun") for (let ray = 0; ray < 8; ray += 1)
      svg("line", { x1: 0, x2: 0, y1: -1.1 * size, y2: -1.5 * size, transform: `translate(0 ${middle}) rotate(${45 * ray})`, class: "ray" }, group);
    svg("circle", { cx: 0, cy: middle, r: size * 0.9, class: "outline" }, group);
    const inside = svg("circle", { cx: 0, cy: middle, class: device.shape === "sun" ? "sun" : "other" }, group);
    fill = (share) => inside.setAttribute("r", 0.8 * size * Math.sqrt(share));
  }
  const power = device.recorded.findIndex((one) => one.unit === "MW");
  const text = withText && power >= 0 ? svg("text", { x: 0, y: 2.4 * size + 11, class: "label" }, group, "") : null;
  return (share, recorded, row) => {
    fill(share);
    if (text) text.textContent = fixed(recorded.at(row, power), Math.min(recorded.decimals, 2));
  };
}

function voltageScale(container, limits) {
  container.replaceChildren();
  const width = Math.min(widthOf(container), 460), low = limits.hard[0], high = limits.hard[1], n = 60;
  const root = canvas(container, width, 40, `voltage colours from ${low} to ${high} pu`);
  const at = (vm) => 20 + ((vm - low) / (high - low)) * (width - 40);
  for (let index = 0; index < n; index += 1) {
    const vm = low + ((index + 0.5) / n) * (high - low);
    svg("rect", { x: 20 + (index * (width - 40)) / n, y: 4, width: (width - 40) / n + 0.6, height: 12, fill: voltageColour(vm, limits) }, root);
  }
  for (const vm of [low, ...limits.band, high]) {
    svg("line", { x1: at(vm), x2: at(vm), y1: 4, y2: 20, class: "zero" }, root);
    svg("text", { x: at(vm), y: 33, class: "tick middle" }, root, brief(vm));
  }
}
