#!/usr/bin/env python3
"""Renders the templates as CloudFormation sees them: SAM translated, parameters checked and filled in, conditions decided.

This is the only evaluator of templates here. Other languages read what it writes:

    python tests/template/render.py --out target/rendered

writes one file `<deployment>.json` for each deployment of `deployments()`, unless no input has changed since the last time:

    {"parameters": {name: value},            what the deployment was given; all else has its default
     "stacks": {path: {                      "root", "Discovery", "Discovery/Queues", "Cores/Core1": logical ids
         "file": "core-node.yaml",           in infra/, or in the folder of a release
         "name": ..., "id": ...,             AWS::StackName and AWS::StackId, as in `live`
         "parameters": {name: value},        every parameter as `Ref` gives it in `live`: a text, or a list of texts
         "template": {"Parameters", "Resources", "Outputs"},
         "live": {"Resources", "Outputs"}}}}

`template` is what CloudFormation has to carry out. Conditions are decided, and all is filled in that is known before any
resource is created. What is left are references, in this closed set of functions:

    {"Ref": id}                     a resource of this stack, or a parameter of its section `Parameters`: those parameters for
                                    which the parent passes a reference, in Resources[...].Properties.Parameters of its template
    {"Ref": "AWS::..."}             a pseudo parameter: Region, AccountId, Partition, URLSuffix, StackName, StackId
    {"Fn::GetAtt": [id, attribute]} a resource of this stack; of a nested stack the attribute is "Outputs.<name>"
    {"Fn::Sub": text}               with `${id}`, `${id.attribute}` as the two above
    {"Fn::Sub": [text, {name: value}]}
    {"Fn::Join": [between, [...]]}, {"Fn::Split": [at, text]}, {"Fn::Select": [index, list]}, {"Fn::Base64": text}

A `Ref` to a parameter that is a list gives one text with commas here: it always stands in an `Fn::Split`.

`live` is the same with everything filled in that AWS would give: made up, but alike in form, different for each resource and
the same each time. `Fn::Base64` stays around its text.

In both a resource has its Type, Properties, DependsOn, DeletionPolicy, UpdateReplacePolicy and Metadata, as far as the template
has them. A nested stack is an AWS::CloudFormation::Stack, at the path of its parent (none for "root") plus its logical id.
"""

from __future__ import annotations

import argparse
import copy
import fcntl
import functools
import hashlib
import itertools
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
# The templates of each release, as they were.
RELEASES = ROOT / "tests" / "fixtures" / "releases"

Template = dict[str, Any]
Combination = dict[str, str]

VPC, OTHER_VPC = "vpc-0123456789abcdef0", "vpc-0fedcba9876543210"
# What the account has: subnets, as rules ask for them.
SUBNETS = {
    f"subnet-{number:017x}": {"AvailabilityZone": f"eu-west-1{zone}", "VpcId": vpc}
    for number, (zone, vpc) in enumerate([("a", VPC), ("b", VPC), ("c", VPC), ("a", VPC), ("b", VPC), ("b", OTHER_VPC)], start=1)
}
SUBNET = list(SUBNETS)
PSEUDO = {
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "000000000000",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}


# Where alarms go.
TOPIC = "arn:aws:sns:eu-west-1:000000000000:alarms"


def secret(name: str) -> str:
    return f"arn:aws:secretsmanager:eu-west-1:000000000000:secret:own/{name}-AbCdEf"


def key(number: int) -> str:
    return f"arn:aws:kms:eu-west-1:000000000000:key/{number:08x}-0000-4000-8000-000000000000"


# The certificate of a CA that nobody has the key of, as it comes through a shell: without line breaks.
CA = (
    "-----BEGIN CERTIFICATE----- "
    "MIIBcTCCARegAwIBAgIUKb7Lv5dYXifvPnAANDabcLN0eYUwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EwIBcNMjYxMTMwMDMxNTI3WhgPMj"
    "EyNjExMDYwMzE1MjdaMA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESeylWVkrjn85LM2Ifh2k+APhomCTDConc9jv"
    "sg+ah+g0vcLgzDcdn2AwSvXvRxgOlDYA+E+mNWJ+iKaSoKHioqNTMFEwHQYDVR0OBBYEFHdk+emcZcnNoOWsRjwZRMW93r1rMB8GA1UdIwQYMB"
    "aAFHdk+emcZcnNoOWsRjwZRMW93r1rMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgEiKnjWB5ymSWSmWD+vCIvgHS5cOWdcDy"
    "bsv3TPQ6sDQCIQCGGztrr7yFCV70CY0AUNALSJOkwH7LQ7PS9llbJoeqYg=="
    " -----END CERTIFICATE-----"
)

# The parameters of the root that have no default.
NAMED = {
    "AcceptLicense": "yes",
    "Image": "neo4j:5.26.33-enterprise",
    "AmiId": "ami-0123456789abcdef0",
    "VpcId": VPC,
    "CoreSubnet1": SUBNET[0],
    "CoreSubnet2": SUBNET[1],
    "CoreSubnet3": SUBNET[2],
    "CoreZone1": "eu-west-1a",
    "CoreZone2": "eu-west-1b",
    "CoreZone3": "eu-west-1c",
}
# The parameters of the root that give a deployment another shape. Any two values of any two of them meet in some combination.
SWITCHES = {
    "CoreCount": ("3", "5", "7"),
    "ReplicaCount": ("0", "1", "2"),
    "CorePurchase": ("on-demand", "spot", "mixed"),
    "HostedZoneId": ("", "Z0123456789ABCDEFGHIJ"),
    "TlsSecretArn": ("", secret("tls")),
    "RestoreSnapshotIds": ("", ",".join(f"snap-{number:017x}" for number in range(1, 8))),
    "AdminSecretArn": ("", secret("admin")),
    "CoreOnDemandBase": ("1", "2", "4"),
    "ReplicaPurchase": ("on-demand", "spot", "mixed"),
    "ReadWriteSecretArn": ("", secret("read-write")),
    "ReadOnlySecretArn": ("", secret("read-only")),
    "MonitorSecretArn": ("", secret("monitor")),
    "TlsCaCertificate": ("", CA),
    "ClusterTlsSecretArn": ("", secret("cluster-tls")),
    "SecretsKmsKeyArn": ("", key(1)),
    "DataKmsKeyArn": ("", key(2)),
    "DataVolumeType": ("gp3", "io2"),
    "AlarmTopicArn": (TOPIC, ""),
    "AlarmRouter": ("true", "false"),
    "NotifyTopicArn": ("", "arn:aws:sns:eu-west-1:000000000000:notify"),
    "SlackSecretArn": ("", secret("slack")),
    "PagerDutySecretArn": ("", secret("pagerduty")),
    "WebhookSecretArn": ("", secret("webhook")),
    "TopicsKmsKeyArn": ("", key(4)),
    "MuteSchedule": ("", "cron(0 2 * * SUN)", "at(2027-01-31T22:00)"),
    "Dashboard": ("true", "false"),
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
    "Backups": ("true", "false"),
    "DifferentialBackupSchedule": ("cron(0 * * * ? *)", ""),
    "BackupBucketName": ("", "backups-of-many"),
    "BackupObjectLockDays": ("0", "7"),
    "BackupKmsKeyArn": ("", key(3)),
    "BackupQueueArn": ("", "arn:aws:batch:eu-west-1:000000000000:job-queue/of-many"),
    "BackupInstanceTypes": ("", "c7g,c6g.xlarge"),
    "S3EndpointRouteTableIds": ("", "rtb-00000000000000001,rtb-00000000000000002"),
}


DESTINATIONS = ("NotifyTopicArn", "SlackSecretArn", "PagerDutySecretArn", "WebhookSecretArn", "AlertRoutes")


def whole(combination: Combination) -> Combination:
    """Returns a combination with what follows from it: a snapshot for each core, a Spot core in a mixed tier, replicas with the
    cores' processor, no lock on a bucket that is given."""
    cores = int(combination["CoreCount"])
    snapshots = combination["RestoreSnapshotIds"].split(",")[:cores]
    base = min(int(combination.get("CoreOnDemandBase", 1)), cores - 1)
    x86 = combination.get("CoreInstanceType", "").startswith("m7i")
    replica = "r7i.xlarge" if x86 else "m7g.large"
    return combination | {
        "RestoreSnapshotIds": ",".join(snapshots),
        "CoreOnDemandBase": str(base),
        "ReplicaInstanceType": replica,
        # What else goes somewhere needs the topic.
        **({} if combination.get("AlarmTopicArn", TOPIC) else dict.fromkeys(DESTINATIONS, "")),
        "BackupObjectLockDays": "0" if combination.get("BackupBucketName") else combination.get("BackupObjectLockDays", "0"),
    }


def pairs(combination: Combination) -> set[frozenset[tuple[str, str]]]:
    return {frozenset(two) for two in itertools.combinations(combination.items(), 2)}


def pairwise() -> list[Combination]:
    """Returns a few combinations in which any two values of any two switches meet."""
    chosen: list[Combination] = []
    ordered = [
        frozenset(((one, value), (other, its)))
        for one, other in itertools.combinations(SWITCHES, 2)
        for value in SWITCHES[one]
        for its in SWITCHES[other]
    ]
    open_pairs = set(ordered)
    while open_pairs:
        combination = dict(next(pair for pair in ordered if pair in open_pairs))
        for name, values in SWITCHES.items():
            if name not in combination:
                combination[name] = max(
                    values,
                    key=lambda value: sum(frozenset(((name, value), other)) in open_pairs for other in combination.items()),
                )
        chosen.append(combination)
        open_pairs -= pairs(combination)
    return [whole(combination) for combination in chosen]


@functools.cache
def read(path: Path) -> Template:
    from samtranslator.yaml_helper import yaml_parse  # slow: whoever finds everything written needs none of it

    return yaml_parse(path.read_text())


@functools.cache
def translate(path: Path) -> Template:
    """Translates SAM to CloudFormation. Parameters stay references. What `sam package` would upload is given a place."""
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)  # it wants to publish metrics of its own
    template = copy.deepcopy(read(path))
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/function.zip"
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = "https://bucket.s3.amazonaws.com/" + properties["Location"]
    return Translator({}, Parser()).translate(template, {}) if "Transform" in template else template


class Refused(Exception):
    """CloudFormation would refuse these parameters before it creates anything."""


# What the account has, or what looks like something that it has.
EXISTS = {
    "AWS::EC2::Subnet::Id": "|".join(SUBNETS),
    "AWS::EC2::VPC::Id": f"{VPC}|{OTHER_VPC}",
    "AWS::EC2::AvailabilityZone::Name": "eu-west-1[abc]",
    "AWS::EC2::Image::Id": "ami-[0-9a-f]{17}",
    "AWS::EC2::SecurityGroup::Id": "sg-[0-9a-f]{17}",
    "Number": r"-?[0-9]+(\.[0-9]+)?",
}


def taken(name: str, definition: Template, value: Any) -> str | list[str]:
    """Returns a parameter's value as `Ref` gives it, if the parameter accepts it."""
    if not isinstance(value, str):
        raise Refused(f"{name}: {value!r} is no text")
    kind = definition["Type"]
    of_each = kind.removeprefix("List<").removesuffix(">")
    is_list = kind == "CommaDelimitedList" or of_each != kind
    values = value.split(",") if is_list else [value]
    for each in values:
        if not re.fullmatch(EXISTS.get(of_each, ".*"), each, re.DOTALL):
            raise Refused(f"{name}: {each!r} is no {of_each}")
        if not re.fullmatch(definition.get("AllowedPattern", ".*"), each, re.DOTALL):
            raise Refused(f"{name}: {each!r} {definition.get('ConstraintDescription', 'does not match')}")
        if each not in map(str, definition.get("AllowedValues", [each])):
            raise Refused(f"{name}: {each!r} is none of {definition['AllowedValues']}")
        size = float(each) if kind == "Number" else len(each)
        least, most = ("MinValue", "MaxValue") if kind == "Number" else ("MinLength", "MaxLength")
        if not definition.get(least, size) <= size <= definition.get(most, size):
            raise Refused(f"{name}: {each!r} is out of range")
    return values if is_list else value


@dataclass(frozen=True)
class Scope:
    """Where a value stands in a template, and what is known there."""

    template: Template
    known: Template  # what references give, by `id` or `id.attribute`
    parameters: Template  # every parameter as `Ref` gives it once all is created: what conditions decide by

    def holds(self, condition: Any) -> bool:
        """Decides a condition."""
        decided = Scope(self.template, self.known | self.parameters, self.parameters)
        match condition:
            case {"Fn::Equals": [left, right]}:
                return str(decided.resolve(left)) == str(decided.resolve(right))
            case {"Fn::Not": [inner]}:
                return not self.holds(inner)
            case {"Fn::And": several}:
                return all(self.holds(inner) for inner in several)
            case {"Fn::Or": several}:
                return any(self.holds(inner) for inner in several)
            case {"Condition": name}:
                return self.holds(self.template["Conditions"][name])
            case {"Fn::Contains": [several, value]}:
                return decided.resolve(value) in decided.resolve(several)
            case _:
                raise ValueError(f"unknown condition: {condition}")

    def resolve(self, value: Any) -> Any:
        """Returns a value with what is known filled in. Other references stay."""
        match value:
            case {"Ref": "AWS::NoValue"}:
                return Absent
            case {"Ref": name} if name in self.known:
                return self.known[name]
            case {"Fn::GetAtt": [name, attribute]} if f"{name}.{attribute}" in self.known:
                return self.known[f"{name}.{attribute}"]
            case {"Fn::If": [name, then, otherwise]}:
                return self.resolve(then if self.holds({"Condition": name}) else otherwise)
            case {"Fn::FindInMap": [name, *keys]}:
                first, second = (self.resolve(inner) for inner in keys)
                return self.template["Mappings"][name][first][second]
            case {"Fn::ValueOf": [name, attribute]}:
                return SUBNETS[self.known[name]][attribute]
            case {"Fn::Sub": text} if isinstance(text, str):
                return self.fill(text, {})
            case {"Fn::Sub": [text, own]}:
                return self.fill(text, {name: self.resolve(inner) for name, inner in own.items()})
            case dict():
                every = {key: self.resolve(inner) for key, inner in value.items()}
                return applied({key: inner for key, inner in every.items() if inner is not Absent})
            case list():
                return [inner for inner in map(self.resolve, value) if inner is not Absent]
            case _:
                return value

    def fill(self, text: str, own: Template) -> Any:
        """Returns a text with what is known filled in for its `${...}`, of which some may be its own."""
        texts = {name: inner for name, inner in (self.known | own).items() if isinstance(inner, str)}
        filled = re.sub(r"\$\{([\w:.]+)\}", lambda found: texts.get(found[1], found[0]), text)
        if rest := {name: inner for name, inner in own.items() if not isinstance(inner, str)}:
            return {"Fn::Sub": [filled, rest]}
        return {"Fn::Sub": filled} if "${" in filled else filled

    def render(self) -> Template:
        """Returns a translated template with its conditions decided and what is known filled in."""
        rendered = {key: self.template[key] for key in ("AWSTemplateFormatVersion", "Description")}
        for section in ("Resources", "Outputs"):
            stay = {
                name: found
                for name, found in self.template.get(section, {}).items()
                if "Condition" not in found or self.holds({"Condition": found["Condition"]})
            }
            rendered[section] = {
                name: self.resolve({key: inner for key, inner in found.items() if key != "Condition"})
                for name, found in stay.items()
            }
        return rendered


class Absent:
    """What `AWS::NoValue` leaves."""


def applied(value: Template) -> Any:
    """Returns a function's result, if nothing in its arguments is left to resolve."""
    match value:
        case {"Fn::Join": [between, [*several]]} if all(isinstance(inner, str) for inner in several):
            return between.join(several)
        case {"Fn::Split": [between, str(text)]}:
            return text.split(between)
        case {"Fn::Select": [index, [*several]]}:
            return several[int(index)]
        case _:
            return value


def parameters_of(template: Template, passed: Combination) -> Template:
    """Returns all parameters as `Ref` gives them, if the template accepts those that are passed."""
    definitions = template.get("Parameters", {})
    if unknown := passed.keys() - definitions.keys():
        raise Refused(f"no such parameters: {sorted(unknown)}")
    given = {name: str(found["Default"]) for name, found in definitions.items() if "Default" in found} | passed
    if missing := definitions.keys() - given.keys():
        raise Refused(f"no value for {sorted(missing)}")
    parameters = {name: taken(name, definitions[name], value) for name, value in given.items()}
    scope = Scope(template, parameters, parameters)
    for rule in template.get("Rules", {}).values():
        if "RuleCondition" not in rule or scope.holds(rule["RuleCondition"]):
            for assertion in rule["Assertions"]:
                if not scope.holds(assertion["Assert"]):
                    raise Refused(assertion["AssertDescription"])
    return parameters


# What references to resources of these types give, by their look. Whatever a stack passes on must be here.
ARN = "arn:aws:{service}:eu-west-1:000000000000:"
CREATED = {
    "AWS::AutoScaling::AutoScalingGroup": {"": "{name}"},
    "AWS::Batch::ComputeEnvironment": {"": ARN + "compute-environment/{name}"},
    "AWS::Batch::JobDefinition": {"": ARN + "job-definition/{name}:1"},
    "AWS::Batch::JobQueue": {"": ARN + "job-queue/{name}"},
    "AWS::CloudWatch::Alarm": {"": "{name}", "Arn": ARN + "alarm:{name}"},
    "AWS::CloudWatch::CompositeAlarm": {"": "{name}"},
    "AWS::CloudWatch::Dashboard": {"": "{name}"},
    "AWS::DynamoDB::Table": {"": "{name}", "Arn": ARN + "table/{name}"},
    "AWS::EC2::LaunchTemplate": {"": "lt-{id}", "LatestVersionNumber": "1"},
    "AWS::EC2::SecurityGroup": {"": "sg-{id}", "GroupId": "sg-{id}"},
    "AWS::EC2::Volume": {"": "vol-{id}"},
    "AWS::ECS::Cluster": {"": "{own}", "Arn": ARN + "cluster/{own}"},
    "AWS::ECS::Service": {"": ARN + "service/{cluster}/{own}", "Name": "{own}"},
    "AWS::ECS::TaskDefinition": {"": ARN + "task-definition/{own}:1"},
    "AWS::Events::Rule": {"": "{own}", "Arn": ARN + "rule/{own}"},
    "AWS::IAM::InstanceProfile": {"": "{name}", "Arn": "arn:aws:iam::000000000000:instance-profile/{name}"},
    "AWS::IAM::Role": {"": "{name}", "Arn": "arn:aws:iam::000000000000:role/{name}"},
    "AWS::Lambda::Function": {"": "{own}", "Arn": ARN + "function:{own}"},
    "AWS::Logs::LogGroup": {"": "{name}", "Arn": ARN + "log-group:{name}:*"},
    "AWS::Route53::HostedZone": {"": "Z{ID}"},
    "AWS::S3::Bucket": {"": "{lower}", "Arn": "arn:aws:s3:::{lower}"},
    "AWS::SQS::Queue": {
        "": "https://sqs.eu-west-1.amazonaws.com/000000000000/{queue}",
        "Arn": ARN + "{queue}",
        "QueueName": "{queue}",
    },
    "AWS::Scheduler::Schedule": {"": "{name}"},
    "AWS::SecretsManager::Secret": {"": ARN + "secret:{name}-AbCdEf"},
    "AWS::ServiceDiscovery::PrivateDnsNamespace": {"": "ns-{id}", "HostedZoneId": "Z{ID}"},
    "AWS::ServiceDiscovery::Service": {"": "srv-{id}", "Arn": ARN + "service/srv-{id}"},
}
# The property by which a resource has a name of the template's own.
NAME = {
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::Events::Rule": "Name",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
}


def sign(path: str) -> str:
    """Returns digits that tell what is at one path from what is at another."""
    return hashlib.sha256(path.encode()).hexdigest()


def named(stack: str, name: str, path: str) -> str:
    """Returns a name as CloudFormation makes it of a stack's name and a logical id."""
    return f"{stack}-{name}-{sign(path)[:12].upper()}"


def created(path: str, stack: str, name: str, resource: Template, scope: Scope) -> Template:
    """Returns what references to a resource give, by `id` and `id.attribute`."""
    kind, properties = resource["Type"], resource.get("Properties", {})
    if kind == "Custom::DataVolumeOrigins":
        several = itertools.zip_longest(range(1, 8), properties["Snapshots"], fillvalue="")
        return {f"{name}.Snapshot{number}": each for number, each in several}
    made = named(stack, name, f"{path}/{name}")
    look = {
        "name": made,
        "lower": made.lower(),
        "queue": made + ".fifo" * bool(properties.get("FifoQueue")),
        "id": sign(f"{path}/{name}")[:17],
        "ID": sign(f"{path}/{name}")[:17].upper(),
        "service": kind.split("::")[1].lower(),
        "own": scope.resolve(properties.get(NAME.get(kind, ""), made)),
        "cluster": scope.resolve(properties.get("Cluster", "")),
    }
    return {f"{name}.{attribute}".rstrip("."): text.format_map(look) for attribute, text in CREATED.get(kind, {}).items()}


def functions_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Yields every function that is left in a value, with its arguments."""
    match value:
        case dict():
            for key, inner in value.items():
                if key == "Ref" or (key.startswith("Fn::") and len(value) == 1):
                    yield key, inner
                yield from functions_in(inner)
        case list():
            for inner in value:
                yield from functions_in(inner)


def not_as_promised(stack: Stack) -> Iterator[str]:
    """Yields what a stack has that the format at the top of this file does not allow."""
    ids = {*stack.template["Resources"], *stack.template.get("Parameters", {}), *PSEUDO, "AWS::StackName", "AWS::StackId"}
    for name, arguments in functions_in(stack.template):
        match name, arguments:
            case "Ref", _:
                named_here = [arguments]
            case "Fn::GetAtt", [resource, _]:
                named_here = [resource]
            case "Fn::Sub", text:
                text, own = (text, {}) if isinstance(text, str) else text
                names = (found.partition(".")[0] for found in re.findall(r"\$\{([\w:.]+)\}", text))
                named_here = [found for found in names if found not in own]
            case (("Fn::Join" | "Fn::Split" | "Fn::Select" | "Fn::Base64"), _):
                named_here = []
            case _:
                yield f"{name} is not in the closed set"
                continue
        yield from (f"{name} of {found}, which this stack does not have" for found in named_here if found not in ids)
    left = {name for name, _ in functions_in(stack.live)} - {"Fn::Base64"}
    yield from (f"{name} is left in the live form" for name in sorted(left))


def passed_on(value: Any) -> Any:
    """Returns what a nested stack is given of a parameter's value: a text, or what the stack refuses."""
    match value:
        case bool() | int():
            return str(value).lower()
        case list():
            return tuple(value)
        case _:
            return value


@dataclass(frozen=True, eq=False)
class Stack:
    file: str
    name: str
    id: str
    parameters: Template
    template: Template  # as it is given to CloudFormation, with references to what it creates
    live: Template  # the same with everything in place that AWS gives


@functools.cache
def tree(
    path: str,
    file: Path,
    passed: frozenset[tuple[str, str]],
    stack: str = "neo4j",
    later: frozenset[str] = frozenset(),
) -> dict[str, Stack]:
    """Returns a stack and all that are nested in it, by their paths. In `template` the parameters named in `later` stay
    references: their values exist only after other resources, but conditions are decided by them."""
    translated = translate(file)
    try:
        parameters = parameters_of(translated, dict(passed))
    except Refused as refusal:
        raise Refused(f"{path}: {refusal}") from refusal
    # The name of the root is given; CloudFormation makes up those of the others.
    left = {"AWS::StackName": stack} if path == "root" else {}
    left |= {name: {"Fn::Split": [",", {"Ref": name}]} if isinstance(parameters[name], list) else {"Ref": name} for name in later}
    template = Scope(translated, parameters | left, parameters).render()
    if later:
        template["Parameters"] = {name: {"Type": "String"} for name in sorted(later)}
    digits = sign(path + stack)
    uuid = "-".join((digits[:8], digits[8:12], "11f0", digits[16:20], digits[20:32]))  # version 1, as CloudFormation's
    stack_id = f"{ARN.format(service='cloudformation')}stack/{stack}/{uuid}"
    known = parameters | PSEUDO | {"AWS::StackName": stack, "AWS::StackId": stack_id}
    live = Scope(translated, known, parameters)
    resources = live.render()["Resources"]
    for name, resource in resources.items():
        known |= created(path, stack, name, resource, live)
    waiting = [name for name, resource in resources.items() if resource["Type"] == "AWS::CloudFormation::Stack"]
    below: dict[str, Stack] = {}
    while waiting:
        resolved = {name: live.resolve(translated["Resources"][name]["Properties"].get("Parameters", {})) for name in waiting}
        given = {name: {key: passed_on(value) for key, value in found.items()} for name, found in resolved.items()}
        ready = [name for name, found in given.items() if not any(isinstance(value, dict) for value in found.values())]
        if not ready:
            raise Refused(f"{path}: nothing gives what is passed on: {given}")
        for name in ready:
            place = name if path == "root" else f"{path}/{name}"
            waiting.remove(name)
            nested = template["Resources"][name]["Properties"]
            unknown = frozenset(key for key, value in nested.get("Parameters", {}).items() if any(functions_in(value)))
            file_of, values = nested["TemplateURL"].rpartition("/")[2], frozenset(given[name].items())
            child = tree(place, file.with_name(file_of), values, named(stack, name, place), unknown)
            known |= {f"{name}.Outputs.{key}": found["Value"] for key, found in child[place].live["Outputs"].items()}
            below |= child
    for name, resource in live.render()["Resources"].items():  # now also what has its name from a nested stack
        known |= created(path, stack, name, resource, live)
    return {path: Stack(file.name, stack, stack_id, parameters, template, live.render()), **below}


def deployment(combination: Combination) -> dict[str, Stack]:
    """Returns the root and every stack below it, by path: `root`, `Cores`, `Cores/Core1`."""
    return tree("root", INFRA / "template.yaml", frozenset((NAMED | combination).items()))


# What people may change on a cluster that runs, all at once. `tests/stories/tests/updates.rs` has a reason for every parameter
# that is not here.
CHANGES = {
    "AcceptLicense": "eval",
    "Image": "neo4j:2026.08.1-enterprise",
    "ImageRepositoryArn": "arn:aws:ecr:eu-west-1:000000000000:repository/neo4j",
    "Neo4jSeries": "calendar",
    "AmiId": "ami-0fedcba9876543210",
    "CoreSubnet1": SUBNET[3],
    "CoreSubnet2": SUBNET[4],
    "CoreInstanceType": "r7g.xlarge",
    "DataVolumeSize": "200",
    "DataVolumeIops": "6000",
    "DataVolumeThroughput": "250",
    "ReplicaCount": "2",
    "ReplicaInstanceType": "r7g.2xlarge",
    "ReplicaPurchase": "mixed",
    "ReplicaOnDemandBase": "2",
    "ReplicaDiskSize": "200",
    "ReplicaSubnetIds": f"{SUBNET[3]},{SUBNET[4]}",
    "NodeSecurityGroupIds": "sg-00000000000000001",
    "TlsSecretArn": secret("tls"),
    "ClusterTlsSecretArn": secret("cluster-tls"),
    "AdminSecretArn": secret("admin"),
    "ReadWriteSecretArn": secret("read-write"),
    "ReadOnlySecretArn": secret("read-only"),
    "MonitorSecretArn": secret("monitor"),
    "TlsCaCertificate": CA,
    "SecretsKmsKeyArn": key(1),
    "ClientCidr": "10.0.0.0/16",
    "RecordTtl": "30",
    "CoreDrainTimeoutMinutes": "480",
    "ReplicaDrainTimeoutMinutes": "30",
    "StandaloneTaskGraceMinutes": "0",
    "SlowQueryMillis": "1000",
    "FullBackupSchedule": "rate(12 hours)",
    "DifferentialBackupSchedule": "",
    "BackupTimeZone": "Europe/Berlin",
    "BackupMaximumAgeMinutes": "1440",
    "BackupBucketName": "backups-of-many",
    "BackupKmsKeyArn": key(3),
    "S3EndpointRouteTableIds": "rtb-00000000000000001",
    "BackupQueueArn": "arn:aws:batch:eu-west-1:000000000000:job-queue/of-many",
    "BackupInstanceTypes": "r8g.large",
    "BackupScratchSize": "200",
    "BackupMemory": "12288",
    "BackupVcpus": "4",
    "BackupTimeoutMinutes": "60",
    "BackupHourlyDays": "1",
    "BackupDailyDays": "7",
    "BackupWeeks": "4",
    "BackupMonths": "0",
    "BackupMinimumChains": "3",
    "BackupPrunePercent": "10",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:000000000000:others",
    "NotifyTopicArn": "arn:aws:sns:eu-west-1:000000000000:notify",
    "SlackSecretArn": secret("slack"),
    "PagerDutySecretArn": secret("pagerduty"),
    "PagerDutyRegion": "eu",
    "WebhookSecretArn": secret("webhook"),
    "TopicsKmsKeyArn": key(4),
    "AlertRoutes": '{"to": ["notify"]}',
    "MuteSchedule": "cron(0 2 * * SUN)",
    "MuteDuration": "P1DT12H",
    "MuteTimeZone": "Europe/Berlin",
    "Dashboard": "false",
    "LogRetentionDays": "90",
    "Architecture": "x86_64",
}
# The same for a cluster of seven cores, with what another value of the above leaves without effect.
CHANGES_OF_SEVEN = CHANGES | {
    "DataVolumeType": "io2",
    "SlowQueryLog": "false",
    "ReplicaCount": "0",
    "CoreCount": "7",
    "Backups": "false",
    "BackupBucketName": "",
    "BackupObjectLockDays": "7",
    "AlarmRouter": "false",
}


def releases() -> dict[str, Path]:
    """Returns the folder of each release's templates, by its version."""
    return {folder.name: folder for folder in sorted(RELEASES.glob("*")) if folder.is_dir()}


def deployments() -> dict[str, tuple[Path, Combination]]:
    """Returns what is written for others: the file and the parameters of each named deployment."""
    alone = {"ClusterName": "neo4j", "VpcId": VPC, "EcsClusterName": "neo4j", "CoreServiceNames": "core,core-spare"}
    alone |= {"AlarmActionArn": "arn:aws:lambda:eu-west-1:000000000000:function:alarms:live"}
    queues = ",".join(f"arn:aws:batch:eu-west-1:000000000000:job-queue/{name}" for name in ("nightly", "reports"))
    alerts = {"AlarmTopicArn": TOPIC, "EcsClusterName": "services", "JobQueueArns": queues, "GroupPrefixes": "shop-,till"}
    sizes_of = {"default": {}, "five": {"CoreCount": "5"}, "seven": {"CoreCount": "7"}, "replicas": {"ReplicaCount": "2"}}
    plain = {name: {"AlarmTopicArn": TOPIC} | its for name, its in sizes_of.items()}
    # The cores share a zone: a function takes each subnet once.
    plain |= {"one-zone": {f"{name}{place}": NAMED[f"{name}1"] for name in ("CoreSubnet", "CoreZone") for place in (2, 3)}}
    plain |= {"changed": CHANGES, "changed-seven": CHANGES_OF_SEVEN}
    roots = plain | {f"pairwise-{number:02}": each for number, each in enumerate(pairwise())}
    sizes = {"": {"ReplicaCount": "2"}, "-seven": {"CoreCount": "7"}}
    old = {version + size: (folder, its) for version, folder in releases().items() for size, its in sizes.items()}
    return (
        {"discovery": (INFRA / "discovery.yaml", alone)}
        | {"drain-alone": (INFRA / "drain-alone.yaml", {"EcsClusterName": "services"})}
        | {"alerts-alone": (INFRA / "alerts-alone.yaml", alerts)}
        | {name: (INFRA / "template.yaml", NAMED | parameters) for name, parameters in (roots | members()).items()}
        | {name: (folder / "template.yaml", NAMED | its) for name, (folder, its) in old.items()}
    )


def members() -> dict[str, Combination]:
    """Returns every combination of what decides how a member starts. Each has both tiers: `members-calendar-tls-cluster-tls`."""
    return {
        "-".join(["members", series, *(["tls"] if tls else []), *(["cluster-tls"] if cluster_tls else [])]): {
            "ReplicaCount": "2",
            "Neo4jSeries": series,
            "TlsSecretArn": tls,
            "ClusterTlsSecretArn": cluster_tls,
        }
        for series, tls, cluster_tls in itertools.product(
            *(SWITCHES[name] for name in ("Neo4jSeries", "TlsSecretArn", "ClusterTlsSecretArn"))
        )
    }


def inputs() -> str:
    """Returns what tells one state of all inputs from another."""
    templates = [*sorted(INFRA.glob("*.yaml")), *sorted(RELEASES.rglob("*.yaml"))]
    files: Iterable[Path] = [*templates, Path(__file__), ROOT / "tests" / "requirements.txt"]
    return sign("".join(f"{path.relative_to(ROOT)}\0{path.read_text()}\0" for path in files))


def write(folder: Path) -> str:
    """Writes every deployment, unless that was done for these very inputs. Returns what was done."""
    folder.mkdir(parents=True, exist_ok=True)
    began, state = time.monotonic(), inputs()
    with (folder / "lock").open("w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "stamp"
        if stamp.exists() and stamp.read_text() == state:
            return f"{folder} is up to date"
        for old in folder.glob("*.json"):
            old.unlink()
        written = deployments()
        for name, (file, parameters) in written.items():
            stacks = {path: asdict(stack) for path, stack in tree("root", file, frozenset(parameters.items())).items()}
            text = json.dumps({"parameters": parameters, "stacks": stacks}, indent=1)
            (folder / f"{name}.json").write_text(text)
        stamp.write_text(state)
    return f"{len(written)} deployments in {folder} ({time.monotonic() - began:.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders the templates for whoever reads JSON.")
    parser.add_argument("--out", type=Path, required=True, help="the folder that is written to")
    print(write(parser.parse_args().out))


if __name__ == "__main__":
    main()
