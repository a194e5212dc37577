"""What pyproject.toml cannot say: the list of packages, and what is compiled.

Without Cython and a C compiler, or with NSQ_PURE=1 in the environment, the build goes through all
the same and the package stays pure.
"""

import compileall
import sys
from pathlib import Path

from setuptools import find_packages, setup

# A build backend does not look for modules where setup.py is.
sys.path.insert(0, str(Path(__file__).parent))
from compiling.extensions import BuildTogether, extensions, forget_compiled

if "editable_wheel" in sys.argv:
    # Where the environment says PYTHONDONTWRITEBYTECODE every start would compile every module
    # anew, 90 ms of 310. Installed for real, pip does this.
    for tree in ("src", "services"):
        compileall.compile_dir(tree, quiet=1)

wanted = extensions()
if "editable_wheel" in sys.argv and not wanted:
    # Nothing builds what would take the place of what an earlier install compiled.
    forget_compiled()

setup(
    ext_modules=wanted,
    cmdclass={"build_ext": BuildTogether},
    packages=[*find_packages("src"), *find_packages("services"), "nsqadmin_web"],
)
