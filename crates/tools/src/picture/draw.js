// The canvas. It draws what is visible and nothing else, so the size of the history hardly matters.

const ROW = 34, BAR = 18, TOP = 26, GUTTER = 118, CHAR = 6.7;
const BAR_FONT = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
const TEXT_FONT = '12px system-ui, sans-serif';
// More points than this on the screen are a smear, not an order.
const MOST_POINTS = 1500;

class Picture {
  constructor(canvas, map) {
    this.canvas = canvas;
    this.map = map;
    this.hovered = -1;
    this.marked = null;
    this.asked = false;
    this.readColours();
  }

  readColours() {
    const probe = document.createElement('i');
    document.body.append(probe);
    const read = name => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    this.colours = Object.fromEntries(['paper', 'panel', 'stripe', 'line', 'ink', 'soft', 'good', 'bad', 'neutral'].map(n => [n, read(n)]));
    probe.remove();
    const [r, g, b] = this.colours.paper.match(/\d+/g).map(Number);
    this.dark = r + g + b < 380;
  }

  show(history, layout) {
    this.history = history;
    this.layout = layout;
    this.hovered = -1;
    this.marked = null;
    this.top = 0;
    this.fit();
  }

  get width() { return Math.max(this.canvas.clientWidth - GUTTER, 1); }
  get height() { return this.canvas.clientHeight - TOP; }
  x(time) { return GUTTER + (time - this.start) * this.scale; }
  time(x) { return this.start + (x - GUTTER) / this.scale; }

  fit() { this.reach(this.layout.low, this.layout.high); }

  // Shows these times, with a margin.
  reach(from, to) {
    const span = Math.max(to - from, 1e-9);
    this.scale = this.width / (span * 1.08);
    this.start = from - span * 0.04;
    this.clamp();
  }

  // Shows these operations: all of them in time, and the first of them in height.
  reachOperations(operations) {
    if (!operations.length) return this.fit();
    const { from, to, rowOf, high } = this.layout;
    const starts = operations.map(op => from[op]);
    const ends = operations.map(op => (this.history.ops.ret[op] < 0 ? Math.min(to[op], high) : to[op]));
    const low = Math.min(...starts), end = Math.max(...ends), margin = Math.max((end - low) * 0.25, 0.5);
    this.reach(low - margin, end + margin);
    const rows = operations.map(op => rowOf[op]);
    this.top = (Math.min(...rows) + Math.max(...rows) + 1) / 2 * ROW - this.height / 2;
    if ((Math.max(...rows) - Math.min(...rows) + 1) * ROW > this.height) this.top = Math.min(...rows) * ROW - ROW / 2;
    this.clamp();
  }

  zoom(factor, x = GUTTER + this.width / 2) {
    const fixed = this.time(x);
    const widest = this.width / ((this.layout.high - this.layout.low) * 1.3);
    this.scale = Math.min(Math.max(this.scale * factor, widest), this.width / 1e-3);
    this.start = fixed - (x - GUTTER) / this.scale;
    this.clamp();
  }

  move(dx, dy) {
    this.start -= dx / this.scale;
    this.top -= dy;
    this.clamp();
  }

  clamp() {
    const { low, high, rows } = this.layout, span = this.width / this.scale, slack = Math.max(span, high - low) * 0.3;
    this.start = Math.min(Math.max(this.start, low - slack), Math.max(high + slack - span, low - slack));
    this.top = Math.min(Math.max(this.top, 0), Math.max(rows.length * ROW - this.height + ROW / 2, 0));
    this.ask();
  }

  // Draws with the next frame, however often it is asked.
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); });
  }

  static prepare(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const c = canvas.getContext('2d');
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    return c;
  }

  draw() {
    const c = this.c = Picture.prepare(this.canvas), { rows } = this.layout;
    const firstRow = Math.max(Math.floor(this.top / ROW), 0);
    const endRow = Math.min(Math.ceil((this.top + this.height) / ROW), rows.length);
    c.save();
    c.beginPath();
    c.rect(0, TOP, this.canvas.clientWidth, this.height);
    c.clip();
    for (let row = firstRow; row < endRow; row++) {
      if (rows[row].client % 2) { c.fillStyle = this.colours.stripe; c.fillRect(0, this.y(row), this.canvas.clientWidth, ROW); }
    }
    this.drawBand();
    c.save();
    c.beginPath();
    c.rect(GUTTER, TOP, this.width, this.height);
    c.clip();
    c.font = BAR_FONT;
    c.textBaseline = 'middle';
    for (let row = firstRow; row < endRow; row++) this.drawRow(row);
    this.drawOrder();
    c.restore();
    c.font = TEXT_FONT;
    for (let row = firstRow; row < endRow; row++) {
      c.fillStyle = this.colours.soft;
      c.textBaseline = 'middle';
      if (rows[row].name !== '') c.fillText(shorten(rows[row].name, 16), 12, this.y(row) + ROW / 2, GUTTER - 18);
    }
    c.restore();
    this.drawAxis();
    this.drawMap();
  }

  y(row) { return TOP + row * ROW - this.top; }

  drawBand() {
    const { window, from, to } = this.layout, c = this.c;
    if (!window.length || window.length > 100) return;
    let low = Infinity, high = -Infinity;
    for (const op of window) { low = Math.min(low, from[op]); high = Math.max(high, to[op]); }
    c.globalAlpha = 0.08;
    c.fillStyle = this.colours.bad;
    const left = Math.max(this.x(low) - 4, GUTTER);
    c.fillRect(left, TOP, Math.max(this.x(high) + 4 - left, 0), this.height);
    c.globalAlpha = 1;
  }

  drawRow(row) {
    const { from, to } = this.layout, { ops, client } = this.layout.rows[row];
    if (client < 0) return this.drawEvents(this.y(row) + 5);
    const left = this.time(GUTTER), right = this.time(GUTTER + this.width), y = this.y(row) + 5;
    // In a row bars do not overlap, so ends grow with starts.
    let i = firstAtLeast(ops.length, k => to[ops[k]], left);
    let covered = -Infinity;
    for (; i < ops.length && from[ops[i]] <= right; i++) {
      const op = ops[i], x1 = this.x(from[op]), x2 = Math.max(this.x(to[op]), x1 + 3);
      // Bars that would all end in one column of pixels are drawn once, unless they matter.
      if (x2 < covered + 1.5 && !this.layout.inWindow.has(op)) continue;
      covered = x2;
      this.drawBar(op, x1, x2, y);
    }
  }

  // A mark for each error; many at a time are one.
  drawEvents(y) {
    const { events } = this.layout, c = this.c, right = this.time(GUTTER + this.width);
    c.fillStyle = this.colours.bad;
    let covered = -Infinity;
    for (let i = firstAtLeast(events.length, k => events[k], this.time(GUTTER)); i < events.length && events[i] <= right; i++) {
      const x = this.x(events[i]);
      if (x < covered) continue;
      c.fillRect(x - 1, y, 2, BAR);
      covered = x + 2;
    }
  }

  // The error under the pointer, or -1.
  eventAt(x, y) {
    const { rows, events } = this.layout, row = Math.floor((y - TOP + this.top) / ROW);
    if (x < GUTTER || y < TOP || row !== 0 || rows[0].client >= 0) return -1;
    const i = firstAtLeast(events.length, k => events[k], this.time(x - 4));
    return i < events.length && this.x(events[i]) <= x + 4 ? i : -1;
  }

  colour(value, alpha = 1) {
    if (value < 0) return this.dark ? `hsl(215 8% 55% / ${alpha})` : `hsl(215 8% 48% / ${alpha})`;
    // The golden ratio keeps the hues of neighbours far apart. Red is left to the contradiction.
    const hue = 45 + (value * 0.618034 + 0.58) % 1 * 275;
    return this.dark ? `hsl(${hue} 62% 66% / ${alpha})` : `hsl(${hue} 58% 40% / ${alpha})`;
  }

  drawBar(op, x1, x2, y) {
    const { ops } = this.history, c = this.c, kind = ops.kind[op], open = ops.ret[op] < 0;
    const guilty = this.layout.inWindow.has(op), value = mainValue(this.history, op);
    const related = this.marked !== null && (ops.a[op] === this.marked || ops.b[op] === this.marked);
    const fades = this.marked !== null ? !related : this.layout.window.length > 0 && !guilty;
    c.globalAlpha = fades ? 0.35 : 1;
    if (x2 - x1 < 4 && !guilty && op !== this.hovered) {
      // Too narrow for anything but its colour, and there may be thousands of them.
      c.fillStyle = this.colour(value, kind === READ || kind === REFUSED || kind === DENIED ? 0.6 : 1);
      c.fillRect(x1, y, x2 - x1, BAR);
      c.globalAlpha = 1;
      return;
    }
    const a = Math.max(x1, GUTTER - 20), b = Math.min(x2, GUTTER + this.width + 20), width = Math.max(b - a, 1);
    const solid = kind !== READ && kind !== REFUSED && kind !== DENIED;
    const paint = alpha => {
      if (!open) return this.colour(value, alpha);
      // An open end: nobody knows when it happened, or whether.
      const gradient = c.createLinearGradient(x1, 0, x2, 0);
      gradient.addColorStop(0, this.colour(value, alpha));
      gradient.addColorStop(1, this.colour(value, alpha * 0.12));
      return gradient;
    };
    c.fillStyle = paint(solid ? 1 : 0.16);
    c.fillRect(a, y, width, BAR);
    if (kind === CAS && width > 6) {
      c.fillStyle = this.colours.paper;
      c.fillRect(a, y, Math.min(width / 3, 14), BAR);
      c.fillStyle = this.colour(ops.a[op], 0.45);
      c.fillRect(a, y, Math.min(width / 3, 14), BAR);
    }
    if (!solid && width > 2) {
      c.strokeStyle = paint(1);
      c.lineWidth = 1.5;
      c.setLineDash(kind === REFUSED || kind === DENIED ? [4, 3] : []);
      c.strokeRect(a + 0.75, y + 0.75, width - 1.5, BAR - 1.5);
      c.setLineDash([]);
    }
    if (open) this.drawTail(op, Math.max(x2, GUTTER), y);
    if (guilty || op === this.hovered) {
      c.globalAlpha = 1;
      c.lineWidth = 2;
      c.strokeStyle = guilty ? this.colours.bad : this.colours.ink;
      c.strokeRect(a - 1.5, y - 1.5, width + 3, BAR + 3);
    }
    const inset = kind === CAS ? Math.min(width / 3, 14) : 0, room = Math.floor((width - 7 - inset) / CHAR);
    if (room >= 1) {
      const text = words(this.history, op);
      c.fillStyle = solid ? (this.dark ? '#14171b' : '#fff') : this.colours.ink;
      c.fillText(text.length <= room ? text : shorten(fewWords(this.history, op), room), a + 4 + inset, y + BAR / 2 + 0.5);
    }
    c.globalAlpha = 1;
  }

  // A dotted line to the end of time, for the few that can be followed with the eye.
  drawTail(op, x, y) {
    if (!this.layout.inWindow.has(op) && op !== this.hovered && this.layout.chosen.length > 400) return;
    const c = this.c;
    c.strokeStyle = this.colour(mainValue(this.history, op), 0.7);
    c.lineWidth = 1.5;
    c.setLineDash([2, 4]);
    c.beginPath();
    c.moveTo(x, y + BAR + 3);
    c.lineTo(Math.min(this.x(this.layout.high), GUTTER + this.width), y + BAR + 3);
    c.stroke();
    c.setLineDash([]);
  }

  drawOrder() {
    const { order, points, rowOf } = this.layout, c = this.c;
    const left = this.time(GUTTER), right = this.time(GUTTER + this.width);
    const first = firstAtLeast(points.length, i => points[i], left);
    const end = firstAtLeast(points.length, i => points[i], right);
    if (end - first > MOST_POINTS || first === end) return;
    const at = i => [this.x(points[i]), this.y(rowOf[order[i]]) + BAR + 8];
    c.strokeStyle = this.colours.good;
    c.lineWidth = 1.2;
    c.globalAlpha = end - first > 300 ? 0.25 : 0.6;
    c.beginPath();
    for (let i = Math.max(first - 1, 0); i < Math.min(end + 1, points.length); i++) c.lineTo(...at(i));
    c.stroke();
    c.globalAlpha = 1;
    let covered = -Infinity;
    for (let i = first; i < end; i++) {
      const [x, y] = at(i);
      c.strokeStyle = this.colours.good;
      c.beginPath();
      c.moveTo(x, y - BAR - 3);
      c.lineTo(x, y);
      c.stroke();
      c.fillStyle = this.colours.good;
      c.beginPath();
      c.arc(x, y, 3, 0, 7);
      c.fill();
      if (x > covered) {
        c.fillStyle = this.colours.soft;
        c.fillText(String(i + 1), x + 5, y + 1);
        covered = x + 12 + CHAR * String(i + 1).length;
      }
    }
  }

  drawAxis() {
    const c = this.c, width = this.canvas.clientWidth, { ticks, bySequence } = this.layout;
    c.fillStyle = this.colours.panel;
    c.fillRect(0, 0, width, TOP);
    c.strokeStyle = this.colours.line;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(0, TOP - 0.5);
    c.lineTo(width, TOP - 0.5);
    c.moveTo(GUTTER - 0.5, 0);
    c.lineTo(GUTTER - 0.5, TOP + this.height);
    c.fillStyle = this.colours.soft;
    c.font = TEXT_FONT;
    c.textBaseline = 'middle';
    c.fillText(bySequence ? 'order of events' : 'time', 12, TOP / 2);
    let step = 10 ** Math.ceil(Math.log10(90 / this.scale));
    if (step / 5 * this.scale > 90) step /= 5; else if (step / 2 * this.scale > 90) step /= 2;
    if (bySequence) step = Math.max(step, 1);
    const right = Math.min(this.time(GUTTER + this.width), this.layout.high);
    for (let k = Math.max(Math.ceil(this.start / step), Math.ceil(this.layout.low / step)); k * step <= right; k++) {
      const time = k * step, x = this.x(time);
      const shown = bySequence ? ticks[time] : time;
      if (x < GUTTER || shown === undefined) continue;
      c.moveTo(x + 0.5, TOP - 6);
      c.lineTo(x + 0.5, TOP);
      c.fillText(span(this.history, shown, bySequence ? shown / 1e4 : step), x + 4, TOP / 2);
    }
    c.stroke();
  }

  // The whole history in a strip: how busy it was, what is wrong, and where we are.
  drawMap() {
    const c = Picture.prepare(this.map), { layout } = this, width = this.map.clientWidth, height = this.map.clientHeight;
    if (this.mapped !== layout || this.counts.length !== width) {
      this.mapped = layout;
      this.counts = new Float64Array(width);
      for (const op of layout.chosen) this.counts[Math.min(Math.floor(this.mapX(layout.from[op])), width - 1)]++;
      this.most = this.counts.reduce((x, y) => Math.max(x, y), 1);
    }
    c.fillStyle = this.colours.neutral;
    this.counts.forEach((count, x) => { if (count) { const h = 2 + (height - 6) * Math.sqrt(count / this.most); c.fillRect(x, height - h, 1, h); } });
    c.fillStyle = this.colours.bad;
    for (const at of layout.events) c.fillRect(this.mapX(at), 5, 1, 5);
    for (const op of layout.window) c.fillRect(this.mapX(layout.from[op]) - 1, 0, Math.max(this.mapX(layout.to[op]) - this.mapX(layout.from[op]), 3), 5);
    const left = this.mapX(this.start), right = this.mapX(this.time(GUTTER + this.width));
    c.strokeStyle = this.colours.ink;
    c.lineWidth = 1.5;
    c.strokeRect(Math.max(left, 1), 1, Math.min(right, width - 1) - Math.max(left, 1), height - 2);
  }

  mapX(time) { return (time - this.layout.low) / (this.layout.high - this.layout.low) * this.map.clientWidth; }

  // The operation under the pointer, or -1.
  at(x, y) {
    const row = Math.floor((y - TOP + this.top) / ROW);
    if (x < GUTTER || y < TOP || row < 0 || row >= this.layout.rows.length) return -1;
    const { ops } = this.layout.rows[row], { from, to } = this.layout;
    for (let i = firstAtLeast(ops.length, k => to[ops[k]], this.time(x - 5)); i < ops.length && this.x(from[ops[i]]) <= x + 2; i++) {
      if (Math.max(this.x(to[ops[i]]), this.x(from[ops[i]]) + 3) >= x - 2) return ops[i];
    }
    return -1;
  }
}

function shorten(text, room) {
  return text.length <= room ? text : room < 3 ? '' : text.slice(0, room - 1) + '…';
}
