// Lines and bands over time on SVG, with a table of the same numbers behind a button.

import {el, quietButton, setText, svg} from "./dom.js";

const kHeight = 170;
const kLeft = 46;
const kBottom = 22;
const kTop = 8;
const kTableRows = 12;
const kSpans = [60, 120, 300, 600];  // seconds

export class Plot {
  // `series`: [{name, key, value(index)}] with the key of a CSS class; value may be null. `text` writes a value. `isStacked`: bands.
  constructor({title, seconds, series, text, isStacked = false, top = null}) {
    Object.assign(this, {seconds, series, text, isStacked, top});
    this.legend = el("span", {});
    this.chart = svg("svg", {role: "img", "aria-label": title});
    this.table = el("table", {hidden: true});
    this.button = quietButton("Table", () => this.toggle(), {"aria-pressed": "false", "aria-label": `Table of ${title}`});
    this.root = el("figure", {class: "plot"},
      el("figcaption", {}, el("div", {class: "plot-head"}, el("b", {}, title), this.legend, this.button)), this.chart, this.table);
  }

  toggle() {
    this.table.hidden = !this.table.hidden;
    this.chart.toggleAttribute("hidden", !this.table.hidden);
    this.button.setAttribute("aria-pressed", String(!this.table.hidden));
    this.draw(this.samples);
  }

  draw(samples) {
    this.samples = samples;
    if (samples.length === 0 || this.root.offsetParent === null) return;
    const end = samples.at(-1).time;
    // While there is little to show, less of the past is shown.
    this.span = Math.min(kSpans.find((span) => span >= end - samples[0].time) ?? this.seconds, this.seconds);
    const shown = samples.map((sample, index) => ({age: end - sample.time, index})).filter(({age}) => age <= this.span);
    const values = this.series.map((each) => shown.map(({index}) => each.value(index)));
    this.showLegend(values);
    if (!this.table.hidden) return this.showTable(shown, values);
    this.showChart(shown, values);
  }

  showLegend(values) {
    const parts = this.series.flatMap((each, i) => {
      const now = values[i].at(-1);
      const swatch = this.isStacked ? (i > 0 ? ", " : "") : el("i", {class: `swatch ${each.key}`});
      return [swatch, `${each.name} `, el("b", {}, now === null ? "–" : this.text(now))];
    });
    this.legend.replaceChildren(...parts);
  }

  showChart(shown, values) {
    const width = Math.max(this.chart.clientWidth, 200);
    const stacked = this.isStacked ? values.map((_, i) => shown.map((__, j) => values.slice(0, i + 1).reduce((sum, row) => sum + row[j], 0))) : values;
    const highest = this.top?.() ?? niceTop(Math.max(...stacked.flat().filter((value) => value !== null), 0));
    const x = ({age}) => width - (age / this.span) * (width - kLeft);
    const y = (value) => kTop + (1 - value / highest) * (kHeight - kTop - kBottom);
    const parts = [0, 0.5, 1].flatMap((share) => [
      svg("line", {class: "grid", x1: kLeft, x2: width, y1: y(share * highest), y2: y(share * highest)}),
      svg("text", {x: kLeft - 6, y: y(share * highest) + 4, "text-anchor": "end"}, share === 0 ? "0" : this.text(share * highest)),
    ]);
    for (const share of [1, 0.5, 0]) {
      const age = share * this.span;
      parts.push(svg("text", {x: x({age}), y: kHeight - 4, "text-anchor": share === 1 ? "start" : share === 0 ? "end" : "middle"},
        share === 0 ? "now" : age % 60 === 0 ? `${age / 60} min ago` : `${age} s ago`));
    }
    this.series.forEach((each, i) => {
      if (this.isStacked) {
        const upper = shown.map((sample, j) => `${x(sample).toFixed(1)},${y(stacked[i][j]).toFixed(1)}`);
        const lower = shown.map((sample, j) => `${x(sample).toFixed(1)},${y(i === 0 ? 0 : stacked[i - 1][j]).toFixed(1)}`).reverse();
        parts.push(svg("polygon", {points: [...upper, ...lower].join(" "), fill: `url(#pattern-${each.key})`}));
      } else {
        parts.push(svg("path", {class: `line ${each.key}`, d: pathOf(shown, values[i], x, y)}));
      }
    });
    this.chart.setAttribute("viewBox", `0 0 ${width} ${kHeight}`);
    this.chart.replaceChildren(...parts);
  }

  showTable(shown, values) {
    const step = Math.max(Math.ceil(shown.length / kTableRows), 1);
    const picked = shown.map((_, j) => j).filter((j) => (shown.length - 1 - j) % step === 0).reverse();
    const cell = (value) => el("td", {class: "number"}, value === null ? "–" : this.text(value));
    this.table.replaceChildren(
      el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "When"), ...this.series.map((each) => el("th", {scope: "col", class: "number"}, each.name)))),
      el("tbody", {}, ...picked.map((j) => el("tr", {},
        el("th", {scope: "row"}, shown[j].age < 1 ? "now" : `${Math.round(shown[j].age)} s ago`), ...values.map((row) => cell(row[j]))))));
  }
}

// A line with gaps where there is no value; one value alone is a dot.
function pathOf(shown, values, x, y) {
  let path = "";
  let isDown = false;
  shown.forEach((sample, j) => {
    if (values[j] === null) {
      isDown = false;
      return;
    }
    path += `${isDown ? "L" : "M"}${x(sample).toFixed(1)},${y(values[j]).toFixed(1)}`;
    if (!isDown && (values[j + 1] ?? null) === null) path += "h.1";
    isDown = true;
  });
  return path;
}

// 1, 2 or 5 times a power of ten.
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value);
}
