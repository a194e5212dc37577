"""What pyproject.toml cannot say: the list of packages, and `nsqcore.wire.hot`, compiled.

Without a C compiler, or with NSQ_PURE=1 in the environment, the build goes through all the same
and the package stays pure.
"""

import compileall
import os
import shutil
import sys
import sysconfig
import zlib
from pathlib import Path

from setuptools import Extension, find_packages, setup

SOURCE = Path("src/nsqcore/wire")
BUILD = Path("build/cython/nsqcore/wire")


def hot_extension() -> list[Extension]:
    """``nsqcore.wire._hot``, made from the same file as `nsqcore.wire.hot`."""
    if "editable_wheel" in sys.argv:
        # what an earlier install left here would be imported in place of what is built now
        for left in SOURCE.glob("_hot*" + sysconfig.get_config_var("EXT_SUFFIX")):
            left.unlink()
    if os.environ.get("NSQ_PURE", "") not in ("", "0"):
        print("nsq-trio: NSQ_PURE is set, leaving out the compiled speed-ups", file=sys.stderr)
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("nsq-trio: no Cython, leaving out the compiled speed-ups", file=sys.stderr)
        return []
    BUILD.mkdir(parents=True, exist_ok=True)
    for package in (BUILD, BUILD.parent):
        (package / "__init__.py").touch()
    source = (SOURCE / "hot.py").read_bytes()
    # by which `speedups` knows a build that is older than the source
    stamp = f"\nSOURCE = {zlib.crc32(source)}\n"
    (BUILD / "_hot.py").write_bytes(source + stamp.encode())
    shutil.copyfile(SOURCE / "hot.pxd", BUILD / "_hot.pxd")
    extension = Extension(
        "nsqcore.wire._hot",
        [str(BUILD / "_hot.py")],
        extra_compile_args=["-O3"],
    )
    extensions: list[Extension] = cythonize(
        [extension],
        include_path=["build/cython"],
        language_level=3,
        compiler_directives={
            "annotation_typing": False,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
        },
    )
    for made in extensions:
        # A compiler that is missing or fails costs only the speed. Set here: the extension that
        # cythonize returns is another than the one it was given, and not optional.
        made.optional = True
    return extensions


if "editable_wheel" in sys.argv:
    # Where the environment says PYTHONDONTWRITEBYTECODE every start would compile every module
    # anew, 90 ms of 310. Installed for real, pip does this.
    for tree in ("src", "services"):
        compileall.compile_dir(tree, quiet=1)

setup(
    ext_modules=hot_extension(),
    packages=[*find_packages("src"), *find_packages("services"), "nsqadmin_web"],
)
