"""The policies of every nsqd, what they come to for a topic or channel, and where nsqds differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page
from nsqcore.classes import frozen
from nsqcore.cluster.each.policies import NodePolicies, NodeValues, differing


@frozen(kw_only=True)
class PolicyRow:
    """One form of a policy, and the nsqds that have it so; ``differs``: others do not."""

    name: str
    pattern: str
    kind: str
    priority: str
    definition: Sequence[tuple[str, str]]
    nodes: Sequence[str]
    differs: bool


@frozen(kw_only=True)
class ValueRow:
    """What a key comes to, by which policy, on which nsqds; ``differs``: on others it does not."""

    key: str
    value: str
    policy: str
    kind: str
    nodes: Sequence[str]
    differs: bool


@frozen(kw_only=True)
class PolicyForm:
    """What a form to define a policy has in it."""

    name: str = ""
    pattern: str = ""
    kind: str = "policy"
    priority: str = "0"
    definition: str = ""
    error: str = ""


def policies_page(
    found: Sequence[NodePolicies],
    values: Sequence[NodeValues],
    about: tuple[str, str],
    failures: Sequence[str],
    form: PolicyForm,
    token: str,
) -> Page:
    """The page; ``about`` are the topic and channel that ``values`` are of, if any."""
    return Page(
        "policies.html",
        _("Policies"),
        "policies",
        {
            "rows": policy_rows(found),
            "nodes": len(found),
            "differing": differing(found),
            "values": value_rows(values),
            "about": about,
            "failures": failures,
            "form": form,
            "token": token,
        },
        updates=False,
    )


def form_of(found: Sequence[NodePolicies], name: str) -> PolicyForm:
    """The form to change the policy ``name``, as the first nsqd has it; empty if none has."""
    for node in found:
        if (raw := node.policies.get(name)) is not None:
            lines = (f"{key} = {value}" for key, value in _definition(raw))
            return PolicyForm(
                name=name,
                pattern=str(raw.get("pattern", "")),
                kind=str(raw.get("kind", "policy")),
                priority=str(raw.get("priority", 0)),
                definition="\n".join(lines),
            )
    return PolicyForm()


def policy_rows(found: Sequence[NodePolicies]) -> list[PolicyRow]:
    """A row for each form that a policy has anywhere, by name."""
    rows: list[PolicyRow] = []
    for name in sorted({name for node in found for name in node.policies}):
        forms: list[tuple[Mapping[str, Any], list[str]]] = []
        for node in found:
            raw = node.policies.get(name)
            if raw is None:
                continue
            same = next((nodes for form, nodes in forms if form == raw), None)
            if same is None:
                forms.append((raw, [node.node]))
            else:
                same.append(node.node)
        rows += [
            PolicyRow(
                name=name,
                pattern=str(raw.get("pattern", "")),
                kind=str(raw.get("kind", "")),
                priority=str(raw.get("priority", 0)),
                definition=_definition(raw),
                nodes=nodes,
                differs=len(nodes) < len(found),
            )
            for raw, nodes in forms
        ]
    return rows


def value_rows(found: Sequence[NodeValues]) -> list[ValueRow]:
    """A row for each value that a key has anywhere, by key."""
    rows: list[ValueRow] = []
    for key in sorted({key for node in found for key in node.values}):
        places: dict[tuple[str, str, str], list[str]] = {}
        for node in found:
            if (value := node.values.get(key)) is not None:
                place = _text(value.value), value.policy, value.kind
                places.setdefault(place, []).append(node.node)
        rows += [
            ValueRow(
                key=key,
                value=value,
                policy=policy,
                kind=kind,
                nodes=nodes,
                differs=len(nodes) < len(found),
            )
            for (value, policy, kind), nodes in places.items()
        ]
    return rows


def _definition(raw: Mapping[str, Any]) -> list[tuple[str, str]]:
    definition = raw.get("definition")
    sets = definition.items() if isinstance(definition, dict) else ()
    return [(str(key), _text(value)) for key, value in sets]


def _text(value: object) -> str:
    """As it is typed: texts without quotes."""
    return value if isinstance(value, str) else json.dumps(value)
