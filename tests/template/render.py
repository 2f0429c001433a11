"""The templates as CloudFormation sees them: SAM translated, parameters checked and filled in, conditions decided."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)  # it wants to publish metrics of its own

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

Template = dict[str, Any]
Combination = dict[str, str]

VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
# What the account has: subnets, as rules ask for them.
SUBNETS = {f"subnet-{number:017x}": {"AvailabilityZone": f"eu-west-1{zone}", "VpcId": vpc} for number, (zone, vpc) in
           enumerate([("a", VPC), ("b", VPC), ("c", VPC), ("a", VPC), ("b", VPC), ("b", OTHER_VPC)], start=1)}
SUBNET = list(SUBNETS)
PSEUDO = {"AWS::Region": "eu-west-1", "AWS::AccountId": "000000000000", "AWS::Partition": "aws",
          "AWS::URLSuffix": "amazonaws.com"}


def secret(name: str) -> str:
    return f"arn:aws:secretsmanager:eu-west-1:000000000000:secret:own/{name}-AbCdEf"


def key(number: int) -> str:
    return f"arn:aws:kms:eu-west-1:000000000000:key/{number:08x}-0000-4000-8000-000000000000"


# The parameters of the root that have no default.
NAMED = {
    "AcceptLicense": "yes", "Image": "neo4j:5.26.33-enterprise", "AmiId": "ami-0123456789abcdef0", "VpcId": VPC,
    "CoreSubnet1": SUBNET[0], "CoreSubnet2": SUBNET[1], "CoreSubnet3": SUBNET[2],
    "CoreZone1": "eu-west-1a", "CoreZone2": "eu-west-1b", "CoreZone3": "eu-west-1c",
}
# Parameters of the root by which a deployment takes quite another shape: all their combinations are looked at.
SHAPES = {
    "CoreCount": ("3", "5", "7"),
    "ReplicaCount": ("0", "2"),
    "CorePurchase": ("on-demand", "spot", "mixed"),
    "HostedZoneId": ("", "Z0123456789ABCDEFGHIJ"),
    "TlsSecretArn": ("", secret("tls")),
    "RestoreSnapshotIds": ("", ",".join(f"snap-{number:017x}" for number in range(1, 8))),
    "AdminSecretArn": ("", secret("admin")),
}
# All by which it takes another shape: of any two of them each two values meet.
SWITCHES = SHAPES | {
    "ReplicaCount": ("0", "1", "2"),
    "CoreOnDemandBase": ("1", "2", "4"),
    "ReplicaPurchase": ("on-demand", "spot", "mixed"),
    "ReadWriteSecretArn": ("", secret("read-write")),
    "ReadOnlySecretArn": ("", secret("read-only")),
    "ClusterTlsSecretArn": ("", secret("cluster-tls")),
    "SecretsKmsKeyArn": ("", key(1)),
    "DataKmsKeyArn": ("", key(2)),
    "DataVolumeType": ("gp3", "io2"),
    "AlarmTopicArn": ("", "arn:aws:sns:eu-west-1:000000000000:alarms"),
    "DryRun": ("false", "true"),
    "Architecture": ("arm64", "x86_64"),
    "CoreInstanceType": ("r7g.large", "m7i.large", "r7g.8xlarge"),
    "ImageRepositoryArn": ("", "arn:aws:ecr:eu-west-1:000000000000:repository/neo4j"),
    "Neo4jSeries": ("5.26", "calendar"),
    "ClientCidr": ("", "10.0.0.0/16"),
    "NodeSecurityGroupIds": ("", "sg-00000000000000001,sg-00000000000000002"),
    "ReplicaSubnetIds": ("", f"{SUBNET[3]},{SUBNET[4]}"),
    "SlowQueryLog": ("true", "false"),
    "AcceptLicense": ("yes", "eval"),
}


def whole(combination: Combination) -> Combination:
    """With what has to follow from it: a snapshot for each core, a Spot core in a mixed tier, replicas of the cores'
    processor."""
    cores = int(combination["CoreCount"])
    snapshots = combination["RestoreSnapshotIds"].split(",")[:cores]
    base = min(int(combination.get("CoreOnDemandBase", 1)), cores - 1)
    x86 = combination.get("CoreInstanceType", "").startswith("m7i")
    replica = "r7i.xlarge" if x86 else "m7g.large"
    return combination | {"RestoreSnapshotIds": ",".join(snapshots), "CoreOnDemandBase": str(base),
                          "ReplicaInstanceType": replica}


def combinations() -> Iterator[Combination]:
    """All of the shapes. Tiers are paid for alike; certificates are all given or none, and so are secrets."""
    for values in itertools.product(*SHAPES.values()):
        shape = dict(zip(SHAPES, values, strict=True))
        tls, own = shape["TlsSecretArn"], shape["AdminSecretArn"]
        yield whole(shape | {
            "ReplicaPurchase": shape["CorePurchase"],
            "ClusterTlsSecretArn": tls and secret("cluster-tls"),
            "ReadWriteSecretArn": own and secret("read-write"),
            "ReadOnlySecretArn": own and secret("read-only"),
            "SecretsKmsKeyArn": own and key(1),
        })


def pairs(combination: Combination) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(two) for two in itertools.combinations(combination.items(), 2)}


def pairwise() -> list[Combination]:
    """A few in which each two values of each two switches meet."""
    chosen: list[Combination] = []
    ordered = [frozenset(((one, value), (other, its))) for one, other in itertools.combinations(SWITCHES, 2)
               for value in SWITCHES[one] for its in SWITCHES[other]]
    open_pairs = set(ordered)
    while open_pairs:
        combination = dict(next(pair for pair in ordered if pair in open_pairs))
        for name, values in SWITCHES.items():
            if name not in combination:
                combination[name] = max(values, key=lambda value: sum(
                    frozenset(((name, value), other)) in open_pairs for other in combination.items()))
        chosen.append(combination)
        open_pairs -= pairs(combination)
    return [whole(combination) for combination in chosen]


@functools.cache
def read(path: Path) -> Template:
    return yaml_parse(path.read_text())


@functools.cache
def translate(path: Path) -> Template:
    """SAM to CloudFormation. Parameters stay references; what `sam package` would upload is said to lie in a bucket."""
    template = copy.deepcopy(read(path))
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/function.zip"
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = "https://bucket.s3.amazonaws.com/" + properties["Location"]
    return Translator({}, Parser()).translate(template, {}) if "Transform" in template else template


class Refused(Exception):
    """CloudFormation would not begin with these parameters."""


# What the account has, or what looks like it.
EXISTS = {
    "AWS::EC2::Subnet::Id": "|".join(SUBNETS),
    "AWS::EC2::VPC::Id": f"{VPC}|{OTHER_VPC}",
    "AWS::EC2::AvailabilityZone::Name": "eu-west-1[abc]",
    "AWS::EC2::Image::Id": "ami-[0-9a-f]{17}",
    "AWS::EC2::SecurityGroup::Id": "sg-[0-9a-f]{17}",
    "Number": r"-?[0-9]+(\.[0-9]+)?",
}


def taken(name: str, definition: Template, value: Any) -> str | list[str]:
    """A parameter's value as `Ref` gives it, if the parameter takes it."""
    if not isinstance(value, str):
        raise Refused(f"{name}: {value!r} is no text")
    kind = definition["Type"]
    of_each = kind.removeprefix("List<").removesuffix(">")
    is_list = kind == "CommaDelimitedList" or of_each != kind
    values = value.split(",") if is_list else [value]
    for each in values:
        if not re.fullmatch(EXISTS.get(of_each, ".*"), each):
            raise Refused(f"{name}: {each!r} is no {of_each}")
        if not re.fullmatch(definition.get("AllowedPattern", ".*"), each):
            raise Refused(f"{name}: {each!r} {definition.get('ConstraintDescription', 'does not match')}")
        if each not in map(str, definition.get("AllowedValues", [each])):
            raise Refused(f"{name}: {each!r} is none of {definition['AllowedValues']}")
        size = float(each) if kind == "Number" else len(each)
        least, most = ("MinValue", "MaxValue") if kind == "Number" else ("MinLength", "MaxLength")
        if not definition.get(least, size) <= size <= definition.get(most, size):
            raise Refused(f"{name}: {each!r} is out of range")
    return values if is_list else value


def parameters_of(template: Template, passed: Combination) -> Template:
    """All parameters as `Ref` gives them, if the template takes those that are passed."""
    definitions = template.get("Parameters", {})
    if unknown := passed.keys() - definitions.keys():
        raise Refused(f"no such parameters: {sorted(unknown)}")
    given = {name: str(found["Default"]) for name, found in definitions.items() if "Default" in found} | passed
    if missing := definitions.keys() - given.keys():
        raise Refused(f"no value for {sorted(missing)}")
    known = {name: taken(name, definitions[name], value) for name, value in given.items()}
    for rule in template.get("Rules", {}).values():
        if "RuleCondition" not in rule or holds(rule["RuleCondition"], template, known):
            for assertion in rule["Assertions"]:
                if not holds(assertion["Assert"], template, known):
                    raise Refused(assertion["AssertDescription"])
    return known


class Absent:
    """What `AWS::NoValue` leaves."""


def holds(condition: Any, template: Template, known: Template) -> bool:
    match condition:
        case {"Fn::Equals": [left, right]}:
            return str(resolve(left, template, known)) == str(resolve(right, template, known))
        case {"Fn::Not": [inner]}:
            return not holds(inner, template, known)
        case {"Fn::And": several}:
            return all(holds(inner, template, known) for inner in several)
        case {"Fn::Or": several}:
            return any(holds(inner, template, known) for inner in several)
        case {"Condition": name}:
            return holds(template["Conditions"][name], template, known)
        case {"Fn::Contains": [several, value]}:
            return resolve(value, template, known) in resolve(several, template, known)
        case _:
            raise ValueError(f"no condition that is known here: {condition}")


def resolve(value: Any, template: Template, known: Template) -> Any:
    """A value with what is known filled in; other references stay."""
    match value:
        case {"Ref": "AWS::NoValue"}:
            return Absent
        case {"Ref": name} if name in known:
            return known[name]
        case {"Fn::GetAtt": [name, attribute]} if f"{name}.{attribute}" in known:
            return known[f"{name}.{attribute}"]
        case {"Fn::If": [name, then, otherwise]}:
            chosen = then if holds(template["Conditions"][name], template, known) else otherwise
            return resolve(chosen, template, known)
        case {"Fn::FindInMap": [name, *keys]}:
            first, second = (resolve(inner, template, known) for inner in keys)
            return template["Mappings"][name][first][second]
        case {"Fn::ValueOf": [name, attribute]}:
            return SUBNETS[known[name]][attribute]
        case {"Fn::Sub": text} if isinstance(text, str):
            filled = re.sub(r"\$\{([\w:.]+)\}", lambda found: known.get(found[1], found[0]), text)
            return {"Fn::Sub": filled} if "${" in filled else filled
        case {"Fn::Sub": [text, own]}:
            own = {name: resolve(inner, template, known) for name, inner in own.items()}
            filled = resolve({"Fn::Sub": text}, template,
                             known | {name: inner for name, inner in own.items() if isinstance(inner, str)})
            rest = {name: inner for name, inner in own.items() if not isinstance(inner, str)}
            return {"Fn::Sub": [filled["Fn::Sub"], rest]} if rest else filled
        case dict():
            every = {key: resolve(inner, template, known) for key, inner in value.items()}
            return applied({key: inner for key, inner in every.items() if inner is not Absent})
        case list():
            return [inner for inner in (resolve(inner, template, known) for inner in value) if inner is not Absent]
        case _:
            return value


def applied(value: Template) -> Any:
    """A function's result, if nothing in its arguments is left to resolve."""
    match value:
        case {"Fn::Join": [between, [*several]]} if all(isinstance(inner, str) for inner in several):
            return between.join(several)
        case {"Fn::Split": [between, str(text)]}:
            return text.split(between)
        case {"Fn::Select": [index, [*several]]}:
            return several[int(index)]
        case _:
            return value


def render(template: Template, known: Template) -> Template:
    """A translated template as these parameters shape it."""
    rendered = {key: template[key] for key in ("AWSTemplateFormatVersion", "Description")}
    for section in ("Resources", "Outputs"):
        stay = {name: found for name, found in template.get(section, {}).items() if "Condition" not in found
                or holds(template["Conditions"][found["Condition"]], template, known)}
        rendered[section] = {name: resolve({key: inner for key, inner in found.items() if key != "Condition"},
                                           template, known) for name, found in stay.items()}
    return rendered


# What AWS gives to resources of these types, by its look. Whatever a stack passes on must be here, or it stays unknown.
ARN = "arn:aws:{service}:eu-west-1:000000000000:"
CREATED = {
    "AWS::AutoScaling::AutoScalingGroup": {"": "{name}-{id}"},
    "AWS::CloudWatch::Alarm": {"": "{name}-{id}"},
    "AWS::DynamoDB::Table": {"": "{name}-{id}", "Arn": ARN + "table/{name}-{id}"},
    "AWS::EC2::LaunchTemplate": {"": "lt-{id}", "LatestVersionNumber": "1"},
    "AWS::EC2::SecurityGroup": {"": "sg-{id}", "GroupId": "sg-{id}"},
    "AWS::EC2::Volume": {"": "vol-{id}"},
    "AWS::ECS::Cluster": {"": "{own}", "Arn": ARN + "cluster/{own}"},
    "AWS::ECS::Service": {"Name": "{name}-{id}"},
    "AWS::ECS::TaskDefinition": {"": ARN + "task-definition/{name}-{id}:1"},
    "AWS::IAM::InstanceProfile": {"Arn": "arn:aws:iam::000000000000:instance-profile/{name}-{id}"},
    "AWS::IAM::Role": {"": "{name}-{id}", "Arn": "arn:aws:iam::000000000000:role/{name}-{id}"},
    "AWS::Lambda::Function": {"": "{name}-{id}", "Arn": ARN + "function:{name}-{id}"},
    "AWS::Logs::LogGroup": {"": "{name}-{id}"},
    "AWS::Route53::HostedZone": {"": "Z{id}"},
    "AWS::SQS::Queue": {"": "https://sqs.eu-west-1.amazonaws.com/000000000000/{name}-{id}", "QueueName": "{name}-{id}"},
    "AWS::SecretsManager::Secret": {"": ARN + "secret:{name}-{id}"},
    "AWS::ServiceDiscovery::Service": {"": "srv-{id}", "Arn": ARN + "service/srv-{id}"},
}


def created(path: str, name: str, resource: Template, known: Template) -> Template:
    """What references to a resource give."""
    if resource["Type"] == "Custom::DataVolumeOrigins":
        snapshots = resource["Properties"]["Snapshots"]
        return {f"{name}.Snapshot{number}": each for number, each in
                itertools.zip_longest(range(1, 8), snapshots, fillvalue="")}
    filled = {"name": name, "id": hashlib.sha256(f"{path}/{name}".encode()).hexdigest()[:17],
              "service": resource["Type"].split("::")[1].lower(), "own": resolve(resource.get("Properties", {}).get("ClusterName"), {}, known)}
    return {f"{name}.{attribute}".rstrip("."): look.format_map(filled)
            for attribute, look in CREATED.get(resource["Type"], {}).items()}


def passed_on(value: Any) -> Any:
    """What is left of a parameter's value on its way to a nested stack: a text, or what the stack refuses."""
    match value:
        case bool() | int():
            return str(value).lower()
        case list():
            return tuple(value)
        case _:
            return value


@dataclass(frozen=True, eq=False)
class Stack:
    template: Template  # as it is given to CloudFormation, with references to its resources
    live: Template  # the same with everything in place that AWS gives


@functools.cache
def tree(path: str, file: str, passed: frozenset[tuple[str, str]]) -> dict[str, Stack]:
    """A stack and all that are nested in it, by their paths."""
    translated = translate(INFRA / file)
    try:
        known = parameters_of(translated, dict(passed))
    except Refused as refusal:
        raise Refused(f"{path}: {refusal}") from refusal
    template = render(translated, known)
    known |= PSEUDO | {"AWS::StackName": path.replace("root", "neo4j").replace("/", "-")}
    waiting = {}
    for name, resource in template["Resources"].items():
        known |= created(path, name, resource, known)
        if resource["Type"] == "AWS::CloudFormation::Stack":
            waiting[name] = resource["Properties"]
    below: dict[str, Stack] = {}
    while waiting:
        resolved = {name: resolve(found.get("Parameters", {}), template, known) for name, found in waiting.items()}
        given = {name: {key: passed_on(value) for key, value in found.items()} for name, found in resolved.items()}
        ready = [name for name, found in given.items() if not any(isinstance(value, dict) for value in found.values())]
        if not ready:
            raise Refused(f"{path}: nothing gives what is passed on: {given}")
        for name in ready:
            place = name if path == "root" else f"{path}/{name}"
            nested = tree(place, waiting.pop(name)["TemplateURL"].rpartition("/")[2], frozenset(given[name].items()))
            known |= {f"{name}.Outputs.{key}": found["Value"] for key, found in nested[place].live["Outputs"].items()}
            below |= nested
    return {path: Stack(template, render(translated, known)), **below}


def deployment(combination: Combination) -> dict[str, Stack]:
    """The root and every stack below it, by path: `root`, `Cores`, `Cores/Core1`."""
    return tree("root", "template.yaml", frozenset((NAMED | combination).items()))
