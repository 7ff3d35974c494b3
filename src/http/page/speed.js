// How fast the server is: requests, tokens and latencies of the last ten minutes.

import {byId, count, duration, el, rate, setText} from "./dom.js";
import {Plot} from "./plot.js";
import {onState, quantile, samples, tokensPerSecond} from "./state.js";

const kSeconds = 600;
const quantiles = (name) => [
  {name: "p50", key: "first", value: (index) => quantile(index, name, 0.5)},
  {name: "p99", key: "second", value: (index) => quantile(index, name, 0.99)},
];
const whole = (value) => (Number.isInteger(value) ? count(value) : value.toFixed(1));

const kPlots = [
  {title: "Requests", text: whole, series: [
    {name: "running", key: "first", value: (index) => samples[index].running},
    {name: "waiting", key: "second", value: (index) => samples[index].waiting},
  ]},
  {title: "Tokens a second", text: rate, series: [{name: "output", key: "first", value: tokensPerSecond}]},
  {title: "Time to first token", text: duration, series: quantiles("first")},
  {title: "Between tokens", text: duration, series: quantiles("between")},
  {title: "In the queue", text: duration, series: quantiles("queue")},
];
const kTiles = [
  ["Running", (index) => count(samples[index].running)],
  ["Waiting", (index) => count(samples[index].waiting)],
  ["Tokens a second", (index) => rate(tokensPerSecond(index))],
  ["First token, p50", (index) => duration(quantile(index, "first", 0.5))],
  ["First token, p99", (index) => duration(quantile(index, "first", 0.99))],
  ["Between tokens, p50", (index) => duration(quantile(index, "between", 0.5))],
];

let plots = [];
let tiles = [];

export function startSpeed() {
  plots = kPlots.map((each) => new Plot({seconds: kSeconds, ...each}));
  byId("plots").append(...plots.map((plot) => plot.root));
  tiles = kTiles.map(([name, text]) => ({text, value: el("dd", {}, "–"), name}));
  byId("tiles").append(...tiles.map((tile) => el("div", {}, el("dt", {}, tile.name), tile.value)));
  onState((state) => state && showSpeed());
}

export function showSpeed() {
  if (samples.length === 0 || byId("view-speed").hidden) return;
  for (const tile of tiles) setText(tile.value, tile.text(samples.length - 1));
  for (const plot of plots) plot.draw(samples);
}
