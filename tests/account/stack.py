"""Reads a deployed stack: its outputs, parameters and resources, those of nested stacks too."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

# What only reads, by the names of the operations; and what may be allowed beside it, by the word that allows it.
READS = ("Describe", "Get", "List", "Filter", "Lookup")
ALLOWED = {"plans": {"Invoke"}}
NESTED = "AWS::CloudFormation::Stack"


class Forbidden(Exception):
    """A call that nobody allowed. It was not made."""


class NoStack(Exception):
    """There is no such stack, or it is not of this project."""


@dataclass(frozen=True)
class Resource:
    path: str  # of its stack, such as Cores/Core1; empty for the root
    id: str
    kind: str
    physical: str


class Account:
    """Clients of one account and region that refuse whatever could change something."""

    def __init__(self, region: str | None, allow: set[str]) -> None:
        self.session = boto3.Session(region_name=region)
        self.more = set().union(*(ALLOWED[word] for word in allow))
        self.allow = allow

    def guard(self, model: Any, **_: Any) -> None:
        if not model.name.startswith(READS) and model.name not in self.more:
            raise Forbidden(f"{model.service_model.service_name}:{model.name} could change something, and is not allowed")

    @functools.cache  # noqa: B019 - there is one account in the life of the program
    def client(self, service: str) -> Any:
        client = self.session.client(service, config=Config(retries={"mode": "standard", "max_attempts": 5}))
        client.meta.events.register("before-call", self.guard)
        return client

    def every(self, service: str, operation: str, key: str, **asked: Any) -> list[Any]:
        """Returns all items of all pages."""
        client = self.client(service)
        if not client.can_paginate(operation):
            return getattr(client, operation)(**asked)[key]
        return [item for page in client.get_paginator(operation).paginate(**asked) for item in page.get(key, [])]


class Stack:
    def __init__(self, account: Account, name: str) -> None:
        self.account, self.name = account, name
        try:
            [found] = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except account.client("cloudformation").exceptions.ClientError as error:
            if "does not exist" in str(error):
                raise NoStack(
                    f"there is no stack {name} in {account.session.region_name}: name another, or its region"
                ) from error
            raise
        self.status = found["StackStatus"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
        self.parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
        if "EcsClusterName" not in self.outputs:
            raise NoStack(f"the stack {name} has no output EcsClusterName: it is no cluster of this project, or not complete")
        self.ecs_cluster = self.outputs["EcsClusterName"]

    @functools.cached_property
    def resources(self) -> list[Resource]:
        return list(self.within(self.name, ""))

    def within(self, stack: str, path: str) -> Iterator[Resource]:
        for each in self.account.every("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack):
            if each["ResourceType"] == NESTED:
                yield from self.within(each["PhysicalResourceId"], f"{path}/{each['LogicalResourceId']}".strip("/"))
            elif each.get("PhysicalResourceId"):
                yield Resource(path, each["LogicalResourceId"], each["ResourceType"], each["PhysicalResourceId"])

    def of(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each.kind == kind]

    @functools.cached_property
    def groups(self) -> list[dict[str, Any]]:
        names = [each.physical for each in self.of("AWS::AutoScaling::AutoScalingGroup")]
        return self.account.every("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=names)

    def tag(self, group: dict[str, Any], key: str) -> str:
        return next((tag["Value"] for tag in group.get("Tags", []) if tag["Key"] == f"neo4j:{key}"), "")

    @functools.cached_property
    def cores(self) -> list[str]:
        """The numbers of the cores, as their groups have them."""
        return sorted(core for group in self.groups if (core := self.tag(group, "core")))

    @functools.cached_property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that should run, of whatever service."""
        ecs = self.account.client("ecs")
        found = self.account.every("ecs", "list_tasks", "taskArns", cluster=self.ecs_cluster)
        described = [
            task
            for first in range(0, len(found), 100)
            for task in ecs.describe_tasks(cluster=self.ecs_cluster, tasks=found[first : first + 100])["tasks"]
        ]
        return [task for task in described if task["lastStatus"] == "RUNNING"]

    @functools.cached_property
    def container_instances(self) -> list[dict[str, Any]]:
        ecs = self.account.client("ecs")
        found = self.account.every("ecs", "list_container_instances", "containerInstanceArns", cluster=self.ecs_cluster)
        return [
            each
            for first in range(0, len(found), 100)
            for each in ecs.describe_container_instances(cluster=self.ecs_cluster, containerInstances=found[first : first + 100])[
                "containerInstances"
            ]
        ]

    def tier_of(self, container_instance: dict[str, Any]) -> str:
        attributes = container_instance.get("attributes", [])
        return next((each.get("value", "") for each in attributes if each["name"] == "neo4j.tier"), "")

    @functools.cached_property
    def members(self) -> dict[str, list[dict[str, Any]]]:
        """The running tasks of each tier, told by the instance that they run on."""
        tiers = {each["containerInstanceArn"]: self.tier_of(each) for each in self.container_instances}
        found: dict[str, list[dict[str, Any]]] = {"core": [], "replica": []}
        for task in self.tasks:
            if (tier := tiers.get(task.get("containerInstanceArn"))) in found:
                found[tier].append(task)
        return found

    @functools.cached_property
    def registries(self) -> dict[str, str]:
        """The Cloud Map service of each tier."""
        found = {each.id: each.physical for each in self.of("AWS::ServiceDiscovery::Service")}
        return {tier: found[id] for tier in ("core", "replica") for id in found if id.lower().startswith(tier)}

    def registered(self, tier: str) -> dict[str, str]:
        """Returns the members that Cloud Map lists of a tier: their address by their task's id."""
        if tier not in self.registries:
            return {}
        listed = self.account.every("servicediscovery", "list_instances", "Instances", ServiceId=self.registries[tier])
        return {each["Id"]: each["Attributes"].get("AWS_INSTANCE_IPV4", "") for each in listed}

    @functools.cached_property
    def logs(self) -> dict[str, str]:
        """The log group of each function, by the path of its stack."""
        paths = {each.path for each in self.of("AWS::Lambda::Function")}
        groups = self.of("AWS::Logs::LogGroup")
        return {each.path: each.physical for each in groups if each.path in paths}
