// Lines over time, drawn by dygraphs. What they show is in the table beside each, too.

import {clock} from "./format.js";

function styleOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colours(count) {
  return Array.from({length: count}, (_, number) => styleOf(`--series-${number}`));
}

// Its legend wants styles in markup, which the page's policy forbids; ours is the table.
Dygraph.PLUGINS = Dygraph.PLUGINS.filter((plugin) => plugin !== Dygraph.Plugins.Legend);

export class Chart {
  // place    an empty element
  // pointed  the element that tells the values under the pointer
  // lines    [{label, of}]: its name, and its value (or null) in a sample
  // format   of a value
  // options  further ones of dygraphs
  constructor(place, pointed, lines, format, options) {
    this.place = place;
    this.pointed = pointed;
    this.lines = lines;
    this.format = format;
    this.furtherOptions = options;
    this.graph = null;
  }

  draw(samples, seconds) {
    if (samples.length === 0) return;
    const rows = this.rows(samples);
    const until = samples.at(-1).at.getTime();
    const changed = {file: rows, dateWindow: [until - seconds * 1000, until]};
    if (this.graph === null) {
      this.graph = new Dygraph(this.place, rows, {...this.options(), ...changed});
    } else {
      this.graph.updateOptions(changed);
    }
  }

  recolour() {
    if (this.graph !== null) this.graph.updateOptions(this.colouring());
  }

  // Where nobody asked for a while the line is interrupted.
  rows(samples) {
    const rows = [];
    let previous = null;
    for (const sample of samples) {
      if (previous !== null && sample.at - previous > 5000) {
        rows.push([new Date(previous.getTime() + 1), ...this.lines.map(() => null)]);
      }
      rows.push([sample.at, ...this.lines.map(({of}) => of(sample) ?? null)]);
      previous = sample.at;
    }
    return rows;
  }

  colouring() {
    return {
      colors: colours(this.lines.length),
      axisLineColor: styleOf("--line"),
      gridLineColor: styleOf("--line"),
    };
  }

  options() {
    return {
      ...this.colouring(),
      labels: ["time", ...this.lines.map(({label}) => label)],
      includeZero: true,
      strokeWidth: 1.5,
      animatedZooms: false,
      interactionModel: {}, // the page scrolls, the chart does not
      axes: {
        x: {axisLabelFormatter: (date) => clock(date), pixelsPerLabel: 90, axisLabelWidth: 70},
        y: {axisLabelFormatter: (value) => this.format(value), axisLabelWidth: 72},
      },
      highlightCallback: (event, x, points) => this.tell(new Date(x), points),
      unhighlightCallback: () => {
        this.pointed.textContent = "";
      },
      ...this.furtherOptions,
    };
  }

  tell(date, points) {
    const values = points.map(({name, yval}) => `${name} ${this.format(yval)}`);
    this.pointed.textContent = `${clock(date)}: ${values.join(", ")}`;
  }
}
