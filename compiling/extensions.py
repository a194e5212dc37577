"""The modules that are compiled where a C compiler is at hand, and how: all of them, or none."""

import os
import shutil
import sys
import zlib
from pathlib import Path

from setuptools import Extension
from setuptools.command.build_ext import build_ext

from compiling.translate import translate

# The way of a message, from socket to queue and back: whatever else happens to it is rarer.
MODULES = [
    "nsqcore.wire.hot",
    "nsqcore.reactor.polling.system",
    "nsqcore.reactor.ticks",
    "nsqcore.net.outbox",
    "nsqcore.net.layers",
    "nsqcore.net.tls_layer",
    "nsqcore.wire.commands",
    "nsqcore.wire.parser",
    "nsqcore.reactor.connections.connection",
    "nsqcore.reactor.connections.connections",
    "nsqcore.reactor.connections.lifecycle",
    "nsqcore.reactor.reactor",
    "nsqcore.http.session",
    "nsqcore.http.parser",
    "nsqcore.http.router",
    "nsqcore.http.later",
    "nsqcore.http.request",
    "nsqcore.http.heads",
    "nsqcore.http.query",
    "nsqcore.http.responses",
    "nsqd.engine.broker",
    "nsqd.engine.health",
    "nsqd.engine.publisher",
    "nsqd.engine.topic",
    "nsqd.engine.channel",
    "nsqd.engine.departures",
    "nsqd.engine.epitaphs",
    "nsqd.engine.delivery.consumer",
    "nsqd.engine.delivery.inflight",
    "nsqd.engine.delivery.deadlines",
    "nsqd.engine.messages.ids",
    "nsqd.engine.messages.message",
    "nsqd.storage.queues.memory",
    "nsqd.storage.queues.tiered",
    "nsqd.storage.durable.format.hot",
    "nsqd.client.client",
    "nsqd.client.session",
    "nsqd.client.dispatch",
    "nsqd.client.publishing",
    "nsqd.client.consuming",
    "nsqd.client.subscriber",
    "nsqd.lifecycle.clock",
    "nsqd.http.shared.arguments",
    "nsqd.http.actions.publish",
]

TREES = {"nsqcore": "src", "nsqd": "services"}
BUILD = Path("build/cython")

DIRECTIVES = {
    "language_level": 3,
    # Only the declarations say what is what: an annotation is for readers and type checkers.
    "annotation_typing": False,
    "infer_types": True,
    # An attribute of None raises, as in Python.
    "nonecheck": True,
    # Nobody asks these functions for their signatures; without them modules are half as large.
    "binding": False,
}


def source_of(name: str) -> Path:
    """The file of the module ``name``."""
    return Path(TREES[name.partition(".")[0]], *name.split(".")).with_suffix(".py")


def compiled_source(file: Path) -> Path:
    """What is compiled for the module in ``file``: another source, where there is one."""
    other = file.with_suffix(".pyx")
    return other if other.exists() else file


def extensions() -> list[Extension]:
    """What is to be compiled; nothing without Cython, or with NSQ_PURE=1 in the environment."""
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    if os.environ.get("NSQ_PURE", "") not in ("", "0"):
        return []
    places = translate({name: source_of(name) for name in MODULES}, BUILD)
    wanted = [
        Extension(
            name,
            [str(place)],
            include_dirs=[str(source_of(name).parent)],
            extra_compile_args=["-O3" if name.endswith(".hot") else "-O1", "-g0"],
        )
        for name, place in places
    ]
    made: list[Extension] = cythonize(
        wanted,
        include_path=[str(BUILD)],
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        quiet=True,
    )
    return made


def write_sources(directory: Path) -> None:
    """Note in the package in ``directory`` what its compiled modules, and nsqd's, were made of."""
    files = {name: source_of(name) for name in MODULES}
    sums = {name: zlib.crc32(compiled_source(file).read_bytes()) for name, file in files.items()}
    lines = "".join(f"{name} {number}\n" for name, number in sums.items())
    (directory / "compiled.txt").write_text(lines)


def forget_compiled() -> Path:
    """Remove what was compiled beside the sources; returns where the note of it belongs."""
    note = Path(TREES["nsqcore"], "nsqcore", "compiled.txt")
    note.unlink(missing_ok=True)
    for package, tree in TREES.items():
        for left in Path(tree, package).rglob("*.so"):
            left.unlink()
    return note


class BuildTogether(build_ext):
    """Builds the extensions; those of `MODULES` all, or none of them."""

    def build_extensions(self) -> None:
        """Build everything."""
        self.parallel = self.parallel or os.cpu_count()
        whole = [ext for ext in self.extensions if ext.name in MODULES]
        home = Path(self.build_lib, "nsqcore")
        home.mkdir(parents=True, exist_ok=True)
        (home / "compiled.txt").unlink(missing_ok=True)
        for ext in whole:
            ext.optional = True
        super().build_extensions()
        made = [Path(self.get_ext_fullpath(ext.name)) for ext in whole]
        if made and all(file.exists() for file in made):
            write_sources(home)
            return
        for file in made:
            file.unlink(missing_ok=True)
        if made:
            print("nsq-trio: not all modules could be compiled, so none is used", file=sys.stderr)

    def build_extension(self, ext: Extension) -> None:
        """Build one, unless it is there already and newer than what any is made of.

        Compiled modules know the layout of each other's classes.
        """
        made = Path(self.get_ext_fullpath(ext.name))
        if not made.exists() or made.stat().st_mtime <= max(
            Path(name).stat().st_mtime
            for each in self.extensions
            for name in (*each.sources, *each.depends)
        ):
            made.unlink(missing_ok=True)
            super().build_extension(ext)

    def copy_extensions_to_source(self) -> None:
        """Put what was built beside the sources, for an editable install."""
        target = forget_compiled()
        super().copy_extensions_to_source()
        built = Path(self.build_lib, "nsqcore", "compiled.txt")
        if built.exists():
            shutil.copyfile(built, target)
