// The page: choosing, moving, explaining. Whatever comes from the history goes to the page as text, never as markup.

const histories = JSON.parse(document.getElementById('data').textContent).map(unpackHistory);
const element = id => document.getElementById(id);
const canvas = element('canvas'), map = element('map'), tip = element('tip');
const picture = new Picture(canvas, map);
const MOST_CHOICES = 2000;
const MARKS = { linearizable: '✓', violation: '✗', unknown: '?' };
const VERDICTS = { linearizable: 'linearizable', violation: 'not linearizable', unknown: 'undecided' };
let history = histories[0], key = 0, bySequence = true;

function node(tag, text, ...children) {
  const made = document.createElement(tag);
  made.append(text, ...children);
  return made;
}

function choose(file) {
  history = histories[file];
  document.title = history.title;
  element('title').textContent = history.title;
  element('title').title = history.title;
  element('filter').hidden = history.keys.length <= 20;
  element('filter').value = '';
  const worst = history.keys.findIndex(k => k.verdict === 'violation');
  const doubtful = history.keys.findIndex(k => k.verdict === 'unknown');
  listKeys();
  chooseKey(worst >= 0 ? worst : doubtful >= 0 ? doubtful : 0);
}

function listKeys() {
  const filter = element('filter').value, options = [];
  if (history.keys.length > 1) options.push(new Option(`all ${history.keys.length} keys`, '-1'));
  // What is wrong comes first, then the order of the file.
  for (const verdict of ['violation', 'unknown', 'linearizable']) {
    history.keys.forEach((k, i) => {
      if (k.verdict !== verdict || !k.name.includes(filter) || options.length > MOST_CHOICES) return;
      options.push(new Option(`${MARKS[verdict]} ${k.name}`, String(i)));
    });
  }
  element('key').replaceChildren(...options);
}

function chooseKey(chosen) {
  key = history.keys.length ? chosen : -1;
  element('key').value = String(key);
  refresh();
}

// Lays out anew; for another key, another file or another axis.
function refresh() {
  picture.show(history, layOut(history, key, bySequence));
  const verdict = key < 0 ? history.verdict : history.keys[key].verdict;
  element('verdict').textContent = VERDICTS[verdict];
  element('verdict').className = `badge ${verdict}`;
  element('show').hidden = !picture.layout.window.length;
  element('scale').textContent = bySequence ? 'axis: order of events' : 'axis: real time';
  tell(verdict);
  showContradiction();
}

function showContradiction() {
  const { window, chosen } = picture.layout;
  if (window.length && key >= 0) picture.reachOperations(window);
  // Of a long history first show as much as can be read.
  else if (chosen.length > 300) picture.reach(picture.layout.low, picture.layout.from[chosen[120]]);
  else picture.fit();
}

function tell(verdict) {
  const { window, chosen, order, rows } = picture.layout, story = element('story');
  const clients = new Set(rows.filter(row => row.client >= 0).map(row => row.client)).size;
  const errors = history.events.at.length, drawn = history.ops.key.length;
  const count = `${chosen.length.toLocaleString('en')} operations of ${clients.toLocaleString('en')} clients${errors ? `, ${errors.toLocaleString('en')} errors` : ''}${
    drawn < history.whole ? ` (drawn are ${drawn.toLocaleString('en')} of all ${history.whole.toLocaleString('en')} operations)` : ''}`;
  story.replaceChildren();
  if (key < 0) return story.append(node('p', `${count} on ${history.keys.length} keys. Keys are judged one by one: choose one to see its order or its contradiction.`));
  if (verdict === 'linearizable') {
    story.append(node('p', `${count}. The numbered points show an order that explains every answer${order.length < chosen.length ? '; operations without a point told nothing or need not have happened' : ''}.`));
  } else if (verdict === 'unknown') {
    story.append(node('p', `${count}. The search was cut off before it found an order or ruled all out. This is not a pass.`));
  } else {
    const first = headline(history, window);
    story.append(node('p', `No order of operations explains this key. ${window.length === 1 ? 'This operation alone shows it' : `These ${window.length} of ${count} contradict each other`}${first ? ': ' : '.'}`, node('b', first)));
    const list = document.createElement('ol');
    for (const op of window.slice(0, 40)) {
      const button = node('button', `client ${history.clients[history.ops.client[op]]}: ${words(history, op)}`);
      button.onclick = () => { picture.hovered = op; picture.reachOperations([op]); };
      list.append(node('li', button));
    }
    story.append(list);
    const said = window.length <= 12 ? facts(history, window) : [];
    if (!said.length || said.length > 8) return;
    story.append(node('p', `What real time says: ${said.join('; ')}.`));
    story.lastChild.className = 'facts';
  }
}

function details(op) {
  const { ops } = history, known = ops.ret[op] >= 0, place = picture.layout.order.indexOf(op);
  return [
    words(history, op),
    `client ${history.clients[ops.client[op]]}, key ${history.keys[ops.key[op]].name}`,
    known ? `called ${moment(ops.invoke[op])}, answered ${moment(ops.ret[op])}, took ${span(history, ops.ret[op] - ops.invoke[op])}`
      : `called ${moment(ops.invoke[op])}, outcome unknown: it may have happened at any later time, or never`,
    place >= 0 ? `number ${place + 1} in the order` : key >= 0 && picture.layout.order.length ? 'not in the order: it need not have happened' : '',
    picture.layout.inWindow.has(op) ? 'part of the contradiction' : '',
    `operation ${(ops.number[op] + 1).toLocaleString('en')} of the history`,
  ].filter(Boolean).join('\n');
}

// Times of a known unit count from the first operation; others are as in the file.
function moment(time) {
  return history.unit ? `at ${span(history, time, time / 1e5)}` : `${time.toLocaleString('en')}${history.origin === '0' ? '' : ` after ${history.origin}`}`;
}

function hover(event) {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  const op = picture.at(x, y);
  if (op !== picture.hovered) { picture.hovered = op; picture.ask(); }
  const error = op < 0 ? picture.eventAt(x, y) : -1;
  tip.hidden = op < 0 && error < 0;
  if (tip.hidden) return;
  tip.textContent = op >= 0 ? details(op) : `${history.events.texts[error]}\n${moment(history.events.at[error])}`;
  const room = canvas.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(Math.min(x + 14, room), 4)}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > canvas.clientHeight ? Math.max(y - tip.offsetHeight - 10, 2) : y + 18}px`;
}

let grip = null, moved = false;
canvas.onpointerdown = event => { grip = [event.clientX, event.clientY]; moved = false; canvas.setPointerCapture(event.pointerId); };
canvas.onpointermove = event => {
  if (!grip) return hover(event);
  const dx = event.clientX - grip[0], dy = event.clientY - grip[1];
  if (!moved && Math.hypot(dx, dy) < 4) return;
  moved = true;
  tip.hidden = true;
  canvas.className = 'dragging';
  picture.move(dx, dy);
  grip = [event.clientX, event.clientY];
};
canvas.onpointerup = event => {
  if (grip && !moved) {
    hover(event);
    const value = picture.hovered < 0 ? null : mainValue(history, picture.hovered);
    picture.marked = value === picture.marked ? null : value;
    picture.ask();
  }
  grip = null;
  canvas.className = '';
};
canvas.onpointercancel = () => { grip = null; canvas.className = ''; };
canvas.onpointerleave = () => { tip.hidden = true; picture.hovered = -1; picture.ask(); };
canvas.onwheel = event => {
  event.preventDefault();
  tip.hidden = true;
  const unit = event.deltaMode === 1 ? 20 : 1;
  if (event.shiftKey) picture.move(0, -(event.deltaY || event.deltaX) * unit);
  else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) picture.move(-event.deltaX * unit, 0);
  else picture.zoom(Math.exp(-event.deltaY * unit * 0.002), event.clientX - canvas.getBoundingClientRect().left);
};
canvas.ondblclick = event => picture.zoom(2, event.clientX - canvas.getBoundingClientRect().left);

map.onpointerdown = map.onpointermove = event => {
  if (!(event.buttons & 1)) return;
  const { low, high } = picture.layout, share = (event.clientX - map.getBoundingClientRect().left) / map.clientWidth;
  picture.start = low + share * (high - low) - picture.width / picture.scale / 2;
  picture.clamp();
};

const actions = {
  '+': () => picture.zoom(1.5), '=': () => picture.zoom(1.5), '-': () => picture.zoom(1 / 1.5), '0': () => picture.fit(),
  w: showContradiction, t: () => { bySequence = !bySequence; refresh(); },
  ArrowLeft: () => picture.move(120, 0), ArrowRight: () => picture.move(-120, 0),
  ArrowUp: () => picture.move(0, ROW), ArrowDown: () => picture.move(0, -ROW), Escape: () => { picture.marked = null; picture.ask(); },
};
document.onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey || ['SELECT', 'INPUT'].includes(event.target.tagName) || !actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
};
for (const [id, action] of [['in', '+'], ['out', '-'], ['fit', '0'], ['show', 'w'], ['scale', 't']]) element(id).onclick = actions[action];
element('theme').onclick = () => {
  document.documentElement.style.colorScheme = picture.dark ? 'light' : 'dark';
  repaint();
};
element('file').onchange = event => choose(Number(event.target.value));
element('key').onchange = event => chooseKey(Number(event.target.value));
element('filter').oninput = () => {
  listKeys();
  const shown = [...element('key').options].map(option => Number(option.value));
  if (!shown.includes(key) && shown.length) chooseKey(shown[shown.length - 1]);
  else element('key').value = String(key);
};

function repaint() {
  picture.readColours();
  drawLegend();
  picture.ask();
}

// Small samples, drawn by the same hand as the bars.
function drawLegend() {
  const kinds = [[WRITE, 1, 'write'], [READ, 1, 'read of the same value'], [DELETE, ABSENT, 'delete'], [CAS, 2, 'compare-and-set'],
    [REFUSED, 1, 'refused'], [WRITE, 1, 'outcome unknown', true]];
  element('legend').replaceChildren(...kinds.map(([kind, value, text, open]) => {
    const sample = document.createElement('canvas'), item = node('span', sample, text);
    element('legend').append(item);
    const brush = Object.create(picture);
    brush.c = Picture.prepare(sample);
    brush.canvas = { clientWidth: 44 + GUTTER };
    brush.c.translate(-GUTTER, 0);
    brush.layout = { inWindow: new Set(), window: [], chosen: { length: Infinity }, events: [] };
    brush.history = { values: ['', 'a', 'b'], ops: { kind: [kind], a: [kind === CAS ? 1 : value], b: [value], ret: [open ? -1 : 1] } };
    brush.marked = null;
    brush.hovered = -1;
    brush.drawBar(0, GUTTER, GUTTER + 44, 0);
    return item;
  }));
}

histories.forEach((h, i) => element('file').append(new Option(`${MARKS[h.verdict]} ${h.title.length > 44 ? `…${h.title.slice(-43)}` : h.title}`, String(i))));
element('file-choice').hidden = histories.length < 2;
element('title').hidden = histories.length > 1;
choose(Math.max(histories.findIndex(h => h.verdict === 'violation'), 0));
drawLegend();
// At once: the old drawing would be stretched to the new size for a frame.
new ResizeObserver(() => { picture.clamp(); picture.draw(); }).observe(canvas);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
