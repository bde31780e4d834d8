// The history as the drawing needs it. Everything here is arithmetic; nothing touches the page.

const READ = 0, WRITE = 1, DELETE = 2, CAS = 3, REFUSED = 4, APPEND = 5, TRANSACTION = 6, UPDATE = 7, DENIED = 8;
const ABSENT = -1, NOTHING = -2;
// A client with more operations at a time than this has them drawn over each other.
const MOST_LANES = 400;

// The columns of numbers as `pack.rs` writes them: differences, five bits a digit, the sign in the lowest bit.
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const DIGIT = new Map(Array.from(DIGITS, (character, digit) => [character, digit]));

function unpack(text) {
  const numbers = [];
  let last = 0, value = 0, weight = 1;
  for (const character of text) {
    const digit = DIGIT.get(character);
    value += (digit & 31) * weight;
    weight *= 32;
    if (digit & 32) continue;
    last += value % 2 ? -(value + 1) / 2 : value / 2;
    numbers.push(last);
    value = 0;
    weight = 1;
  }
  return numbers;
}

// A history with its columns as lists of numbers.
function unpackHistory(history) {
  const { ops, keys, events } = history;
  for (const name of Object.keys(ops)) ops[name] = unpack(ops[name]);
  ops.ret = ops.took.map((took, op) => (took < 0 ? -1 : ops.invoke[op] + took));
  for (const key of keys) { key.order = unpack(key.order); key.window = unpack(key.window); }
  events.at = unpack(events.at);
  return history;
}

// A time, or a length of time, for people. `step`: what tells it apart from its neighbours.
function span(history, time, step = time / 1000) {
  if (!history.unit) return (+time.toPrecision(12)).toLocaleString('en');
  const nanoseconds = time * history.unit, size = Math.abs(nanoseconds);
  const [unit, name] = size >= 1e9 ? [1e9, 's'] : size >= 1e6 ? [1e6, 'ms'] : size >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
  const digits = Math.max(0, Math.ceil(-Math.log10(Math.abs(step * history.unit / unit) || 1) - 1e-9));
  return `${(nanoseconds / unit).toLocaleString('en', { maximumFractionDigits: Math.min(digits, 6) })} ${name}`;
}

function valueText(history, value) {
  return value === ABSENT ? '∅' : value === NOTHING ? '' : history.values[value];
}

// The operation in a few words, for bars and lists.
function words(history, op) {
  const { kind, a, b, ret } = history.ops;
  const first = valueText(history, a[op]), second = valueText(history, b[op]);
  const said = [
    () => `read ${first}`, () => `write ${first}`, () => 'delete', () => `cas ${first} → ${second}`,
    () => `cas ${first} → ${second} refused`, () => `append ${first}`, () => first, () => second, () => second,
  ][kind[op]]();
  return ret[op] < 0 ? `${said.trim()} ?` : said;
}

// The same where there is little room: the values, and a sign where they alone would mislead.
function fewWords(history, op) {
  const { kind, a, b } = history.ops;
  const first = valueText(history, a[op]), second = valueText(history, b[op]);
  return [first, first, '∅', `${first}→${second}`, `✗ ${first}`, `+${first}`, first, second, second][kind[op]];
}

// The value that an operation leaves or saw: what gives it its colour.
function mainValue(history, op) {
  return history.ops.kind[op] === CAS ? history.ops.b[op] : history.ops.a[op];
}

// The operations of one key, or of all (key < 0), in rows, with a position in time for both ends of each.
function layOut(history, key, bySequence) {
  const { ops, keys } = history;
  const chosen = [];
  for (let op = 0; op < ops.key.length; op++) if (key < 0 || ops.key[op] === key) chosen.push(op);
  chosen.sort((x, y) => ops.invoke[x] - ops.invoke[y] || x - y);

  const times = [...history.events.at];
  for (const op of chosen) {
    times.push(ops.invoke[op]);
    if (ops.ret[op] >= 0) times.push(ops.ret[op]);
  }
  const ticks = Float64Array.from(times).sort().filter((time, i, all) => i === 0 || time !== all[i - 1]);
  const rank = bySequence ? new Map(Array.from(ticks, (time, i) => [time, i])) : null;
  const place = time => (rank ? rank.get(time) : time);
  const low = ticks.length ? place(ticks[0]) : 0;
  const last = ticks.length ? place(ticks[ticks.length - 1]) : 1;
  const high = last + Math.max((last - low) * 0.03, 1);

  const from = new Float64Array(ops.key.length), to = new Float64Array(ops.key.length);
  const byClient = new Map();
  for (const op of chosen) {
    from[op] = place(ops.invoke[op]);
    to[op] = ops.ret[op] < 0 ? high : place(ops.ret[op]);
    if (!byClient.has(ops.client[op])) byClient.set(ops.client[op], []);
    byClient.get(ops.client[op]).push(op);
  }
  const rowOf = new Int32Array(ops.key.length);
  const rows = [], events = history.events.at.map(place);
  // What clients met besides answers has the first row.
  if (events.length) rows.push({ client: -1, name: 'errors', ops: [], end: Infinity });
  for (const client of [...byClient.keys()].sort((x, y) => x - y)) {
    const mine = byClient.get(client), first = rows.length;
    mine.forEach((op, i) => {
      // An open bar reaches as far as its client kept silent; what comes after is only hinted at.
      if (ops.ret[op] < 0 && i + 1 < mine.length) to[op] = Math.max(from[mine[i + 1]], from[op]);
      let row = first;
      while (row < rows.length && rows[row].end > from[op] && row - first < MOST_LANES) row++;
      if (row === rows.length) rows.push({ client, name: row === first ? `client ${history.clients[client]}` : '', ops: [], end: 0 });
      rows[row].ops.push(op);
      rows[row].end = Math.max(rows[row].end, to[op]);
      rowOf[op] = row;
    });
  }
  const order = key < 0 ? [] : keys[key].order;
  const window = key < 0 ? keys.flatMap(k => k.window) : keys[key].window;
  return { chosen, rows, rowOf, from, to, ticks, bySequence, low, high, order, points: instants(ops, order, from, to, high),
    window, inWindow: new Set(window), events };
}

// An instant for each operation of the order: within its bar, after the one before, and apart where there is room.
function instants(ops, order, from, to, high) {
  const points = new Float64Array(order.length), latest = new Float64Array(order.length);
  for (let i = order.length - 1, bound = high; i >= 0; i--) {
    latest[i] = bound = Math.min(bound, ops.ret[order[i]] < 0 ? high : to[order[i]]);
  }
  for (let i = 0, now = -Infinity; i < order.length; i++) {
    now = Math.max(now, from[order[i]]);
    // Leave as much to those that follow.
    let step = Infinity;
    for (let j = i; j < Math.min(i + 12, order.length); j++) step = Math.min(step, (latest[j] - now) / (j - i + 2));
    points[i] = now += Math.max(step, 0);
  }
  return points;
}

// The first index whose value is at least `wanted`, in a list that grows.
function firstAtLeast(length, valueAt, wanted) {
  let low = 0, high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (valueAt(middle) < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

// What can be said about a contradiction in sentences: who had finished before whom.
function facts(history, window) {
  const { ops } = history;
  const who = op => `client ${history.clients[ops.client[op]]}'s “${words(history, op)}”`;
  const before = (x, y) => ops.ret[x] >= 0 && ops.ret[x] < ops.invoke[y];
  const found = [];
  for (const x of window) for (const y of window) {
    if (before(x, y) && !window.some(z => before(x, z) && before(z, y))) found.push(`${who(x)} had returned before ${who(y)} began`);
  }
  return found;
}

// One sentence for the commonest fault, a late read of what was already over; empty for the others.
function headline(history, window) {
  const { ops } = history;
  const by = op => `client ${history.clients[ops.client[op]]}`;
  if (window.length === 1 && ops.kind[window[0]] === READ) {
    return `${by(window[0])} read ${valueText(history, ops.a[window[0]])}, which nothing in this history explains.`;
  }
  const reads = window.filter(op => ops.kind[op] === READ).sort((x, y) => ops.invoke[y] - ops.invoke[x]);
  for (const read of reads) {
    const seen = ops.a[read];
    const writers = ops.kind.flatMap((kind, op) => (kind !== READ && ops.key[op] === ops.key[read] && mainValue(history, op) === seen ? [op] : []));
    // What the read saw was over when something newer showed, unless somebody could have brought it back.
    const over = op => ops.ret[op] >= 0 && ops.ret[op] < ops.invoke[read] && mainValue(history, op) !== seen
      && writers.every(writer => ops.ret[writer] >= 0 && ops.ret[writer] < ops.invoke[op]);
    const newer = window.filter(op => [READ, WRITE, DELETE].includes(ops.kind[op]) && over(op)).sort((x, y) => ops.ret[y] - ops.ret[x])[0];
    if (newer === undefined) continue;
    const verb = ['already read', 'already written', 'already deleted'][ops.kind[newer]];
    const what = ops.kind[newer] === DELETE ? 'it' : valueText(history, mainValue(history, newer));
    return `${by(read)} read ${valueText(history, seen)} although ${by(newer)} had ${verb} ${what}.`;
  }
  return '';
}
