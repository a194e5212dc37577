"""Installing: without a compiler, from the sdist, from the lock, into an environment that fits."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def needed(*extras: str) -> list[str]:
    """The requirements of the client and of ``extras``, and of the extras that those name."""
    found = list(PROJECT["project"]["dependencies"])
    for line in (line for extra in extras for line in EXTRAS[extra]):
        own = Requirement(line).name == PROJECT["project"]["name"]
        found += needed(*Requirement(line).extras) if own else [line]
    return found


pytestmark = pytest.mark.slow


# setup.py, told of the first of the modules alone: to translate all takes many times longer.
ONE_MODULE = """
import runpy
from compiling.extensions import MODULES
del MODULES[1:]
runpy.run_path("setup.py", run_name="__main__")
"""


def build(folder: Path, *arguments: str, **environment: str) -> str:
    """What setup.py prints when it builds a copy of the tree in ``folder``, with one module."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "Makefile"):
        shutil.copy(ROOT / name, folder)
    for name in (
        "src",
        "services",
        "web",
        "docs",
        "deploy",
        "tests",
        "requirements",
        "scripts",
        "compiling",
    ):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-c", ONE_MODULE, "--quiet", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_without_a_c_compiler_the_pure_form_is_built_and_the_build_says_so(tmp_path):
    told = build(tmp_path, "build_ext", "--build-lib=lib", CC="/bin/false")
    assert not list(tmp_path.glob("lib/**/*.so"))
    assert re.search(r'building extension "nsqcore.wire.hot" failed', told)
    assert not list(tmp_path.glob("lib/**/compiled.txt"))


def test_a_pure_install_leaves_nothing_of_a_compiled_one_in_the_tree(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "compiling").symlink_to(ROOT / "compiling")
    for package in ("src/nsqcore", "services/nsqd", "web"):  # no links: what is found is removed
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
    compiled = [
        tmp_path / "src/nsqcore/compiled.txt",
        tmp_path / "src/nsqcore/hot.cpython-311-x86_64-linux-gnu.so",
        tmp_path / "services/nsqd/hot.cpython-311-x86_64-linux-gnu.so",
    ]
    for file in compiled:
        file.touch()
    command = (sys.executable, "setup.py", "--quiet", "editable_wheel", "--dist-dir=dist")
    environment = os.environ | {"NSQ_PURE": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert [file.name for file in compiled if file.exists()] == []


def test_the_sdist_has_what_its_readme_tells_to_use(tmp_path):
    build(tmp_path, "sdist", NSQ_PURE="1")
    with tarfile.open(next(tmp_path.glob("dist/*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = "Makefile docs/index.md deploy/prometheus/prometheus.yml tests/conftest.py"
    assert set(wanted.split()) <= names
    assert {"requirements/run.txt", "scripts/environment.sh", "web/__init__.py"} <= names


def test_a_wheel_has_all_that_pages_are_made_of() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = setuptools["package-data"]["nsqadmin_web"]
    packed = {path for pattern in patterns for path in (ROOT / "web").glob(pattern)}
    there = {path for path in (ROOT / "web").rglob("*") if path.suffix not in (".py", ".pyc")}
    assert {path.name for path in there - packed if path.is_file()} == set()


def locked(name: str) -> dict[str, str]:
    """Versions in a file of requirements/ for this Python, by package."""
    versions = {}
    for line in (ROOT / f"requirements/{name}.txt").read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate():
                (specifier,) = requirement.specifier
                versions[requirement.name] = specifier.version
    return versions


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("run", needed("admin")),
        ("test", needed("all", "test")),
        ("lowest", needed("all", "test")),
        ("lint", needed("admin", "lint")),
        ("docs", needed("admin", "docs")),
        ("build", PROJECT["build-system"]["requires"]),
    ],
)
def test_the_lock_has_every_requirement_within_its_bounds(name, requirements):
    versions = locked(name)
    for requirement in map(Requirement, requirements):
        assert requirement.name in versions, "make lock"
        assert requirement.specifier.contains(versions[requirement.name]), "make lock"


def test_the_lowest_versions_are_tested():
    versions = locked("lowest")
    for requirement in map(Requirement, needed("all")):
        lowest = next(bound.version for bound in requirement.specifier if bound.operator == ">=")
        assert Requirement(f"x=={lowest}").specifier.contains(versions[requirement.name])


def test_no_httptools_is_allowed_that_takes_malformed_framing_of_chunks():
    (floor,) = (each for each in map(Requirement, needed("all")) if each.name == "httptools")
    assert not floor.specifier.contains("0.6.0")


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").iterdir()), ids=lambda p: p.name)
def test_every_locked_package_has_hashes_and_no_address(path):
    text = path.read_text()
    packages = re.split(r"\n(?=[a-z0-9])", text)[1:]
    assert packages
    assert all("--hash=sha256:" in package for package in packages)
    assert "://" not in text


class Tree:
    """A folder in which `scripts/environment.sh` makes environments, without pip for speed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def python(self, name: str, base: str = "") -> str:
        """A Python that the script can be told to use; one that says it is at ``base``."""
        path = self.folder.parent / name
        say = f'case "$1" in -c) echo "{base}"; exit;; esac' if base else ""
        path.write_text(
            f'#!/bin/sh\n{say}\n[ "$2" = venv ] && set -- -m venv --without-pip "$3"\n'
            f'exec "{sys.executable}" "$@"\n'
        )
        path.chmod(0o755)
        return str(path)

    def make(self, python: str = "") -> str:
        """What the script says when it is called for ``env``."""
        done = subprocess.run(
            [ROOT / "scripts/environment.sh", "env", *[python] * bool(python)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (self.folder / "env/bin/python").exists()
        return done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """One with an environment."""
    made = Tree(tmp_path / "tree")
    assert made.make(made.python("python")) == ""
    return made


def test_an_environment_that_fits_is_kept(tree):
    before = (tree.folder / "env/made").stat().st_mtime_ns
    assert tree.make() == ""
    assert tree.make(tree.python("python")) == ""
    assert (tree.folder / "env/made").stat().st_mtime_ns == before


def test_make_says_at_once_that_it_installs_and_how_long_that_takes(tmp_path):
    for name in ("Makefile", "pyproject.toml", "setup.py", "scripts", "requirements", "compiling"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, tmp_path / name)
    tree = Tree(tmp_path / "pythons")
    done = subprocess.run(
        ["make", "run", "PIP=echo pip", f"PYTHON={tree.python('python')}", "SHELL=/bin/sh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )
    said = done.stdout.splitlines()
    assert said[0] == "installing into .venv, which takes about a minute"
    assert "pip --require-hashes" in said[1]


def test_another_python_is_honoured_the_second_time(tree):
    assert "made by another Python" in tree.make(tree.python("other", "cpython-399 /elsewhere"))


def test_a_name_that_pyenv_knows_but_has_not_in_use_is_found(tree, monkeypatch):
    versions = tree.folder.parent / "pyenv/versions/3.99.1/bin"
    versions.mkdir(parents=True)
    Path(tree.python("other", "cpython-399 /elsewhere")).rename(versions / "python3")
    monkeypatch.setenv("PYENV_ROOT", str(tree.folder.parent / "pyenv"))
    assert "made by another Python" in tree.make("python3.99")


def test_an_environment_that_lost_its_interpreter_is_made_anew(tree):
    python = tree.folder / "env/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python")
    assert "no interpreter" in tree.make(tree.python("python"))


def test_an_environment_that_was_moved_is_made_anew(tree):
    tree.folder = tree.folder.rename(tree.folder.with_name("moved"))
    assert "another folder" in tree.make(tree.python("python"))


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path):
    (tmp_path / "env").mkdir()
    (tmp_path / "env/thesis.txt").write_text("words")
    done = subprocess.run([ROOT / "scripts/environment.sh", "env"], cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert (tmp_path / "env/thesis.txt").exists()


def test_the_package_tells_where_it_is_about():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(url.startswith("https://") for url in project["urls"].values())
    assert project["urls"]


def test_no_page_installs_programs_into_the_python_of_the_system():
    """Debian, Ubuntu, Fedora and Homebrew refuse it: their Python is externally managed."""
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("deployment-*.md")]:
        for number, line in enumerate(page.read_text().splitlines(), 1):
            bare = re.match(r"\s*(sudo )?(pip3?|python3? -m pip) install", line)
            assert not bare, f"{page.name}:{number}: {line}"
    assert "pipx install" in (ROOT / "README.md").read_text()
