"""The templates as CloudFormation sees them: SAM translated, parameters filled in, conditions decided."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)  # it wants to publish metrics of its own

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

# Every parameter of the root by which a deployment takes another shape, with both of its values.
SWITCHES = {
    "HostedZoneId": ("", "Z0123456789ABCDEFGHIJ"),
    "AlarmTopicArn": ("", "arn:aws:sns:eu-west-1:000000000000:alarms"),
    "RequireHealthyTasks": ("true", "false"),
    "DnsDryRun": ("false", "true"),
    "Architecture": ("arm64", "x86_64"),
}
NAMED = {"VpcId": "vpc-0123456789abcdef0", "EcsClusterName": "neo4j"}

Template = dict[str, Any]
Combination = dict[str, str]


def combinations() -> Iterator[Combination]:
    """All of them."""
    for values in itertools.product(*SWITCHES.values()):
        yield dict(zip(SWITCHES, values, strict=True))


def pairs(combination: Combination) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(two) for two in itertools.combinations(combination.items(), 2)}


def pairwise() -> list[Combination]:
    """A few in which each two values of each two switches meet."""
    chosen: list[Combination] = []
    open_pairs = set().union(*map(pairs, combinations()))
    while open_pairs:
        chosen.append(max(combinations(), key=lambda combination: len(pairs(combination) & open_pairs)))
        open_pairs -= pairs(chosen[-1])
    return chosen


def read(path: Path) -> Template:
    return yaml_parse(path.read_text())


def defaults(template: Template) -> Combination:
    return {name: str(found["Default"]) for name, found in template["Parameters"].items() if "Default" in found}


def translate(template: Template, parameters: Combination) -> Template:
    """SAM to CloudFormation. What `sam package` would upload is said to lie in a bucket."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/function.zip"
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = "https://bucket.s3.amazonaws.com/" + properties["Location"]
    return Translator({}, Parser()).translate(template, dict(parameters))


class Absent:
    """What `AWS::NoValue` leaves."""


def holds(condition: Any, template: Template, parameters: Combination) -> bool:
    match condition:
        case {"Fn::Equals": [left, right]}:
            return resolve(left, template, parameters) == resolve(right, template, parameters)
        case {"Fn::Not": [inner]}:
            return not holds(inner, template, parameters)
        case {"Condition": name}:
            return holds(template["Conditions"][name], template, parameters)
        case _:
            raise ValueError(f"no condition that is known here: {condition}")


def resolve(value: Any, template: Template, parameters: Combination) -> Any:
    """A value with the parameters filled in; references to resources stay."""
    match value:
        case {"Ref": "AWS::NoValue"}:
            return Absent
        case {"Ref": name} if name in parameters:
            return parameters[name]
        case {"Fn::If": [name, then, otherwise]}:
            chosen = then if holds(template["Conditions"][name], template, parameters) else otherwise
            return resolve(chosen, template, parameters)
        case {"Fn::Sub": text} if isinstance(text, str):
            filled = re.sub(r"\$\{(\w+)\}", lambda found: parameters.get(found[1], found[0]), text)
            return {"Fn::Sub": filled} if "${" in filled else filled
        case {"Fn::Sub": [text, own]}:
            own = {name: resolve(inner, template, parameters) for name, inner in own.items()}
            known = parameters | {name: inner for name, inner in own.items() if isinstance(inner, str)}
            filled = resolve({"Fn::Sub": text}, template, known)
            rest = {name: inner for name, inner in own.items() if name not in known}
            return {"Fn::Sub": [filled["Fn::Sub"], rest]} if rest else filled
        case dict():
            every = {key: resolve(inner, template, parameters) for key, inner in value.items()}
            return {key: inner for key, inner in every.items() if inner is not Absent}
        case list():
            return [inner for inner in (resolve(inner, template, parameters) for inner in value) if inner is not Absent]
        case _:
            return value


def render(path: Path, parameters: Combination) -> Template:
    """A template as these parameters shape it."""
    source = read(path)
    parameters = defaults(source) | parameters
    template = translate(source, parameters)
    rendered = {key: template[key] for key in ("AWSTemplateFormatVersion", "Description")}
    for section in ("Resources", "Outputs"):
        stay = {name: found for name, found in template[section].items() if "Condition" not in found
                or holds(template["Conditions"][found["Condition"]], template, parameters)}
        rendered[section] = {name: resolve({key: inner for key, inner in found.items() if key != "Condition"},
                                           template, parameters) for name, found in stay.items()}
    return rendered


def deployment(combination: Combination) -> dict[str, Template]:
    """The root and every template nested in it, by name."""
    templates = {"template.yaml": render(INFRA / "template.yaml", NAMED | combination)}
    for resource in list(templates["template.yaml"]["Resources"].values()):
        if resource["Type"] == "AWS::CloudFormation::Stack":
            name = resource["Properties"]["TemplateURL"].rpartition("/")[2]
            passed = {key: inner if isinstance(inner, str) else "neo4j"  # the stack's name
                      for key, inner in resource["Properties"]["Parameters"].items()}
            templates[name] = render(INFRA / name, passed)
    return templates
