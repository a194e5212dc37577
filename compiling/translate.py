"""What Cython is given for a module that runs as plain Python, too: nothing is written twice.

A module's own annotations say what its fields, arguments and results are. From them this makes a
declaration file (.pxd) in which each class with fields (`nsqcore.classes`) is an extension type
with fields of C, and each function that can be is one of C. The module itself keeps its lines, so
that tracebacks tell the truth: of such classes the decorators and fields go, and ``__init__`` takes
the place of the first field.

What annotations mean for C: ``int`` is 64 bits, ``bool`` and ``float`` are C's; ``str``, ``bytes``,
``list``, ``dict``, ``set``, ``tuple`` and extension types are just these, or None; the rest is any
object. Only classes whose decorator says ``eq=False`` change; values stay what they are.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PLAIN = {"int": "int64_t", "bool": "bint", "float": "double"}
OBJECTS = {"str", "bytes", "list", "dict", "set", "tuple"}
DECORATORS = {"define", "frozen", "attrs.define", "attrs.frozen"}
FIELDS = {"field", "attrs.field"}
FACTORIES = {"Factory", "attrs.Factory"}


class Untranslatable(Exception):
    """A module that is to be compiled does what is not done here."""


@dataclass
class Field:
    """One field of a class; ``default`` and ``factory`` are expressions."""

    name: str
    annotation: ast.expr
    lines: tuple[int, int]
    default: str | None = None
    factory: str | None = None
    init: bool = True
    kw_only: bool = False

    @property
    def argument(self) -> str:
        """Its name as an argument of ``__init__``."""
        return self.name.lstrip("_")


@dataclass
class Class:
    """A class with fields that becomes an extension type."""

    node: ast.ClassDef
    module: str
    frozen: bool
    base: str | None
    fields: list[Field] = field(default_factory=list)


@dataclass
class Module:
    """A module that is to be compiled."""

    name: str
    path: Path
    source: str
    tree: ast.Module
    classes: dict[str, Class] = field(default_factory=dict)
    #: Names of its functions of C.
    functions: set[str] = field(default_factory=set)
    #: Name to module, of what it imports.
    imports: dict[str, str] = field(default_factory=dict)
    #: What it says itself of its types.
    declared: str = ""


def read(name: str, path: Path) -> Module:
    """The module at ``path``, and which extension types it will have."""
    source = path.read_text()
    module = Module(name, path, source, ast.parse(source))
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module.imports[alias.asname or alias.name] = node.module
        elif isinstance(node, ast.ClassDef):
            found = _extension_type(module, node)
            if found is not None:
                module.classes[node.name] = found
        elif isinstance(node, ast.FunctionDef) and not _needs_python(node):
            module.functions.add(node.name)
    own = path.with_suffix(".pxd")
    if own.exists():
        module.declared = own.read_text()
        module.functions = set(re.findall(r"^cpdef .*?(\w+)\(", module.declared, re.MULTILINE))
    return module


def _extension_type(module: Module, node: ast.ClassDef) -> Class | None:
    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) not in DECORATORS:
            continue
        options = {k.arg: ast.literal_eval(k.value) for k in decorator.keywords}
        if options.get("eq", True) or len(node.decorator_list) > 1 or len(node.bases) > 1:
            continue
        base = ast.unparse(node.bases[0]) if node.bases else None
        frozen = ast.unparse(decorator.func).endswith("frozen")
        made = Class(node, module.name, frozen, base)
        kw_only = options.get("kw_only", False)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                made.fields.append(_field(module, statement, kw_only))
        return made
    return None


def _field(module: Module, node: ast.AnnAssign, kw_only: bool) -> Field:
    assert isinstance(node.target, ast.Name)
    made = Field(
        node.target.id, node.annotation, (node.lineno, node.end_lineno or 0), kw_only=kw_only
    )
    value = node.value
    if value is None:
        return made
    called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
    if called in FACTORIES:
        assert isinstance(value, ast.Call)
        takes_self = any(keyword.arg == "takes_self" for keyword in value.keywords)
        made.factory = f"({ast.unparse(value.args[0])})({'self' if takes_self else ''})"
    elif called in FIELDS:
        assert isinstance(value, ast.Call)
        for keyword in value.keywords:
            match keyword.arg:
                case "default":
                    made.default = ast.unparse(keyword.value)
                case "factory":
                    made.factory = f"({ast.unparse(keyword.value)})()"
                case "init" | "kw_only":
                    setattr(made, keyword.arg, ast.literal_eval(keyword.value))
                case _:
                    raise Untranslatable(f"{module.path}:{node.lineno}: {keyword.arg}=")
    else:
        made.default = ast.unparse(value)
    return made


class Translator:
    """Translates ``modules``, which may use each other's extension types."""

    def __init__(self, modules: list[Module]) -> None:
        self.modules = {module.name: module for module in modules}
        self.bases = {
            (_home(module, made.base), made.base)
            for module in modules
            for made in module.classes.values()
            if made.base
        }

        self.values = {name for module in modules for name in _values(module.tree)}

    def source(self, module: Module) -> str:
        """The module as it is compiled, line for line."""
        lines = module.source.split("\n")
        for made in module.classes.values():
            node = made.node
            for decorator in node.decorator_list:
                _blank(lines, decorator.lineno, decorator.end_lineno or 0)
            for one in made.fields:
                _blank(lines, *one.lines)
            init = self._init(module, made)
            if made.fields:
                lines[made.fields[0].lines[0] - 1] = "    " + init
        return "\n".join(lines)

    def _all_fields(self, module: Module, made: Class) -> list[Field]:
        if made.base is None:
            return made.fields
        home = self.modules[_home(module, made.base)]
        return self._all_fields(home, home.classes[made.base]) + made.fields

    def _init(self, module: Module, made: Class) -> str:
        plain, keywords, body = [], [], []
        for one in self._all_fields(module, made):
            name = one.argument
            if not one.init:
                value = one.default if one.factory is None else one.factory
                if value is not None:
                    body.append(f"self.{one.name} = {value}")
                continue
            if one.factory is not None:
                body.append(f"self.{one.name} = {one.factory} if {name} is None else {name}")
                argument = f"{name}=None"
            else:
                body.append(f"self.{one.name} = {name}")
                argument = name if one.default is None else f"{name}={one.default}"
            (keywords if one.kw_only else plain).append(argument)
        if any(
            isinstance(statement, ast.FunctionDef) and statement.name == "__attrs_post_init__"
            for statement in made.node.body
        ):
            body.append("self.__attrs_post_init__()")
        arguments = ["self", *plain, *(["*", *keywords] if keywords else [])]
        return f"def __init__({', '.join(arguments)}): {'; '.join(body) or 'pass'}"

    def declarations(self, module: Module) -> str:
        """The declaration file of ``module``."""
        used: dict[str, str] = {}
        body: list[str] = []
        for made in module.classes.values():
            body.append("")
            if (module.name, made.node.name) not in self.bases:
                body.append("@cython.final")
            base = f"({self._type(module, ast.Name(made.base), used)})" if made.base else ""
            body.append(f"cdef class {made.node.name}{base}:")
            if not made.base:
                body.append("    cdef object __weakref__")
            for one in made.fields:
                access = "readonly" if made.frozen else "public"
                kind = self._type(module, one.annotation, used)
                body.append(f"    cdef {access} {kind} {one.name}")
            body += [
                f"    {line}"
                for function in made.node.body
                if isinstance(function, ast.FunctionDef)
                for line in self._function(module, function, used, method=True)
            ]
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef):
                body += ["", *self._function(module, node, used, method=False)]
        # A method of the same name would be taken for the function.
        values = _loaded_names(module.tree) | {
            node.name
            for made in module.classes.values()
            for node in made.node.body
            if isinstance(node, ast.FunctionDef)
        }
        used |= {
            name: home
            for name, home in module.imports.items()
            if home in self.modules and name in self.modules[home].functions - values
        }
        imports = [f"from {home} cimport {name}" for name, home in sorted(used.items())]
        return "\n".join(
            ["cimport cython", "from libc.stdint cimport int64_t", *imports, *body, ""]
        )

    def _function(
        self, module: Module, node: ast.FunctionDef, used: dict[str, str], *, method: bool
    ) -> list[str]:
        arguments = node.args
        if _needs_python(node) or (method and node.name in self.values):
            return []
        declared = ["self"] if method else []
        without_default = len(arguments.args) - len(arguments.defaults)
        for number, argument in enumerate(arguments.args):
            if method and not number:
                continue
            kind = self._type(module, argument.annotation, used)
            default = "=*" if number >= without_default else ""
            declared.append(f"{kind} {argument.arg}{default}")
        result = self._type(module, node.returns, used)
        error = " except? -1" if result in PLAIN.values() else ""
        declaration = f"cpdef {result} {node.name}({', '.join(declared)}){error}"
        variables = ", ".join(
            f"{name}={kind}" for name, kind in self._locals(module, node, used).items()
        )
        return [f"@cython.locals({variables})", declaration] if variables else [declaration]

    def _locals(
        self, module: Module, node: ast.FunctionDef, used: dict[str, str]
    ) -> dict[str, str]:
        """The variables of a function that it gives a type which C knows."""
        found: dict[str, str] = {}
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                kind = self._type(module, inner.annotation, used)
                if kind != "object":
                    found[inner.target.id] = kind
        return found

    def _type(self, module: Module, annotation: ast.expr | None, used: dict[str, str]) -> str:
        """The type of C for ``annotation``; notes in ``used`` where it comes from."""
        kind, optional = _without_none(annotation)
        if kind is None or (optional and kind in PLAIN):
            return "object"
        if kind in OBJECTS:
            return kind
        if kind in PLAIN:
            return PLAIN[kind]
        if kind in module.classes:
            return kind
        home = _home(module, kind)
        if home in self.modules and kind in self.modules[home].classes:
            used[kind] = home
            return kind
        return "object"


def _home(module: Module, name: str) -> str:
    return module.name if name in module.classes else module.imports.get(name, "")


def _without_none(annotation: ast.expr | None) -> tuple[str | None, bool]:
    """The name of the type, if it has one alone, and whether it may be None instead."""
    match annotation:
        case ast.Constant(value=str(text)):
            return _without_none(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _without_none(left)[0], True
        case ast.Subscript(value=value):
            return _without_none(value)
        case ast.Name(id=name):
            return name, False
    return None, False


def _needs_python(node: ast.FunctionDef) -> bool:
    """Whether a function cannot be one of C."""
    arguments = node.args
    return bool(
        node.decorator_list
        or node.name.startswith("__")
        or arguments.kwonlyargs
        or arguments.vararg
        or arguments.kwarg
        or any(_is_closure(inner) for inner in ast.walk(node) if inner is not node)
    )


def _is_closure(node: ast.AST) -> bool:
    return isinstance(
        node, ast.Lambda | ast.FunctionDef | ast.GeneratorExp | ast.Yield | ast.YieldFrom
    )


def _loaded_names(tree: ast.Module) -> set[str]:
    """The names that are looked up and not called on the spot."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called
    }


def _values(tree: ast.Module) -> Iterator[str]:
    """The names of attributes that are looked up and not called on the spot.

    Methods among them stay methods of Python: a function of C would forget its object.
    """
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in called:
            yield node.attr


def _blank(lines: list[str], first: int, last: int) -> None:
    for number in range(first - 1, last):
        lines[number] = ""


def translate(modules: dict[str, Path], target: Path) -> Iterator[tuple[str, Path]]:
    """Write what Cython is given for ``modules`` below ``target``; gives the name and file of each.

    Raises:
        Untranslatable: a module does what is not done here.
    """
    read_ones = [read(name, path) for name, path in modules.items()]
    translator = Translator(read_ones)
    for module in read_ones:
        place = target.joinpath(*module.name.split(".")).with_suffix(".py")
        for package in [*place.parents][: module.name.count(".")]:
            _write(package / "__init__.py", "")
        _write(place.with_suffix(".pxd"), module.declared or translator.declarations(module))
        own = module.path.with_suffix(".pyx")
        if own.exists():
            place = place.with_suffix(".pyx")
            _write(place, own.read_text())
        else:
            _write(place, translator.source(module))
        yield module.name, place


def _write(path: Path, text: str) -> None:
    """Write a file unless it is as it is to be: what depends on it need not be made again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
