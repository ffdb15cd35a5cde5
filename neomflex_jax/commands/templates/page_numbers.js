// Numbers as the page carries them: whole numbers of a decimal unit (packed.py), so that text is exact.

function unpack(packed) {
  if (!packed) return null;
  const bytes = Uint8Array.from(atob(packed.base64), (letter) => letter.charCodeAt(0));
  const whole = packed.bits === 16 ? new Int16Array(bytes.buffer) : new Int32Array(bytes.buffer);
  const missing = packed.bits === 16 ? -(2 ** 15) : -(2 ** 31);
  const { columns, decimals } = packed;
  const at = (row, column = 0) => {
    const value = whole[row * columns + column];
    return value === missing || value === undefined ? null : value / 10 ** decimals;
  };
  return {
    columns, decimals, at, rows: whole.length / columns,
    text: (row, column = 0) => fixed(at(row, column), decimals),
    slice: (first, count, column = 0) => Array.from({ length: count }, (_, step) => at(first + step, column)),
  };
}

function fixed(value, decimals) {
  if (value === null || value === undefined) return "n/a";
  const text = value.toFixed(decimals);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

// About four significant digits, for axes and for what is not carried packed.
function brief(value) {
  if (value === null || value === undefined) return "n/a";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace("-", "\u2212").replace("e+", "e");
  if (size >= 1e4) return Math.round(value).toLocaleString("en").replace("-", "\u2212");
  return String(Number(value.toPrecision(4))).replace("-", "\u2212");
}

// With as many decimals as neighbours need to differ.
function tickText(value, step) {
  if (step === null || step >= 1 || step < 1e-4 || value === 0) return brief(value);
  return fixed(value, Math.ceil(-Math.log10(step) - 1e-9));
}

function clock(hours) {
  const minutes = Math.round(hours * 60);
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) || 10 * power;
  const found = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * step; tick += step) found.push(tick);
  return found;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
    for (const each of [1, 2, 5]) if (each * 10 ** power >= low && each * 10 ** power <= high) found.push(each * 10 ** power);
  return found;
}
