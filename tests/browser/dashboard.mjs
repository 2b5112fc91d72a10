/**
 * Makes docs/dashboard.png: the panels of packaging/grafana/tidings.json, drawn from what a Prometheus has recorded.
 * `node dashboard.mjs http://127.0.0.1:9090 [file] [seconds]`; `DASHBOARD=docs/dashboard.png cargo test --test it --
 * operations::alerts::each` draws the run of that test, in which every alert fires once.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { root, startBrowser } from "./support.mjs";

const [prometheus, file = path.join(root, "docs/dashboard.png"), seconds = "120"] = process.argv.slice(2);
const WIDTH = 1600;
const COLUMN = (WIDTH - 32) / 24;
const HEIGHTS = { row: 26, stat: 76, timeseries: 150 };
const COLOURS = ["#2f6fde", "#e08a1e", "#3a9d5d", "#b4499a", "#7a7f87", "#c8a415", "#1f9aa8", "#8a5cd0", "#d0532f", "#5c7a2e"];

async function ask(what, parameters) {
  const answer = await fetch(`${prometheus}/api/v1/${what}?${new URLSearchParams(parameters)}`, { signal: AbortSignal.timeout(10_000) });
  const { status, data, error } = await answer.json();
  if (status !== "success") throw new Error(`${parameters.query}: ${error}`);
  return data.result;
}

const end = Date.now() / 1000;
const start = end - Number(seconds);
// Every job, and a range that holds some readings.
const plain = (expr) => expr.replaceAll("$__rate_interval", "5s").replaceAll("$job", ".*");
const overTime = (query) => ask("query_range", { query, start, end, step: Number(seconds) / 240 });
const named = (legend, labels) => legend.replace(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? "");

function number(value, unit) {
  if (!Number.isFinite(value)) return "–";
  if (unit === "percentunit") return `${+(value * 100).toPrecision(3)} %`;
  if (unit === "s") return value < 1 ? `${+(value * 1000).toPrecision(2)} ms` : `${+value.toPrecision(2)} s`;
  return `${+value.toPrecision(3)}${unit === "ops" ? "/s" : ""}`;
}

/** The next 1, 2, 4, 6 or 8 of its power of ten. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].find((step) => step * power >= value) * power;
}

const text = (value) => String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function coloured(value, steps) {
  const reached = steps.filter((step) => step.value === null || value >= step.value).at(-1);
  return { green: "#2e8b57", orange: "#c77700", red: "#c0392b" }[reached.color] ?? "#2b2f36";
}

async function stat({ targets: [target], fieldConfig: { defaults } }) {
  const found = await ask("query", { query: plain(target.expr), time: end });
  const value = Number(found[0]?.value[1] ?? NaN);
  const mapped = defaults.mappings[0]?.options[String(value)]?.text;
  const shown = target.legendFormat ? found.map((one) => named(target.legendFormat, one.metric)).join(", ") : (mapped ?? number(value, defaults.unit));
  return `<b class="value" style="color:${coloured(value, defaults.thresholds.steps)}">${text(shown)}</b>`;
}

/** Lines from left to right; where there is nothing, there is no line. */
async function timeseries({ targets, fieldConfig: { defaults } }, width, fired) {
  const lines = [];
  for (const target of targets) {
    for (const { metric, values } of await overTime(plain(target.expr))) {
      const points = values.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value));
      if (points.length > 0) lines.push({ name: named(target.legendFormat, metric) || target.legendFormat, points });
    }
  }
  // What never happened takes no place.
  const shown = lines.filter(({ points }) => points.some(([, value]) => value > 0)).slice(0, COLOURS.length);
  const [w, h, left] = [width - 16, 84, 44];
  const highest = Math.max(0, ...shown.flatMap(({ points }) => points.map(([, value]) => value)));
  const top = defaults.max ?? round(highest || 1);
  const x = (at) => left + ((at - start) / (end - start)) * (w - left);
  const y = (value) => h - 4 - (value / top) * (h - 12);
  const bands = fired.map(([from, to]) => `<rect x="${x(from)}" y="0" width="${Math.max(1, x(to) - x(from))}" height="${h - 4}" fill="#c0392b" opacity=".07"/>`);
  const grid = [0, 0.5, 1].map((part) => {
    const at = y(top * part);
    return `<line x1="${left}" x2="${w}" y1="${at}" y2="${at}" stroke="#e6e8eb"/><text x="${left - 5}" y="${at + 3}" text-anchor="end">${text(number(top * part, defaults.unit))}</text>`;
  });
  const gap = (Number(seconds) / 240) * 2.5;
  const drawn = shown.map(({ points }, index) => {
    const d = points.map(([at, value], i) => `${i === 0 || at - points[i - 1][0] > gap ? "M" : "L"}${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    return `<path d="${d.join("")}" fill="none" stroke="${COLOURS[index]}" stroke-width="1.4" stroke-linejoin="round" stroke-linecap="round"/>`;
  });
  const legend = shown.map(({ name }, index) => `<span><i style="background:${COLOURS[index]}"></i>${text(name)}</span>`);
  const said = shown.length > 0 ? legend.join("") : "nothing in this time";
  return `<svg width="${w}" height="${h}">${bands.join("")}${grid.join("")}${drawn.join("")}</svg><p>${said}</p>`;
}

async function page(dashboard) {
  const alerts = await overTime('ALERTS{alertname=~"Tidings.*", alertstate="firing"}');
  const fired = alerts.map(({ values }) => [values[0][0], values.at(-1)[0]]);
  const names = [...new Set(alerts.map(({ metric }) => metric.alertname))];
  let [below, y, height] = [0, 0, 0];
  const boxes = [];
  let line = -1;
  for (const panel of dashboard.panels) {
    if (panel.gridPos.y !== line) [line, y] = [panel.gridPos.y, below];
    height = HEIGHTS[panel.type];
    below = y + height + (panel.type === "row" ? 0 : 8);
    const [x, width] = [16 + panel.gridPos.x * COLUMN, panel.gridPos.w * COLUMN - 8];
    const inside = panel.type === "row" ? "" : panel.type === "stat" ? await stat(panel) : await timeseries(panel, width, fired);
    boxes.push(`<section class="${panel.type}" style="left:${x}px;top:${y}px;width:${width}px;height:${height}px"><h2>${text(panel.title)}</h2>${inside}</section>`);
  }
  const said = names.length > 0 ? `<em>shaded: ${names.map(text).join(", ")} fired</em>` : "";
  return `<!doctype html><meta charset="utf-8"><style>
    body { margin: 0; background: #f4f5f7; font: 11px system-ui, "DejaVu Sans", sans-serif; color: #2b2f36; }
    header { padding: 12px 16px 8px; font-size: 17px; font-weight: 600; }
    header em { float: right; font: 11px system-ui, "DejaVu Sans", sans-serif; color: #9a4a41; padding-top: 5px; }
    main { position: relative; height: ${below + 8}px; }
    section { position: absolute; box-sizing: border-box; background: #fff; border: 1px solid #e2e4e8; border-radius: 4px; padding: 6px 8px; overflow: hidden; }
    section.row { background: none; border: none; padding: 5px 0 0; }
    section.row h2 { font-size: 12px; color: #6b7078; font-weight: 600; }
    h2 { margin: 0 0 4px; font-size: 11.5px; font-weight: 600; white-space: nowrap; }
    .value { font-size: 28px; font-weight: 600; }
    svg { display: block; } svg text { font-size: 9.5px; fill: #7a7f87; }
    p { margin: 2px 0 0; padding-left: 4px; height: 30px; line-height: 14px; overflow: hidden; color: #50555d; font-size: 10px; }
    p span { margin-right: 9px; white-space: nowrap; display: inline-block; } p i { display: inline-block; width: 9px; height: 3px; margin-right: 4px; vertical-align: middle; }
  </style><header>Tidings ${said}</header><main>${boxes.join("")}</main>`;
}

const dashboard = JSON.parse(await readFile(path.join(root, "packaging/grafana/tidings.json"), "utf8"));
const html = await page(dashboard);
const browser = await startBrowser();
try {
  const tab = await browser.newPage({ viewport: { width: WIDTH, height: 900 } });
  await tab.setContent(html);
  await tab.screenshot({ path: path.resolve(file), fullPage: true });
  console.log(`wrote ${file}`);
} finally {
  await browser.close();
}
