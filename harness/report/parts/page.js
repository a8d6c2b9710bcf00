"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const SWEEPS = JSON.parse(document.getElementById("sweeps").textContent);
const COLOURS = Object.fromEntries(DATA.map((cell) => [`${cell.run}/${cell.system}`, cell]));
const STAGES = {
  queue: "#9a9a9a", warming: "#56b4e9", libraries: "#e69f00", kernels: "#f0c060",
  backbone: "#009e73", adapter: "#66c2a5", prefill: "#0072b2", decode: "#6a51a3",
};
const OWNERS = {
  weights: "#0072b2", context: "#56b4e9", adapters: "#e69f00", kv: "#009e73",
  host_tier: "#cc79a7", other: "#999999",
};
const by = (id) => document.getElementById(id);
const unique = (values) => [...new Set(values)];

function fill(id, values, every) {
  const options = every ? [[every, ""]] : [];
  for (const value of values) options.push(Array.isArray(value) ? value : [value, value]);
  by(id).replaceChildren(...options.map(([text, value]) => new Option(text, value)));
}

function plot(id, traces, x, y, more = {}) {
  const styles = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => styles.getPropertyValue(name).trim());
  const axis = (title) => ({ title: { text: title }, gridcolor: line, zerolinecolor: line });
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink },
    margin: { l: 60, r: 10, t: 10, b: 45 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, ...more,
    xaxis: { ...axis(x), ...more.xaxis }, yaxis: { ...axis(y), ...more.yaxis },
  };
  Plotly.react(id, traces, layout, { responsive: true, displaylogo: false, displayModeBar: innerWidth > 600 });
}

const unknown = (traces) => traces.length ? [] : [
  { text: "not known", xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false },
];

function chosen(cell) {
  const [only, startType] = [by("function").value, by("start_type").value];
  const { requests } = cell;
  return requests.id.map((_, i) => i).filter((i) =>
    (!only || requests.function[i] === only) && (!startType || requests.start_type[i] === startType));
}

function drawLatencies() {
  const cells = DATA.filter((cell) => cell.workload === by("workload").value);
  const asked = cells.map(chosen);
  const kept = cells.map((cell, n) => asked[n].filter((i) => cell.requests.ttft[i] !== null));
  const curves = cells.map((cell, n) => {
    const values = kept[n].map((i) => cell.requests.ttft[i]).sort((a, b) => a - b);
    return {
      name: cell.title, x: values, y: values.map((_, i) => (i + 1) / asked[n].length),
      mode: "lines", line: { color: cell.colour, shape: "hv" },
    };
  });
  const points = cells.map((cell, n) => ({
    name: cell.title, mode: "markers", marker: { color: cell.colour, size: 5 },
    x: kept[n].map((i) => cell.requests.at[i]), y: kept[n].map((i) => cell.requests.ttft[i]),
    text: kept[n].map((i) => `request ${cell.requests.id[i]}, ${cell.requests.function[i]}, ${cell.requests.start_type[i]}`),
  }));
  by("count").textContent = cells.map((cell, n) =>
    `${cell.title}: ${kept[n].length} of ${cell.total} requests shown`).join(" · ");
  plot("cdf", curves, "TTFT from the schedule, s", "share of requests", { xaxis: { type: "log" } });
  plot("arrivals", points, "arrival, s", "TTFT, s", { yaxis: { type: "log" } });
}

const rest = (point, key) => Object.entries(point).filter(([name]) => name !== key)
  .map(([name, value]) => `, ${name.split(".").pop()}=${value}`).join("");

function chooseSweep() {
  const rows = SWEEPS.filter((row) => row.run === by("sweep-run").value);
  const numbers = (key) => rows.every((row) => typeof row.point[key] === "number");
  fill("sweep-metric", unique(rows.map((row) => row.metric)));
  fill("sweep-axis", unique(rows.flatMap((row) => Object.keys(row.point))).filter(numbers));
  drawSweep();
}

function drawSweep() {
  const [run, metric, key] = ["sweep-run", "sweep-metric", "sweep-axis"].map((id) => by(id).value);
  const series = {};
  const rows = SWEEPS.filter((row) => row.run === run && row.metric === metric);
  const several = unique(rows.map((row) => row.workload)).length > 1;
  for (const row of rows.sort((a, b) => a.point[key] - b.point[key])) {
    const look = COLOURS[`${run}/${row.system}`];
    const name = `${look.title}${several ? `, ${row.workload}` : ""}${rest(row.point, key)}`;
    const line = series[name] ??= { name, x: [], y: [], mode: "lines+markers",
      line: { color: look.colour }, error_y: { array: [], arrayminus: [], symmetric: false } };
    line.x.push(row.point[key]);
    line.y.push(row.value);
    line.error_y.array.push(row.high === null ? 0 : row.high - row.value);
    line.error_y.arrayminus.push(row.low === null ? 0 : row.value - row.low);
  }
  plot("sweep", Object.values(series), key, metric, { yaxis: { rangemode: "tozero" } });
}

function chooseWorkload() {
  const cells = DATA.filter((cell) => cell.workload === by("workload").value);
  fill("function", unique(cells.flatMap((cell) => cell.requests.function)).sort(), "all");
  fill("start_type", unique(cells.flatMap((cell) => cell.requests.start_type)).sort(), "all");
  drawLatencies();
}

function chooseCell() {
  const { requests } = DATA[by("cell").value];
  const order = requests.id.map((_, i) => i).sort((a, b) => (requests.ttft[b] ?? 0) - (requests.ttft[a] ?? 0));
  fill("request", order.map((i) => {
    const ttft = requests.ttft[i] === null ? "no token" : `${requests.ttft[i].toFixed(2)} s`;
    return [`${requests.id[i]}: ${requests.function[i]}, ${ttft}, ${requests.start_type[i]}`, String(requests.id[i])];
  }));
  drawGantt();
}

function drawGantt() {
  const cell = DATA[by("cell").value];
  const id = by("request").value;
  const at = cell.requests.at[cell.requests.id.indexOf(Number(id))];
  const bars = (cell.spans[id] ?? []).map(([stage, start, end]) => ({
    type: "bar", orientation: "h", name: stage, y: [stage], x: [end - start], base: [start - at],
    marker: { color: STAGES[stage] ?? "#999999" }, showlegend: false,
    hovertemplate: `${stage}: ${(end - start).toFixed(3)} s<extra></extra>`,
  }));
  plot("gantt", bars, "time since the request was due, s", "", {
    barmode: "overlay", annotations: unknown(bars), margin: { l: 90, r: 10, t: 10, b: 45 },
    yaxis: { autorange: "reversed", title: { text: "" } },
  });
}

function chooseMemory() {
  fill("device", Object.keys(DATA[by("memory-cell").value].memory).sort());
  drawMemory();
}

function drawMemory() {
  const held = DATA[by("memory-cell").value].memory[by("device").value] ?? { t: [], owners: {} };
  const areas = Object.entries(held.owners).map(([owner, values]) => ({
    name: owner, x: held.t, y: values, stackgroup: "held", mode: "none",
    line: { shape: "hv" }, fillcolor: OWNERS[owner] ?? "#999999",
  }));
  plot("memory", areas, "time, s", "reserved by the ledger, GB", { annotations: unknown(areas) });
}

function chooseDecisions() {
  fill("kind", unique(DATA[by("decisions-cell").value].decisions.map((row) => row[1])).sort(), "all");
  drawDecisions();
}

function drawDecisions() {
  const only = by("kind").value;
  const rows = DATA[by("decisions-cell").value].decisions.filter((row) => !only || row[1] === only);
  by("decisions").replaceChildren(...rows.map(([at, kind, numbers]) => {
    const row = document.createElement("tr");
    for (const text of [at, kind, JSON.stringify(numbers)]) row.insertCell().textContent = text;
    return row;
  }));
}

function start() {
  const cells = DATA.map((cell, i) => [cell.name, String(i)]);
  const traced = cells.filter((_, i) => DATA[i].decisions.length);
  fill("workload", unique(DATA.map((cell) => cell.workload)));
  fill("cell", cells);
  fill("memory-cell", cells);
  by("workload").onchange = chooseWorkload;
  by("function").onchange = by("start_type").onchange = drawLatencies;
  by("cell").onchange = chooseCell;
  by("request").onchange = drawGantt;
  by("memory-cell").onchange = chooseMemory;
  by("device").onchange = drawMemory;
  const runs = unique(SWEEPS.filter((row) => Object.values(row.point)
    .some((value) => typeof value === "number")).map((row) => row.run));
  by("sweeps-section").hidden = !runs.length;
  if (runs.length) {
    fill("sweep-run", runs);
    by("sweep-run").onchange = chooseSweep;
    by("sweep-metric").onchange = by("sweep-axis").onchange = drawSweep;
    chooseSweep();
  }
  chooseWorkload();
  chooseCell();
  chooseMemory();
  by("decisions-section").hidden = !traced.length;
  if (traced.length) {
    fill("decisions-cell", traced);
    by("decisions-cell").onchange = chooseDecisions;
    by("kind").onchange = drawDecisions;
    chooseDecisions();
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (runs.length) drawSweep();
    drawLatencies();
    drawGantt();
    drawMemory();
  });
}

async function unpack() {
  const packed = Uint8Array.from(atob(by("library").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

unpack().then(start);
