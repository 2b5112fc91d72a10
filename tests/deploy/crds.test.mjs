/** What Kubernetes itself has no schema of, against that of its makers: the route of the Gateway API, and the ServiceMonitor
 *  and the PrometheusRule of the Prometheus Operator. Their validators know types and patterns and let unknown fields through; TypeScript, with
 *  the declarations of the same, knows those. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const run = promisify(execFile);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const python = here("../../target/python/bin/python");
const makers = {
  HTTPRoute: { model: HTTPRoute, from: "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute" },
  PrometheusRule: {
    model: PrometheusRule,
    from: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  },
  ServiceMonitor: {
    model: ServiceMonitor,
    from: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
  },
};

let folder, custom;

before(async () => {
  assert.ok(existsSync(python), `${python} is not there; tests/run makes it`);
  const { stdout } = await run(python, [here("render.py")], { maxBuffer: 64 << 20 });
  const all = Object.entries(JSON.parse(stdout)).flatMap(([overlay, things]) => things.map((thing) => ({ overlay, thing })));
  custom = all.filter(({ thing }) => thing.kind in makers);
  folder = await mkdtemp(join(tmpdir(), "tidings-crds-"));
  await symlink(here("node_modules"), join(folder, "node_modules"));
});

after(() => folder && rm(folder, { recursive: true, force: true }));

/** What TypeScript says of these, each as the literal it is: of a literal, also a field that its type does not have. */
async function mistakes(things) {
  const imports = Object.entries(makers).map(([kind, { from }]) => `import type { I${kind} } from "${from}";`);
  const literals = things.map((thing, index) => `export const thing${index}: I${thing.kind} = ${JSON.stringify(thing)};`);
  await writeFile(join(folder, "things.ts"), [...imports, ...literals].join("\n"));
  const options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"];
  const checked = run(process.execPath, [here("node_modules/typescript/bin/tsc"), ...options, "things.ts"], { cwd: folder });
  return checked.then(() => "", (error) => error.stdout + error.stderr);
}

test("every route, monitor and rule is what its makers say it is", async () => {
  for (const kind of Object.keys(makers)) {
    assert.ok(custom.some(({ thing }) => thing.kind === kind), `there is no ${kind}`);
  }
  for (const { overlay, thing } of custom) {
    assert.doesNotThrow(() => new makers[thing.kind].model(thing).validate(), `${overlay}: ${JSON.stringify(thing)}`);
  }
  assert.equal(await mistakes(custom.map(({ thing }) => thing)), "");
});

test("a mistake in one would be found", async () => {
  const one = (kind) => structuredClone(custom.find(({ thing }) => thing.kind === kind).thing);
  const [route, monitor] = [one("HTTPRoute"), one("ServiceMonitor")];
  route.spec.rules[0].timeouts = { request: "forever" };
  monitor.spec.endpoints[0].interval = "often";
  for (const thing of [route, monitor]) {
    assert.throws(() => new makers[thing.kind].model(thing).validate(), thing.kind);
  }
  const [unknown, misspelt] = [one("HTTPRoute"), one("ServiceMonitor")];
  unknown.spec.rules[0].backendRefs[0].prot = 80;
  misspelt.spec.selektor = {};
  const said = await mistakes([unknown, misspelt]);
  assert.match(said, /"prot"' does not exist/);
  assert.match(said, /"selektor"' does not exist/);
});
