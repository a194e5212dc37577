"""Metrics in the text format that Prometheus reads.

The text is written here directly: with thousands of topics a library that makes an object of every
sample would hold up the messages, and to import one takes a tenth of a second. The samples of one
metric have to stand together, behind its heading
(spec: https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def heading(name: str, kind: str, help: str) -> str:
    """The lines that come before the samples of the metric ``name``."""
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n"


def labels(**values: str) -> str:
    """Labels as they stand behind a metric's name."""
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in values.items())
    return f"{{{pairs}}}"


def single(name: str, kind: str, help: str, value: float) -> str:
    """A metric that has one sample."""
    return f"{heading(name, kind, help)}{name} {value}\n"


def build_info(program: str, **known: str) -> str:
    """What is running, as a metric: the labels ``known`` and the value 1."""
    name = f"{program}_build_info"
    return f"{heading(name, 'gauge', 'What is running.')}{name}{labels(**known)} 1\n"
