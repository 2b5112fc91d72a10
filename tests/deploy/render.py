"""Renders what k8s/ says, as kubectl would apply it, and checks every object against Kubernetes' own schemas, strictly:
an unknown field is a mistake. Prints {overlay: [object]} as JSON, an overlay with components being `overlay+component`.

With the name of a YAML file as its argument it prints what is in that, as a list."""

import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

import kubectl

ROOT = pathlib.Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = ["local", "production"]
# Two ways in: the one or the other, or neither beside a plain Ingress.
WAYS_IN = [[], ["gateway"], ["ingress-nginx"]]
FURTHER = [[], ["service-monitor"]]
# The oldest that docs/OPERATIONS.md names, and the newest there is a schema for.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
# Of these Kubernetes has no schema; crds.test.mjs checks them against those of their makers.
CUSTOM = {"HTTPRoute", "PrometheusRule", "ServiceMonitor"}


def rendered(program, folder, overlay, components):
    """An overlay that lists these components, in a folder it may be changed in."""
    file = folder / "overlays" / overlay / "kustomization.yaml"
    before = file.read_text()
    kustomization = yaml.safe_load(before)
    assert "components" not in kustomization, f"{overlay} takes components of its own"
    kustomization["components"] = [f"../../components/{name}" for name in components]
    file.write_text(yaml.safe_dump(kustomization))
    done = subprocess.run([program, "kustomize", str(file.parent)], capture_output=True, text=True)
    file.write_text(before)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{overlay} with {components} cannot be rendered:\n{done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


def mistakes(thing):
    """What Kubernetes' schemas say against it."""
    name = f"{thing['kind']} {thing['metadata']['name']}"
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
            if thing["kind"] in CUSTOM:
                yield f"{name}: there is a schema now; it is custom no more"
        except kubernetes_validate.SchemaNotFoundError:
            if thing["kind"] not in CUSTOM:
                yield f"{name}: Kubernetes {version} has no {thing['apiVersion']} {thing['kind']}"
        except kubernetes_validate.ValidationError as error:
            place = ".".join(map(str, error.path))
            yield f"{name}, Kubernetes {version}: {place}: {error.message}"


def main():
    if sys.argv[1:]:
        print(json.dumps(list(yaml.safe_load_all(pathlib.Path(sys.argv[1]).read_text()))))
        return
    known = {folder.name for folder in (ROOT / "components").iterdir()}
    named = set(itertools.chain(*WAYS_IN, *FURTHER))
    if known != named or {folder.name for folder in (ROOT / "overlays").iterdir()} != set(OVERLAYS):
        sys.exit(f"k8s/ has overlays or components that are not checked: {known ^ named or OVERLAYS}")
    program = kubectl.found()
    if program is None:
        sys.exit("there is no kubectl, or one that is too old; tests/run fetches one")
    everything = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "k8s"
        shutil.copytree(ROOT, folder)
        for overlay, way, further in itertools.product(OVERLAYS, WAYS_IN, FURTHER):
            name = "+".join([overlay, *way, *further])
            everything[name] = rendered(program, folder, overlay, way + further)
    found = {mistake: name for name, things in everything.items() for thing in things for mistake in mistakes(thing)}
    if found:
        sys.exit("\n".join(f"{name}: {mistake}" for mistake, name in found.items()))
    print(json.dumps(everything))


main()
