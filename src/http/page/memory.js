// The pool: whose each page is, as a map of squares, in words, and over the last two minutes.

import {byId, bytes, count, el, setText, svg} from "./dom.js";
import {Plot} from "./plot.js";
import {onState, samples, state} from "./state.js";

// Colour and pattern say the same, for those who do not see the one or the other.
const kOwners = [
  {key: "sequence", letter: "s", name: "running sequences", cell: "KV of a running sequence"},
  {key: "prefix", letter: "p", name: "cached prefixes", cell: "a cached prefix"},
  {key: "adapter", letter: "a", name: "adapters", cell: "an adapter"},
  {key: "free", letter: "f", name: "free", cell: "free"},
];
const kHeightMax = 420;
let cells = [];  // [{owner, number}]
let chosen = -1;
let grid = {columns: 1, size: 1};
let bands = null;

export function startMemory() {
  const patterns = svg("svg", {width: 0, height: 0, "aria-hidden": "true", class: "hidden"}, svg("defs", {}, ...kOwners.map(patternOf)));
  document.body.append(patterns);
  bands = new Plot({
    title: "Pages by owner", seconds: 120, isStacked: true, text: (value) => count(Math.round(value)),
    series: kOwners.map((owner) => ({name: owner.name, key: owner.key, value: (index) => samples[index].pages[owner.key]})),
    top: () => pageCount(state.pool.pages),
  });
  byId("bands").append(bands.root);
  const map = byId("pool-map");
  map.addEventListener("pointermove", (event) => choose(cellAt(event)));
  map.addEventListener("pointerdown", (event) => choose(cellAt(event)));
  map.addEventListener("keydown", (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns}[event.key];
    if (step === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(chosen < 0 ? 0 : chosen + step, 0), cells.length - 1));
  });
  new ResizeObserver(drawMap).observe(map.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  onState((now) => now && showMemory());
}

const pageCount = (pages) => Object.values(pages).reduce((sum, value) => sum + value, 0);

export function showMemory() {
  if (!state || byId("view-memory").hidden) return;
  const {pages, page_bytes: pageBytes, map} = state.pool;
  const total = pageCount(pages);
  setText(byId("pool-words"), `Of ${count(total)} pages of ${bytes(pageBytes)}, ${kOwners.map((owner) => wordsOf(owner, pages)).join(", ")}. ` +
    `Prefixes and idle adapters, ${count(state.pool.evictable)} pages, stay until their space is needed.`);
  byId("pool-legend").replaceChildren(...kOwners.map((owner) => el("li", {},
    svg("svg", {viewBox: "0 0 14 14", "aria-hidden": "true"}, svg("rect", {width: 14, height: 14, rx: 2, fill: `url(#pattern-${owner.key})`})),
    `${owner.name}: ${count(pages[owner.key])} pages, ${bytes(pages[owner.key] * pageBytes)}`)));
  cells = (map?.runs ?? "").split(" ").filter(Boolean).flatMap((run) => {
    const [, letter, length, number] = run.match(/^(\w)(\d+)(?::(\d+))?$/);
    return Array(Number(length)).fill({owner: kOwners.find((owner) => owner.letter === letter), number: Number(number ?? 0)});
  });
  drawMap();
  describeCell();
  bands.draw(samples);
}

function wordsOf(owner, pages) {
  const value = pages[owner.key];
  if (owner.key === "free") return `${count(value)} ${value === 1 ? "is" : "are"} free`;
  return `${count(value)} ${value === 1 ? "holds" : "hold"} ${owner.name}`;
}

function choose(index) {
  chosen = index;
  drawMap();
  describeCell();
}

function describeCell() {
  const cell = cells[chosen];
  if (!cell) return;
  const per = state.pool.map.pages_per_cell;
  const first = chosen * per;
  const which = per === 1 ? `Page ${count(first)}` : `Pages ${count(first)} to ${count(Math.min(first + per, pageCount(state.pool.pages)) - 1)}, most of them`;
  const name = state.adapters.list.find((adapter) => cell.number !== 0 && adapter.number === cell.number)?.name;
  const whose = !name ? cell.owner.cell : cell.owner.key === "adapter" ? `adapter ${name}` : `a cached prefix of adapter ${name}`;
  setText(byId("pool-cell"), `${which}: ${whose}`);
}

function cellAt(event) {
  const box = byId("pool-map").getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / grid.size);
  const index = Math.floor((event.clientY - box.top) / grid.size) * grid.columns + column;
  return column < grid.columns && index < cells.length ? index : -1;
}

// Squares as large as fit the width and a height that leaves the rest of the view in sight.
function drawMap() {
  const map = byId("pool-map");
  const width = map.clientWidth;
  if (width === 0 || cells.length === 0) return;
  const sizes = [22, 20, 18, 16, 14, 12, 10, 8];
  const rowsOf = (size) => Math.ceil(cells.length / Math.floor(width / size));
  const size = sizes.find((each) => rowsOf(each) * each <= kHeightMax) ?? 7;
  grid = {size, columns: Math.floor(width / size)};
  const scale = devicePixelRatio;
  map.width = width * scale;
  map.height = rowsOf(size) * size * scale;
  map.style.height = `${rowsOf(size) * size}px`;
  const context = map.getContext("2d");
  context.scale(scale, scale);
  // As the patterns have them, for the scheme of now.
  const colours = Object.fromEntries(kOwners.map(({key}) => [key, getComputedStyle(document.querySelector(`.fill.${key}`)).fill]));
  const mark = getComputedStyle(document.querySelector(".mark.dot")).fill;
  const edge = size - (size > 9 ? 2 : 1);
  cells.forEach((cell, index) => {
    const [x, y] = [(index % grid.columns) * size, Math.floor(index / grid.columns) * size];
    context.fillStyle = colours[cell.owner.key];
    context.fillRect(x, y, edge, edge);
    context.strokeStyle = context.fillStyle = mark;
    if (cell.owner.key === "adapter") line(context, x, y + edge, x + edge, y);
    if (cell.owner.key === "prefix") context.fillRect(x + edge / 3, y + edge / 3, edge / 3, edge / 3);
    if (index !== chosen) return;
    context.strokeStyle = getComputedStyle(map).color;
    context.lineWidth = 2;
    context.strokeRect(x, y, edge, edge);
    context.lineWidth = 1;
  });
}

function line(context, fromX, fromY, toX, toY) {
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
  context.stroke();
}

// The same for the bands and the legend.
function patternOf(owner) {
  const marks = {
    adapter: svg("path", {d: "M-1,1l2,-2M0,7l7,-7M6,8l2,-2", class: "mark"}),
    prefix: svg("circle", {cx: 3.5, cy: 3.5, r: 1.2, class: "mark dot"}),
  };
  return svg("pattern", {id: `pattern-${owner.key}`, width: 7, height: 7, patternUnits: "userSpaceOnUse"},
    svg("rect", {width: 7, height: 7, class: `fill ${owner.key}`}), marks[owner.key] ?? null);
}
