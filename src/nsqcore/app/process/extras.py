"""Which extra of the package a program needs, and what it says where that is not installed.

``nsq-trio`` alone is the client: the programs import more (``[project.optional-dependencies]``
of pyproject.toml).
"""

EXTRAS = {"nsqadmin": "admin"}
"""The extra of a program; of all others it is ``server``."""


def missing_extra(program: str, error: ModuleNotFoundError) -> str:
    """A line for who started ``program``, which could not be imported for ``error``.

    Raises:
        ModuleNotFoundError: a module of our own is missing, which no extra brings.
    """
    missing = (error.name or "").partition(".")[0]
    if not missing or missing.startswith("nsq"):
        raise error
    extra = EXTRAS.get(program, "server")
    return f"{program}: {missing} is not installed: pip install 'nsq-trio[{extra}]'"
